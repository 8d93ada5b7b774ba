"""Every method's detector as one file: its numbers, in batches of any size, and its description."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from benchmark.deployment.export_check import Model, as_inputs, compare, score_with_detector, score_with_file
from benchmark.deployment.exported import ExportedDetector, Form, export, inputs_of, metadata
from benchmark.deployment.onnx_file import OnnxModel, write_onnx
from benchmark.deployment.pt2_file import METADATA, Pt2Model, write_pt2
from benchmark.detector import Detector
from benchmark.errors import BenchmarkError
from datasets.batch import Batch
from tests.benchmark.deployment.small_detectors import OPTIONS, THRESHOLDS, inputs, make_detector
from tests.conftest import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "export.md"
METHODS = {path.stem for path in (PROJECT_ROOT / "conf" / "method").glob("*.yaml")}


IN_OTHERS = ("ast", "ast_rgbd", "feature_variance", "rd_plus_plus", "simple_student")
"""Methods whose operations other methods have, too: seconds each."""
FILES = [
    pytest.param((name, suffix), marks=[pytest.mark.slow] if name in IN_OTHERS else [])
    for name in sorted(OPTIONS)
    for suffix in (".onnx", ".pt2")
]


class Exported(NamedTuple):
    """A detector and its file."""

    detector: Detector
    file: Path
    model: Model


@pytest.fixture(scope="module", autouse=True)
def _traced_once() -> Iterator[None]:
    """Trace a detector once for both formats, which takes a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    known: dict[tuple[int, Form], torch.export.ExportedProgram] = {}

    def trace(detector: Detector, form: Form) -> torch.export.ExportedProgram:
        key = id(detector), form
        known[key] = known.get(key) or export(detector, form)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        for module in ("onnx_file", "pt2_file"):
            patch.setattr(f"benchmark.deployment.{module}.export", trace)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def detectors() -> dict[str, Detector]:
    return {name: make_detector(name) for name in OPTIONS}


