"""Scoring, measuring and recording at the edge of what is possible, and outputs that no method may return."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmark.cell import Cell
from benchmark.data.batches import Images, as_batches
from benchmark.data.images import StoredImages
from benchmark.detector import Detector
from benchmark.detector_files import THRESHOLDS
from benchmark.errors import BenchmarkError
from benchmark.inference_cost import measure_inference
from benchmark.measuring import measure
from benchmark.pairs import sample_pairs
from benchmark.recording import record
from benchmark.run_cell import CellResult
from benchmark.scoring import score
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.sweep import Tracking
from datasets.batch import Batch
from datasets.category import Sample
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import PRO_VARIANTS, THRESHOLD_POLICIES
from store.files import read_maps, read_regions, read_scores
from store.pending import Pending, new_pending
from tests.benchmark.conftest import CPU
from tests.methods.samples import IMAGENET

Array = NDArray[Any]
MIXED = ("good", "dent", "good", "dent", "good")


class Returns(Method):
    """Returns given maps (N, h, w) of the N images, and their scores: by default the largest pixels."""

    def __init__(self, maps: Any, scores: Any = None) -> None:
        super().__init__()
        self.maps, self.scores = maps, scores

    def anomaly_map(self, batch: Batch) -> Tensor:
        return self.maps[self.positions(batch)] if isinstance(self.maps, Tensor) else self.maps

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        if self.scores is None:
            return super().image_score(anomaly_map, batch)
        return self.scores[self.positions(batch)] if isinstance(self.scores, Tensor) else self.scores

    def teacher_student_pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        maps = self.anomaly_map(batch)[:, None]
        return maps, maps, torch.ones_like(maps[:, 0], dtype=torch.bool)

    @staticmethod
    def positions(batch: Batch) -> list[int]:
        return [int(Path(path).stem) for path in batch.paths]


def test_images(kinds: tuple[str, ...], side: int, masks: Array | None) -> Images:
    samples = tuple(
        Sample(
            Path(f"test/{kind}/{i}.png"),
            kind,
            None if kind == "good" or masks is None else Path(f"{i}_mask.png"),
        )
        for i, kind in enumerate(kinds)
    )
    pixels = np.random.default_rng(0).integers(0, 256, (len(kinds), side, side, 3), dtype=np.uint8)
    return as_batches(StoredImages(samples, pixels, masks, "key"), None, IMAGENET, CPU, 1.0)


test_images.__test__ = False  # type: ignore[attr-defined]


def random_masks(kinds: tuple[str, ...], side: int) -> Array:
    masks = np.random.default_rng(1).random((len(kinds), side, side)) < 0.3
    masks[:, 0, 0] = True
    return masks & np.array([kind != "good" for kind in kinds])[:, None, None]


@dataclass
class Outcome:
    """What a cell leaves."""

    result: CellResult
    pending: Pending

    @property
    def metrics(self) -> dict[str, float]:
        return {name: values[0] for name, values in self.pending.metrics.items()}


def run(folder: Path, method: Method, images: Images, policy: str = "f1_image") -> Outcome:
    """Score, measure and record a test set, as a cell does."""
    settings = Evaluation(2, policy, 0.995, 0.3, PRO_VARIANTS)
    scores = score(method, images, settings.batch_size)
    measures = measure(settings, images.stored, scores, scores)
    thresholds = {
        name: {"pixel": pixel, "image": image} for name, (pixel, image) in measures.thresholds.items()
    }
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    result = CellResult(
        detector=Detector(method, backbone, CPU, {"stages": []}, thresholds, policy),
        cost=measure_inference(method, images, settings.batch_size, repeats=1),
        timed_category="washer",
        peak_memory_gb=1.0,
        stored=images.stored,
        scores=scores,
        measures=measures,
        pairs=sample_pairs(method, images),
    )
    category = SimpleNamespace(train=range(17))
    cell = SimpleNamespace(
        name="toy", category=category, trained_on=category, evaluation=settings, held_out=()
    )
    pending = new_pending(
        folder / "pending", {"id": "0", "name": "toy", "uri": "", "experiment": "", "tags": {}}
    )
    record(cast(Cell, cell), result, Tracking("", ""), ["dice"], pending)
    return Outcome(result, pending)


def check(outcome: Outcome) -> None:
    """Check that everything is finite, every measure is in its range or has a cause, and the files can be read."""
    measures, files = outcome.result.measures, outcome.pending.files
    assert np.isfinite(list(outcome.metrics.values())).all()
    assert all(0 <= value <= 1 or name in measures.missing for name, value in measures.values.items())
    assert all(np.isfinite(pair).all() for pair in measures.thresholds.values())
    np.testing.assert_array_equal(read_scores(files / "scores.csv")["score"], outcome.result.scores.images)
    maps = outcome.result.scores.maps[:]
    np.testing.assert_allclose(read_maps(files / "maps.npz").maps, maps, atol=np.abs(maps).max() / 2**10)
    if not measures.pixels.one_class:
        regions = read_regions(files / "regions.csv")
        assert regions["pro"].mean() == pytest.approx(outcome.metrics["pro"], abs=1e-9)


MAPS: dict[str, Callable[[Array, np.random.Generator], Array]] = {
    "negative": lambda masks, rng: -1 - rng.random(masks.shape) + masks,
    "constant": lambda masks, rng: np.full(masks.shape, 0.1),
    "zero": lambda masks, rng: np.zeros(masks.shape),
    "inverted": lambda masks, rng: rng.random(masks.shape) - masks,
    "all of float32": lambda masks, rng: np.float32(3.4e38) * rng.uniform(-1, 1, masks.shape),
    "largest constant": lambda masks, rng: np.full(masks.shape, 3.4e38),
    "from 1e-30 to 1e30": lambda masks, rng: 10.0 ** rng.uniform(-30, 30, masks.shape),
    "denormal": lambda masks, rng: 1e-44 * rng.integers(0, 9, masks.shape),
    "one outlier": lambda masks, rng: (
        rng.random(masks.shape) + 1e30 * (np.arange(masks.size) == 7).reshape(masks.shape)
    ),
}


@pytest.mark.parametrize("policy", THRESHOLD_POLICIES)
@pytest.mark.parametrize("kind", MAPS)
def test_maps_of_any_values_are_measured_and_recorded(tmp_path: Path, kind: str, policy: str) -> None:
    masks = random_masks(MIXED, 8)
    maps = torch.from_numpy(MAPS[kind](masks, np.random.default_rng(2)).astype(np.float32))
    check(run(tmp_path, Returns(maps), test_images(MIXED, 8, masks), policy))


@pytest.mark.parametrize("side", [1, 2, 3, 5, 16])
def test_images_of_few_pixels_are_measured_and_recorded(tmp_path: Path, side: int) -> None:
    masks = random_masks(MIXED, side)
    maps = torch.from_numpy(np.random.default_rng(3).random(masks.shape, np.float32))
    check(run(tmp_path, Returns(maps), test_images(MIXED, side, masks)))


@pytest.mark.parametrize("masks", ["none", "empty", "full", "one pixel"])
@pytest.mark.parametrize("kinds", [MIXED, ("good",), ("dent",), ("good", "good"), ("dent", "dent")], ids=str)
def test_sets_of_one_image_or_one_class_are_measured_and_recorded(
    tmp_path: Path, kinds: tuple[str, ...], masks: str
) -> None:
    truth = np.zeros((len(kinds), 4, 4), bool)
    anomalous = np.array([kind != "good" for kind in kinds])
    truth[anomalous] = masks == "full"
    truth[anomalous, 0, 0] |= masks == "one pixel"
    maps = torch.from_numpy(np.random.default_rng(4).random(truth.shape, np.float32))
    images = test_images(kinds, 4, None if masks == "none" and anomalous.any() else truth)
    outcome = run(tmp_path, Returns(maps), images)
    check(outcome)
    without = outcome.metrics["images_without_ground_truth"]
    assert without == (anomalous.sum() if masks == "none" else 0)


@pytest.mark.parametrize(
    "scores", [[0.5] * 5, [-1e300, 1e300, 0, -1e-300, 5e-324], [-3.0, -2.0, -5.0, -1.0, -4.0]], ids=str
)
def test_image_scores_of_any_finite_value_are_recorded(tmp_path: Path, scores: list[float]) -> None:
    masks = random_masks(MIXED, 4)
    maps = torch.from_numpy(np.random.default_rng(5).random(masks.shape, np.float32))
    values = torch.tensor(scores, dtype=torch.float64)
    outcome = run(tmp_path, Returns(maps, values), test_images(MIXED, 4, masks))
    check(outcome)
    assert outcome.result.scores.images.tolist() == scores


def test_the_detector_is_saved_with_the_thresholds_of_every_policy(tmp_path: Path) -> None:
    masks = random_masks(MIXED, 8)
    outcome = run(tmp_path, Returns(torch.from_numpy(masks.astype(np.float32))), test_images(MIXED, 8, masks))
    assert (outcome.pending.files / "detector" / THRESHOLDS).exists()
    assert set(outcome.result.detector.thresholds) == set(THRESHOLD_POLICIES)


GOOD = torch.zeros(5, 4, 4)


def refusal(method: Method) -> str:
    """Return the message with which a method's output is refused."""
    with pytest.raises(BenchmarkError) as refused:
        score(method, test_images(MIXED, 4, random_masks(MIXED, 4)), 2)
    (line,) = str(refused.value).splitlines()
    return line


