"""A detector's files that were tampered with, with digests that fit: refused in one line, and no code in them runs."""

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.detector import Detector, load_detector
from benchmark.detector_files import ABOUT, FORMAT, THRESHOLDS, WEIGHTS
from benchmark.error_messages import USER_ERRORS
from methods.backbone import FeatureBackbone
from methods.stfpm import STFPM
from store.folders import DIGESTS, seal
from tests.benchmark.conftest import CPU

LAYERS = ["layer1"]


@pytest.fixture(scope="module")
def made() -> Detector:
    """Return a detector whose student has not been trained."""
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    options = {"_target_": "methods.stfpm.STFPM", "layers": LAYERS}
    about = {
        "format": FORMAT,
        "name": "stfpm washer",
        "method": {"name": "stfpm", "options": options},
        "backbone": {
            "name": backbone.name,
            "weights": backbone.weights,
            "seed": 0,
            "layers": LAYERS,
            "layers_sha256": backbone.digest(LAYERS),
        },
        "preprocessing": {"image_size": 32, "depth_size": 32, "mean": [0.5] * 3, "std": [0.2] * 3},
        "runtime": {"precision": "fp32", "channels_last": True},
        "stages": [],
        "peak_memory_gb": 1.0,
    }
    thresholds = {"train_quantile": {"pixel": 1.0, "image": 1.0}}
    return Detector(STFPM(backbone, LAYERS).eval(), backbone, CPU, about, thresholds, "train_quantile")


@pytest.fixture
def folder(made: Detector, tmp_path: Path) -> Path:
    made.save(tmp_path / "detector")
    return tmp_path / "detector"


def refusal_of(folder: Path) -> str:
    """Return the one line in which a detector is refused, which names its folder or an option of its."""
    with pytest.raises(USER_ERRORS) as caught:
        load_detector(folder)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 600
    return message


def test_an_untouched_one_is_loaded(folder: Path, made: Detector) -> None:
    loaded = load_detector(folder)
    assert loaded.about == made.about
    assert loaded.thresholds == made.thresholds


def test_its_teacher_pads_as_in_the_training(made: Detector, tmp_path: Path) -> None:
    layers = ["blocks.0"]
    backbone = FeatureBackbone("tf_efficientnet_b0", "random", padding_side=57)
    options = {"_target_": "methods.stfpm.STFPM", "layers": layers}
    about = {
        **made.about,
        "method": {"name": "stfpm", "options": options},
        "backbone": {
            "name": backbone.name,
            "weights": backbone.weights,
            "seed": 0,
            "padding_side": 57,
            "layers": layers,
            "layers_sha256": backbone.digest(layers),
        },
    }
    detector = replace(made, method=STFPM(backbone, layers).eval(), backbone=backbone, about=about)
    detector.save(tmp_path / "detector")
    assert load_detector(tmp_path / "detector").backbone.identity(layers) == backbone.identity(layers)


@dataclass
class Code:
    """An object that would make a folder when it is unpickled."""

    folder: Path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Path]]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("name", [WEIGHTS, ABOUT, THRESHOLDS])
@pytest.mark.parametrize("form", ["pickle", "torch"])
def test_a_pickle_in_place_of_a_file_is_not_run(folder: Path, tmp_path: Path, name: str, form: str) -> None:
    code = Code(tmp_path / "it ran")
    if form == "pickle":
        (folder / name).write_bytes(pickle.dumps(code))
    else:
        torch.save(code, folder / name)
    seal(folder)
    assert name in refusal_of(folder)
    assert not code.folder.exists()


def header(content: object) -> bytes:
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(struct.pack("<Q", 2**62), id="a header of 4 exabytes"),
        pytest.param(header({"a": 1}), id="an entry that is no tensor"),
        pytest.param(
            header({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}),
            id="a shape without data",
        ),
        pytest.param(
            header({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}}),
            id="a shape that overflows",
        ),
    ],
)
def test_weights_with_a_false_header_are_refused(folder: Path, content: bytes) -> None:
    (folder / WEIGHTS).write_bytes(content)
    seal(folder)
    assert WEIGHTS in refusal_of(folder)


