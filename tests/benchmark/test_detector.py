"""The detector: trained once, loaded by its key, applied to images, and refused when it is damaged."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import benchmark.detector
from benchmark.cell import Cell
from benchmark.data.images import StoredImages
from benchmark.detector import Detector, load_detector
from benchmark.detector_files import ABOUT, THRESHOLDS, WEIGHTS
from benchmark.errors import BenchmarkError
from benchmark.identity import keys_of
from benchmark.inference_cost import InferenceCosts
from benchmark.run_cell import CellResult, run_cell
from benchmark.settings.evaluation import Evaluation
from datasets.batch import Batch
from datasets.synthetic import Synthetic, Synthetic3D
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from metrics import THRESHOLD_POLICIES
from store.errors import StoreError
from tests.benchmark.conftest import CPU, make_settings, make_training
from tests.conftest import PROJECT_ROOT

STFPM = {"_target_": "methods.stfpm.STFPM", "layers": ["layer1"]}
AST = {
    "_target_": "methods.ast.AsymmetricStudentTeacher",
    "layers": ["layer2"],
    "mode": "rgbd",
    "flow_hidden": 8,
    "student_hidden": 8,
}


def make(folder: Path, **changes: Any) -> Cell:
    dataset = Synthetic(folder / "data", ["washer"], image_size=64, train=8, test_good=2, test_defective=2)
    given: dict[str, Any] = {
        "name": "stfpm washer",
        "method_name": "stfpm",
        "method": STFPM,
        "layers": ("layer1",),
        "crop_layers": (),
        "category": dataset.category("washer"),
        "seed": 0,
        "backbone": FeatureBackbone("resnet18.tv_in1k", "random"),
        "runtime": CPU,
        "settings": make_settings(folder / "cache"),
        "training": make_training(epochs=1),
        "evaluation": Evaluation(4, "f1_image", 0.995, 0.3, ["exact"]),
    }
    return Cell(**(given | changes))


def run(cell: Cell, folder: Path, force: bool = False) -> CellResult:
    return run_cell(cell, keys_of(cell)[0], folder, InferenceCosts(), force)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def result(folder: Path) -> CellResult:
    return run(make(folder), folder)


@pytest.fixture
def saved(result: CellResult, tmp_path: Path) -> Path:
    """Return a folder with the detector of the measured cell."""
    result.detector.save(tmp_path / "detector")
    return tmp_path / "detector"


def paths(stored: StoredImages) -> list[Path]:
    return [sample.image for sample in stored.samples]


def test_it_is_trained_once_and_measured_as_often_as_needed(
    folder: Path, result: CellResult, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    other = make(folder, evaluation=Evaluation(4, "dice_max", 0.995, 0.2, ["exact", "rescaled"]))
    again = run(other, folder)
    assert "trained before, detector loaded from" in caplog.text
    assert "trains for" not in caplog.text
    np.testing.assert_array_equal(again.scores.maps[:], result.scores.maps[:])
    assert again.measures.values["pixel_auroc"] == result.measures.values["pixel_auroc"]
    assert again.measures.values["pro"] != result.measures.values["pro"]
    assert again.detector.records == result.detector.records


def test_a_batch_that_does_not_fit_into_the_devices_memory_is_named_by_its_option(
    folder: Path, result: CellResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The detector is kept, so that only the scoring is repeated."""

    def fill(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB\nin several lines")

    monkeypatch.setattr("methods.stfpm.STFPM.anomaly_map", fill)
    with pytest.raises(BenchmarkError) as refused:
        run(make(folder), folder)
    assert str(refused.value) == (
        "evaluation.batch_size=4: a batch does not fit into the device's memory (CUDA out of memory. Tried to allocate "
        "20 GiB); set a smaller one, which changes no training"
    )


def test_it_can_be_forced_to_train_again(
    folder: Path, result: CellResult, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    again = run(make(folder), folder, force=True)
    assert "trains for" in caplog.text
    assert again.measures.values == result.measures.values


def test_it_holds_everything_that_its_use_needs(result: CellResult, saved: Path) -> None:
    about = json.loads((saved / ABOUT).read_text())
    assert about["method"] == {"name": "stfpm", "options": STFPM}
    assert (about["category"], about["seed"]) == ("washer", 0)
    assert about["backbone"]["layers"] == ["layer1"]
    assert about["backbone"]["layers_sha256"] == FeatureBackbone("resnet18", "random").digest(["layer1"])
    assert about["preprocessing"]["image_size"] == 64
    assert about["preprocessing"]["mean"] == [0.485, 0.456, 0.406]
    assert {"torch", "timm", "numpy"} <= set(about["versions"])
    assert about["training_key"]
    assert about["environment"]["git_commit"]
    thresholds = json.loads((saved / THRESHOLDS).read_text())
    assert thresholds["policy"] == "f1_image"
    assert set(thresholds["thresholds"]) == {*THRESHOLD_POLICIES}
    assert thresholds["thresholds"]["f1_image"]["pixel"] == result.measures.threshold


def test_images_are_normalised_as_recorded(result: CellResult, saved: Path) -> None:
    detector, image = load_detector(saved, device="cpu"), paths(result.stored)[0]
    expected = detector.predict(image).maps
    preprocessing = {**detector.about["preprocessing"], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    other = replace(detector, about={**detector.about, "preprocessing": preprocessing})
    assert not np.allclose(other.predict(image).maps, expected)


@pytest.fixture
def tf32() -> Iterator[Callable[[], tuple[bool, bool]]]:
    """Allow TF32 in this process, as torch does for convolutions by default; return what is allowed."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = True
    yield lambda: (cudnn.allow_tf32, matmul.allow_tf32)
    cudnn.allow_tf32, matmul.allow_tf32 = before


def test_float32_is_not_rounded_to_tf32_whatever_the_process_allows(
    result: CellResult, monkeypatch: pytest.MonkeyPatch, tf32: Callable[[], tuple[bool, bool]]
) -> None:
    seen = []
    score = benchmark.detector.score_inputs

    def watched(*given: Any) -> Any:
        seen.append(tf32())
        return score(*given)

    monkeypatch.setattr(benchmark.detector, "score_inputs", watched)
    result.detector.predict(paths(result.stored)[0])
    assert seen == [(False, False)]
    assert tf32() == (True, True)


@pytest.mark.parametrize("form", ["paths", "arrays", "pictures"])
def test_a_loaded_detector_gives_the_very_numbers_of_its_cell(
    result: CellResult, saved: Path, form: str
) -> None:
    detector = load_detector(saved, device="cpu")
    images: list[Any] = paths(result.stored)
    if form != "paths":
        images = [Image.open(path).convert("RGB") for path in images]
    if form == "arrays":
        images = [np.asarray(image) for image in images]
    predictions = detector.predict(images, batch_size=4)
    np.testing.assert_array_equal(predictions.maps, result.scores.maps[:])
    np.testing.assert_array_equal(predictions.scores, result.scores.images)
    assert predictions.verdicts is not None
    expected = result.scores.images >= result.measures.image_threshold
    np.testing.assert_array_equal(predictions.verdicts, expected)


def test_one_image_is_enough_and_another_policy_can_judge_it(result: CellResult, saved: Path) -> None:
    detector = load_detector(str(saved), device="cpu")
    prediction = detector.predict(str(paths(result.stored)[0]), policy="dice_max")
    assert prediction.maps.shape == (1, 64, 64)
    assert prediction.verdicts is not None
    judged = prediction.maps.max() >= detector.thresholds["dice_max"]["image"]
    assert prediction.verdicts.tolist() == [judged]
    with pytest.raises(BenchmarkError, match=r"policy=best.*known: f1_image, dice_max"):
        detector.predict(paths(result.stored)[0], policy="best")


def test_a_detector_that_no_cell_has_measured_gives_scores_without_verdicts(
    folder: Path, result: CellResult
) -> None:
    (kept,) = (path for path in (folder / "detectors").iterdir() if path.is_dir())
    predictions = load_detector(kept, device="cpu").predict(paths(result.stored), batch_size=4)
    np.testing.assert_array_equal(predictions.scores, result.scores.images)
    assert predictions.verdicts is None


def test_a_method_with_depth_predicts_from_images_and_point_clouds(tmp_path: Path) -> None:
    sizes: dict[str, Any] = {"train": 4, "validation": 2, "test_good": 2, "test_defective": 1}
    category = Synthetic3D(tmp_path / "data", ["rod"], image_size=64, **sizes).category("rod")
    cell = make(
        tmp_path,
        category=category,
        method=AST,
        layers=("layer2",),
        runtime=replace(CPU, channels_last=False),
        training=make_training(epochs=1, depth_size=64, optimizer={"_target_": "torch.optim.Adam"}),
    )
    result = run(cell, tmp_path)
    result.detector.save(tmp_path / "detector")
    detector = load_detector(tmp_path / "detector", device="cpu")
    clouds: list[Any] = [sample.xyz for sample in result.stored.samples]
    predictions = detector.predict(paths(result.stored), clouds, batch_size=4)
    np.testing.assert_array_equal(predictions.scores, result.scores.images)
    with pytest.raises(BenchmarkError, match="found 0 point clouds"):
        detector.predict(paths(result.stored))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", [ABOUT, WEIGHTS, THRESHOLDS])
def test_a_damaged_file_is_refused_by_name(saved: Path, name: str) -> None:
    flip(saved / name)
    with pytest.raises(StoreError, match=f"{name}: the file is damaged"):
        load_detector(saved)


def test_a_sweep_trains_a_damaged_detector_again_to_the_same_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(make(tmp_path), tmp_path)
    (kept,) = (path for path in (tmp_path / "detectors").iterdir() if path.is_dir())
    flip(kept / WEIGHTS)
    again = run(make(tmp_path), tmp_path)
    assert f"{WEIGHTS}: the file is damaged" in caplog.text
    np.testing.assert_array_equal(again.scores.maps[:], first.scores.maps[:])


def test_flipped_bits_in_images_masks_and_features_are_healed_to_the_same_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(make(tmp_path), tmp_path)
    cache = tmp_path / "cache"
    masks = next(path for path in cache.rglob("masks.npy") if np.load(path).any())  # of the test images
    images = next(path for path in cache.rglob("images.npy") if path.parent != masks.parent)
    arrays = [images, masks, *cache.rglob("layer1.npy")]
    for path in arrays:
        flip(path)
    again = run(make(tmp_path), tmp_path, force=True)
    for path in arrays:
        assert f"{path}: the file is damaged" in caplog.text
    assert again.measures.values == first.measures.values


def test_weights_of_another_teacher_are_refused(saved: Path) -> None:
    about = json.loads((saved / ABOUT).read_text())
    about["backbone"]["seed"] = 1
    detector = load_detector(saved, device="cpu")
    other = saved.parent / "other"
    replace(detector, about=about).save(other)
    with pytest.raises(BenchmarkError, match="are not those that it was trained with"):
        load_detector(other)


class OneNumber(Method):
    """A method that is not part of the suite."""

    def __init__(self, backbone: FeatureBackbone, value: float = 1.0) -> None:
        super().__init__()
        self.student = nn.Linear(1, 1)
        self.value = value

    def stages(self) -> Iterator[Stage]:
        yield Stage("student", self.student, lambda batch: self.student(batch.image[:, :1, :1, 0]).mean())

    def anomaly_map(self, batch: Batch) -> torch.Tensor:
        return self.value * batch.image[:, 0]


def as_method(detector: Detector, folder: Path, target: str) -> Path:
    about = json.loads(json.dumps(dict(detector.about)))
    about["method"]["options"] = {"_target_": target}
    about["backbone"]["layers"] = []
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    replace(detector, about=about, method=OneNumber(backbone)).save(folder)
    return folder


def test_its_files_do_not_decide_which_code_is_imported(result: CellResult, tmp_path: Path) -> None:
    for number, target in enumerate(
        ("os.system", "methods.rd.halve", "somewhere.Else", "antigravity.geohash")
    ):
        folder = as_method(result.detector, tmp_path / str(number), target)
        with pytest.raises(BenchmarkError, match=f"the method {target} is not part of this suite"):
            load_detector(folder)
    assert "antigravity" not in sys.modules


def test_a_class_of_ones_own_is_given_or_imported_before(result: CellResult, tmp_path: Path) -> None:
    folder = as_method(result.detector, tmp_path / "own", "mine.OneNumber")
    detector = load_detector(folder, method_class=OneNumber)
    assert isinstance(detector.method, OneNumber)


@pytest.mark.parametrize("where", ["nowhere", "runs:/short", "0" * 32])
def test_what_is_no_detector_is_named(tmp_path: Path, where: str) -> None:
    with pytest.raises(StoreError, match=where):
        load_detector(where, tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")


def test_the_example_of_the_documentation_runs(saved: Path, result: CellResult) -> None:
    code = (
        "from benchmark.detector import load_detector\n"
        f"detector = load_detector({str(saved)!r})\n"
        f"print(detector.predict({str(paths(result.stored)[0])!r}).scores[0])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True, check=True
    )
    assert float(done.stdout) == pytest.approx(result.scores.images[0], rel=1e-5)