@pytest.mark.parametrize(
    ("maps", "found"),
    [
        (GOOD[:, None], "shape (2, 1, 4, 4) of torch.float32"),
        (GOOD[:, 0], "shape (2, 4) of torch.float32"),
        (GOOD[:, :0], "shape (2, 0, 4) of torch.float32"),
        (GOOD > 0, "shape (2, 4, 4) of torch.bool"),
        (GOOD.long(), "shape (2, 4, 4) of torch.int64"),
        (GOOD.to(torch.complex64), "shape (2, 4, 4) of torch.complex64"),
        (GOOD.numpy(), "ndarray"),
        (None, "NoneType"),
    ],
    ids=str,
)
def test_anything_but_maps_is_refused(maps: Any, found: str) -> None:
    assert refusal(Returns(maps)) == (
        f"Returns.anomaly_map: found {found} for 2 images; expected shape (2, h, w) of floating-point numbers"
    )


@pytest.mark.parametrize(
    ("scores", "found"),
    [
        (GOOD[:, :1, 0], "shape (2, 1) of torch.float32"),
        (GOOD, "shape (2, 4, 4) of torch.float32"),
        (torch.arange(5), "shape (2,) of torch.int64"),
        (0.5, "float"),
    ],
    ids=str,
)
def test_anything_but_a_score_for_each_image_is_refused(scores: Any, found: str) -> None:
    assert refusal(Returns(GOOD, scores)) == (
        f"Returns.image_score: found {found} for 2 images; expected shape (2,) of floating-point numbers"
    )