def test_options_that_ask_for_more_than_the_weights_hold_reserve_no_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(folder, "method.options._target_", "methods.ast.AsymmetricStudentTeacher", seal_it=False)
    change(folder, "method.options.layers", ["layer3"], seal_it=False)
    change(folder, "method.options.flow_hidden", 8192, seal_it=False)
    change(folder, "method.options.student_hidden", 8192)  # together 21 GB
    monkeypatch.setattr(torch.nn.Module, "load_state_dict", None)  # nothing comes this far
    assert f"{WEIGHTS}: not the weights of its method" in refusal_of(folder)


@pytest.mark.parametrize("fault", ["missing", "surplus", "another shape"])
def test_weights_of_another_network_are_refused_by_name(folder: Path, fault: str) -> None:
    state = load_file(folder / WEIGHTS)
    name = next(name for name in state if name.endswith("conv1.weight"))
    if fault == "missing":
        del state[name]
    elif fault == "surplus":
        name = "another"
        state[name] = torch.zeros(1)
    else:
        state[name] = state[name][:1].contiguous()
    save_file(state, folder / WEIGHTS)
    seal(folder)
    assert f"not the weights of its method ({name}: found" in refusal_of(folder)


def change(folder: Path, name: str, value: Any, file: str = ABOUT, seal_it: bool = True) -> None:
    """Change a value of a JSON file, and the digests with it."""
    content = json.loads((folder / file).read_text())
    *groups, key = name.split(".")
    part = content
    for group in groups:
        part = part[group]
    part[key] = value
    (folder / file).write_text(json.dumps(content))
    if seal_it:
        seal(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", 2),
        ("format", [1]),
        ("name", None),
        ("method", "stfpm"),
        ("method.options", []),
        ("method.options._target_", ["methods.stfpm.STFPM"]),
        ("method.options._target_", "os.system"),
        ("method.options._target_", "methods.stfpm:os.system"),
        ("method.options._target_", "methods.method.Method"),
        ("method.options.map_size", 10**9),
        ("method.options.unknown", 1),
        ("backbone", None),
        ("backbone.name", "hf_hub:somebody/model"),
        ("backbone.weights", "/dev/zero"),
        ("backbone.seed", -1),
        ("backbone.layers", "layer1"),
        ("backbone.layers", ["layer9"]),
        ("backbone.layers_sha256", "0" * 64),
        ("preprocessing.image_size", 10**9),
        ("preprocessing.image_size", True),
        ("preprocessing.mean", [0.5]),
        ("preprocessing.mean", [float("nan")] * 3),
        ("preprocessing.std", [0.0] * 3),
        ("runtime.precision", "fp8"),
        ("stages", [{"name": "student"}]),
        ("stages", {}),
        ("peak_memory_gb", "1"),
    ],
)
def test_a_value_that_its_use_cannot_do_with_is_refused(folder: Path, name: str, value: object) -> None:
    change(folder, name, value)
    refusal_of(folder)


@pytest.mark.parametrize(
    "text", ["[]", "[" * 100_000, '{"a":' * 100_000, "1e999", '{"format": 1}', "\x00", ""]
)
def test_a_description_of_another_form_is_refused_by_name(folder: Path, text: str) -> None:
    (folder / ABOUT).write_text(text)
    seal(folder)
    assert ABOUT in refusal_of(folder)


@pytest.mark.parametrize(
    "thresholds", [[], {"p": 1.0}, {"p": {"pixel": 1.0}}, {"p": {"pixel": 1.0, "image": float("nan")}}]
)
def test_thresholds_that_are_no_numbers_are_refused_by_name(folder: Path, thresholds: object) -> None:
    change(folder, "thresholds", thresholds, THRESHOLDS)
    assert THRESHOLDS in refusal_of(folder)


@pytest.mark.parametrize("name", [WEIGHTS, ABOUT, THRESHOLDS])
def test_a_file_without_a_digest_is_refused_by_name(folder: Path, name: str) -> None:
    digests = json.loads((folder / DIGESTS).read_text())
    del digests[name]
    (folder / DIGESTS).write_text(json.dumps(digests))
    assert f"{name}: the file has no digest" in refusal_of(folder)


@pytest.mark.parametrize("text", ["{}", "[]", "[" * 100_000, '{"detector.json": 1}'])
def test_digests_of_another_form_are_refused_by_name(folder: Path, text: str) -> None:
    (folder / DIGESTS).write_text(text)
    assert DIGESTS in refusal_of(folder)