@pytest.fixture(scope="module")
def files(
    detectors: dict[str, Detector], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """Return the function that writes the file of a method in a format, once."""
    folder = tmp_path_factory.mktemp("exported")

    def file_of(name: str, suffix: str) -> Path:
        file = folder / f"{name}{suffix}"
        if not file.exists():
            write = write_onnx if suffix == ".onnx" else write_pt2
            write(detectors[name], file)
        return file

    return file_of


@pytest.fixture(scope="module", params=FILES, ids="".join)
def exported(
    request: pytest.FixtureRequest, detectors: dict[str, Detector], files: Callable[[str, str], Path]
) -> Exported:
    name, suffix = request.param
    file = files(name, suffix)
    return Exported(detectors[name], file, OnnxModel(file) if suffix == ".onnx" else Pt2Model(file))


def test_all_methods_are_exported() -> None:
    assert set(OPTIONS) >= METHODS


@pytest.mark.parametrize("count", [1, 3, 8])
def test_batches_of_any_size_have_the_detectors_numbers(exported: Exported, count: int) -> None:
    detector, images = exported.detector, inputs(exported.detector, count)
    found = score_with_file(detector, exported.model, [as_inputs(detector, Form(), images)])
    comparison = compare(found, score_with_detector(detector, images, count))
    assert comparison.maps.relative < 1e-5
    assert comparison.scores.relative < 1e-5
    assert comparison.verdicts == 0


def test_outputs_are_maps_scores_and_the_thresholds_of_the_cells_policy(exported: Exported) -> None:
    side = exported.detector.about["preprocessing"]["image_size"]
    found = exported.model(as_inputs(exported.detector, Form(), inputs(exported.detector, 2)))
    assert list(found) == ["map", "score", "image_threshold", "pixel_threshold"]
    assert (found["map"].shape, found["score"].shape) == ((2, side, side), (2,))
    assert {value.dtype for value in found.values()} == {np.dtype(np.float32)}
    assert float(found["image_threshold"]) == pytest.approx(0.3)
    assert float(found["pixel_threshold"]) == pytest.approx(0.1)


def test_the_file_carries_its_description_and_no_path_of_this_machine(exported: Exported) -> None:
    about = json.loads(description(exported.file))
    assert about == json.loads(metadata(exported.detector, Form()))
    assert about["thresholds"] == THRESHOLDS
    assert (about["policy"], about["policy_is_oracle"], about["category"]) == ("f1_image", True, "washer")
    assert about["preprocessing"] == exported.detector.about["preprocessing"]
    assert str(PROJECT_ROOT).encode() not in exported.file.read_bytes()


def description(file: Path) -> str:
    if file.suffix == ".onnx":
        return onnx.load(file).metadata_props[0].value
    extra = {METADATA: ""}
    torch.export.load(file, extra_files=extra)
    return extra[METADATA]


@pytest.mark.parametrize(("suffix", "example"), [(".onnx", 0), (".pt2", 1)])
def test_the_file_runs_without_this_project_as_documented(
    detectors: dict[str, Detector],
    files: Callable[[str, str], Path],
    tmp_path: Path,
    suffix: str,
    example: int,
) -> None:
    """The examples of the page, in an interpreter that sees installed packages alone."""
    code = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[example]
    shutil.copy(files("stfpm", suffix), tmp_path / f"model{suffix}")
    random = np.random.default_rng(0)
    Image.fromarray(random.integers(0, 256, (40, 50, 3), np.uint8)).save(tmp_path / "part.png")
    expected = detectors["stfpm"].predict(tmp_path / "part.png")
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    score, verdict = done.stdout.split()
    assert float(score) == pytest.approx(expected.scores[0], rel=1e-5)
    assert expected.verdicts is not None
    assert verdict == ("anomalous" if expected.verdicts[0] else "normal")


def test_inputs_are_those_that_the_mode_sees(detectors: dict[str, Detector]) -> None:
    seen = {
        "ast": {"image"},
        "ast_depth": {"depth", "foreground"},
        "ast_rgbd": {"image", "depth", "foreground"},
    }
    assert {name: set(inputs_of(detectors[name], Form())) for name in seen} == seen


def test_a_threshold_that_is_no_float32_gives_the_same_verdicts(detectors: dict[str, Detector]) -> None:
    """The exported one is the least float32 number that reaches it: a score equal to it is anomalous in both."""
    score = np.float32(0.3)
    for threshold in (float(score), np.nextafter(float(score), np.inf), np.nextafter(float(score), -np.inf)):
        pair = {"image": float(threshold), "pixel": 0.0}
        detector = replace(detectors["stfpm"], thresholds={"f1_image": pair})
        exported = ExportedDetector(detector, Form()).get_buffer("image_threshold").numpy()
        assert (score >= exported) == (np.float64(score) >= threshold)


def test_a_detector_that_no_cell_has_measured_has_no_thresholds(detectors: dict[str, Detector]) -> None:
    detector = replace(detectors["stfpm"], thresholds={}, policy=None)
    batch = as_inputs(detector, Form(), inputs(detector, 1))
    outputs = ExportedDetector(detector, Form())(
        **{name: torch.from_numpy(value) for name, value in batch.items()}
    )
    assert list(outputs) == ["map", "score"]


def test_pixels_from_0_to_1_give_the_numbers_of_8_bits(detectors: dict[str, Detector]) -> None:
    detector, found = detectors["stfpm"], []
    for form in (Form(input="uint8"), Form(input="float32")):
        image = torch.from_numpy(as_inputs(detector, form, inputs(detector, 2))["image"])
        found.append(ExportedDetector(detector, form)(image=image)["map"])
    torch.testing.assert_close(found[0], found[1], atol=0, rtol=0)


def test_a_method_that_counts_its_images_cannot_be_exported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def one_by_one(_: object, batch: Batch) -> torch.Tensor:
        return torch.stack([batch.image[i, 0] for i in range(len(batch))])

    detector = make_detector("stfpm")
    monkeypatch.setattr(type(detector.method), "anomaly_map", one_by_one)
    with pytest.raises(BenchmarkError, match=r"stfpm washer: the method cannot be exported \(.*batch.*\)"):
        export(detector, Form())


def test_weights_that_do_not_fit_into_an_onnx_file_are_refused(
    detectors: dict[str, Detector], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.deployment.onnx_file.MAX_BYTES", 1000)
    with pytest.raises(BenchmarkError, match=r"model.onnx: the weights take .* GB; expected .* a \.pt2 file"):
        write_onnx(detectors["uninformed_students"], tmp_path / "model.onnx")