def test_a_map_for_another_number_of_images_is_refused() -> None:
    class First(Returns):
        def anomaly_map(self, batch: Batch) -> Tensor:
            return super().anomaly_map(batch)[:1]

    assert "found shape (1, 4, 4) of torch.float32 for 2 images" in refusal(First(GOOD))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("image", [0, 3, 4])
def test_the_first_image_with_a_value_that_is_not_finite_is_named(value: float, image: int) -> None:
    maps, scores = GOOD.clone(), torch.zeros(5)
    maps[image:, 1, 2:4] = value
    path = f"test/{MIXED[image]}/{image}.png"
    assert refusal(Returns(maps, scores)) == (
        f"{path}: Returns gives NaN or infinity in 2 of 16 pixels of its anomaly map; expected finite numbers"
    )
    scores[image] = value
    assert refusal(Returns(GOOD, scores)) == (
        f"{path}: Returns gives NaN or infinity in its image score; expected finite numbers"
    )


def test_a_value_too_large_for_float32_is_refused() -> None:
    maps = GOOD.double()
    maps[1, 0, 0] = 1e39
    assert refusal(Returns(maps)).startswith(
        "test/dent/1.png: Returns gives NaN or infinity in 1 of 16 pixels"
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_maps_and_scores_of_any_floating_type_are_taken(dtype: torch.dtype) -> None:
    maps = torch.linspace(0, 1, 80, dtype=dtype).reshape(5, 4, 4)
    scores = score(Returns(maps, maps[:, 0, 0]), test_images(MIXED, 4, None), 2)
    np.testing.assert_array_equal(scores.maps[:], maps.float().numpy())
    np.testing.assert_array_equal(scores.images, maps[:, 0, 0].double().numpy())
