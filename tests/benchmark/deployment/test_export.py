"""The command: what it writes and prints, and mistakes in one line."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from benchmark.deployment import exporting
from benchmark.deployment.pt2_file import write_pt2
from benchmark.detector import Detector
from benchmark.export import main
from tests.benchmark.deployment.small_detectors import make_detector

pytestmark = pytest.mark.usefixtures("_one_thread")


class Outcome(NamedTuple):
    """What the command returned and printed."""

    code: int
    stdout: str
    stderr: str


Command = Callable[..., Outcome]


@pytest.fixture(scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: object) -> Outcome:
        return Outcome(main([str(each) for each in arguments]), *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of detectors, each in a folder of its name, and of images."""
    folder = tmp_path_factory.mktemp("detectors")
    make_detector("stfpm", precision="bf16").save(folder / "stfpm_bf16")
    make_detector("ast_depth").save(folder / "ast_depth")
    random = np.random.default_rng(0)
    for number, size in enumerate([(40, 50), (70, 45)]):
        path = folder / "images" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(random.integers(0, 256, (*size, 3), np.uint8)).save(path)
    return folder


def test_it_writes_a_file_and_prints_differences_and_times(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    found = command(
        *(folder / "stfpm_bf16", tmp_path / "model.onnx", "--resize", "--images", folder / "images"),
        *("--batch-size", 2),
    )
    assert (found.code, found.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    (image,) = onnx.load(tmp_path / "model.onnx").graph.input
    sizes = [size.dim_param or size.dim_value for size in image.type.tensor_type.shape.dim]
    assert (image.name, sizes) == ("image", ["batch", 3, "height", "width"])
    lines = found.stdout.splitlines()
    assert lines[0] == f"compared on 2 images in {folder / 'images'}"
    assert re.fullmatch(r".*model\.onnx: stfpm washer, \d+\.\d MB, float32", lines[1])
    number = r"\d\.\de-?\+?\d\d \(relative \d\.\de-?\+?\d\d\)"
    differences = rf"maps {number}, scores {number}; different verdicts: \d"
    assert re.fullmatch(
        rf"largest differences from the detector, in batches of 1, 2: {differences}", lines[2]
    )
    assert re.fullmatch(rf".* in bf16, the file computes in float32; .* in bf16: {differences}", lines[4])
    assert re.fullmatch(rf"resized in the file instead of by Pillow: {differences}", lines[5])
    assert re.fullmatch(r"ms per image \(1 thread\) +batch 1 +batch 2", lines[6])
    assert re.fullmatch(r"file \(onnxruntime\) +\d+\.\d +\d+\.\d", lines[7])
    assert re.fullmatch(r"detector \(torch\) +\d+\.\d +\d+\.\d", lines[8])


def test_without_images_they_are_generated_which_it_says(
    command: Command, folder: Path, tmp_path: Path
) -> None:
    found = command(folder / "ast_depth", tmp_path / "model.pt2", "--batch-size", 1)
    assert found.code == 0
    assert found.stdout.startswith("compared on 4 images generated, noise of several scales")


def test_a_file_that_differs_is_removed(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_another(detector: Detector, path: Path, **options: object) -> None:
        preprocessing = {**detector.about["preprocessing"], "mean": [0.5, 0.5, 0.5]}
        write_pt2(replace(detector, about={**detector.about, "preprocessing": preprocessing}), path)

    wrong = exporting.FORMATS[".pt2"]._replace(write=write_another)
    monkeypatch.setitem(exporting.FORMATS, ".pt2", wrong)
    found = command(folder / "stfpm_bf16", tmp_path / "model.pt2", "--batch-size", 1)
    assert found.code == 1
    (line,) = found.stderr.splitlines()
    assert re.match(
        r"error: .*model\.pt2: differs from the detector: maps .*relative \d.*; the file is removed", line
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{folder}/stfpm_bf16", "model.h5"], "model.h5: found the suffix .h5; expected .onnx or .pt2"),
        (["{folder}/stfpm_bf16", "model"], "model: found the suffix (none); expected .onnx or .pt2"),
        (["{folder}/stfpm_bf16", "nowhere/model.pt2"], "nowhere/model.pt2: there is no folder nowhere"),
        (["nowhere", "model.pt2"], "nowhere: expected a folder with detector.json, a run id, or runs:/<id>"),
        (
            ["{folder}/stfpm_bf16", "model.pt2", "--images", "nowhere"],
            "nowhere: there is no such file or folder",
        ),
        (["{folder}/ast_depth", "model.pt2", "--resize"], "--resize: the detector sees depth alone"),
        (["model.pt2"], "found no detector and the file model.pt2; expected a detector and a file"),
        (
            ["{folder}/stfpm_bf16", "model.pt2", "--method", "rd"],
            "expected a detector and a file, or a file with",
        ),
        (["{folder}/stfpm_bf16", "model.pt2", "--batch-size", "0"], "--batch-size 0: expected 1 or more"),
        (["{folder}/stfpm_bf16", "model.pt2", "--input", "int8"], "argument --input: invalid choice: 'int8'"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main([each.format(folder=folder) for each in arguments])
    except SystemExit as end:  # of argparse
        code = int(end.code or 0)
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert message in line
    assert list(tmp_path.iterdir()) == []


def test_missing_packages_are_named(
    command: Command, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else known(name)
    )
    found = command(folder / "stfpm_bf16", tmp_path / "model.onnx")
    assert (found.code, found.stdout) == (2, "")
    (line,) = found.stderr.splitlines()
    assert "onnxscript" in line
    assert 'pip install ".[export]"' in line
