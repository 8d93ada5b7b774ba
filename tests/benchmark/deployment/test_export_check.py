"""The comparison of an exported file with its detector: differences, verdicts, images and batches."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmark.deployment import export_examples
from benchmark.deployment.export_check import (
    as_inputs,
    batches_of,
    compare,
    compare_at_size,
    compare_resizing,
    images_for,
    score_with_detector,
    score_with_file,
)
from benchmark.deployment.export_examples import from_folder, from_run, generated
from benchmark.deployment.exported import Form
from benchmark.detector import Detector
from benchmark.prediction import Predictions
from datasets.errors import DatasetError
from store.files import Pictures, write_pictures
from tests.benchmark.deployment.small_detectors import inputs, make_detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return make_detector("stfpm")


def predictions(maps: list[float], scores: list[float], verdicts: list[bool] | None = None) -> Predictions:
    return Predictions(
        np.array(maps, np.float32)[:, None, None],
        np.array(scores),
        None if verdicts is None else np.array(verdicts),
    )


def test_differences_are_relative_to_the_largest_value_that_is_expected() -> None:
    found = compare(predictions([1.0, 2.5], [-8.0, 1.5]), predictions([1.0, 2.0], [-8.0, 1.0]))
    assert (found.maps.absolute, found.maps.relative) == (0.5, 0.25)
    assert (found.scores.absolute, found.scores.relative) == (0.5, 0.0625)
    assert found.verdicts is None


def test_other_verdicts_are_counted() -> None:
    found = compare(
        predictions([1.0, 1.0], [1.0, 1.0], [True, False]), predictions([1.0, 1.0], [1.0, 1.0], [True, True])
    )
    assert found.is_close
    assert found.verdicts == 1
    assert str(found).endswith("different verdicts: 1")


def test_maps_of_nothing_but_zeros_are_no_error() -> None:
    zero = predictions([0.0], [0.0])
    assert compare(zero, zero).is_close
    assert not compare(predictions([1e-9], [0.0]), zero).is_close


@pytest.mark.parametrize("wrong", [1.001, np.nan, np.inf])
def test_numbers_that_differ_or_are_none_are_not_close(wrong: float) -> None:
    right = predictions([1.0], [1.0])
    assert compare(right, right).is_close
    assert not compare(predictions([wrong], [1.0]), right).is_close
    assert not compare(predictions([1.0], [wrong]), right).is_close


def test_dice_max_judges_the_largest_pixel_of_a_map(detector: Detector) -> None:
    def model(_: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        return {
            "map": np.array([[[0.1, 0.9]]], np.float32),
            "score": np.array([0.2], np.float32),
            "image_threshold": np.array(0.5, np.float32),
        }

    judged = {
        policy: score_with_file(
            replace(detector, policy=policy, thresholds={policy: {"image": 0.5, "pixel": 0.5}}), model, [{}]
        )
        for policy in ("f1_image", "dice_max")
    }
    assert judged["f1_image"].verdicts == [False]
    assert judged["dice_max"].verdicts == [True]


@pytest.mark.parametrize(("largest", "sizes"), [(8, [1, 2, 8]), (1, [1, 1, 1, 1]), (3, [1, 2, 3])])
def test_batches_of_all_sizes_are_compared(detector: Detector, largest: int, sizes: list[int]) -> None:
    decoded = inputs(detector, images_for(largest))
    batches = list(batches_of(detector, Form(), decoded, largest))
    assert [len(batch["image"]) for batch in batches] == sizes


def test_few_images_are_repeated(detector: Detector) -> None:
    seen = []

    def model(batch: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        seen.append(len(batch["image"]))
        return {"map": np.zeros((seen[-1], 32, 32), np.float32), "score": np.zeros(seen[-1], np.float32)}

    compare_at_size(detector, model, Form(), generated(detector, 2, resize=False), largest=4)
    assert seen == [1, 2, 4]


def test_inputs_have_the_type_that_the_file_takes(detector: Detector) -> None:
    decoded = inputs(detector, 2)
    whole, parts = (as_inputs(detector, Form(input=each), decoded)["image"] for each in ("uint8", "float32"))
    assert (whole.shape, whole.dtype, parts.dtype) == ((2, 3, 32, 32), np.uint8, np.float32)
    np.testing.assert_array_equal(whole[1], decoded[1].arrays["images"].transpose(2, 0, 1))
    np.testing.assert_array_equal(parts, whole / np.float32(255))


@pytest.mark.parametrize("name", ["stfpm", "ast_depth", "ast_rgbd"])
def test_generated_images_are_what_the_detector_takes(name: str) -> None:
    detector = make_detector(name)
    first, again = (generated(detector, 5, resize=True) for _ in range(2))
    assert len({each.original.shape for each in first}) > 2
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.original, other.original)
        assert one.decoded.arrays["images"].shape == (32, 32, 3)
        if name != "stfpm":
            depth, foreground = one.decoded.arrays["depth"], one.decoded.arrays["foreground"]
            assert (depth.dtype, foreground.dtype) == (np.float32, np.bool_)
            assert not depth[~foreground].any()
    assert np.isfinite(score_with_detector(detector, [each.decoded for each in first], 4).maps).all()


def test_images_of_a_folder_are_read_at_their_own_size_and_at_the_detectors(
    detector: Detector, tmp_path: Path
) -> None:
    Image.fromarray(np.full((40, 50, 3), 7, np.uint8)).save(tmp_path / "a.png")
    (example,) = from_folder(detector, tmp_path, resize=True)
    assert example.original.shape == (40, 50, 3)
    assert example.decoded.arrays["images"].shape == (32, 32, 3)
    with pytest.raises(DatasetError, match="found no point cloud"):
        from_folder(make_detector("ast_depth"), tmp_path, resize=False)


def test_images_of_a_run_are_its_pictures_evenly_spaced(
    detector: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"test/good/{number}.png" for number in range(9)]
    write_pictures(tmp_path, [np.full((32, 32, 3), 20 * i, np.uint8) for i in range(9)], None, names)

    class Kept:
        def __init__(self, *_: object) -> None: ...

        def scores(self, _: str) -> pd.DataFrame:
            return pd.DataFrame({"image": names})

        def pictures(self, _: str) -> Pictures:
            return Pictures(tmp_path / "pictures.zip", [])

    monkeypatch.setattr(export_examples, "Artifacts", Kept)
    found = from_run(detector, "0" * 32, "", count=3, resize=False)
    assert [int(each.original.mean()) for each in found] == pytest.approx([0, 80, 160], abs=2)
    assert from_run(make_detector("ast_rgbd"), "0" * 32, "", count=3, resize=False) == []


def test_resizing_is_compared_on_images_of_their_own_size_one_by_one(detector: Detector) -> None:
    """A stand-in for a file that resizes as Pillow does has no difference."""
    examples = generated(detector, 4, resize=True)
    # all at once: a network may round an image otherwise that is alone
    scored = score_with_detector(detector, [each.decoded for each in examples], 1)
    answers = iter(zip(scored.maps, scored.scores.astype(np.float32), strict=True))
    shapes = []

    def model(batch: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
        shapes.append(batch["image"].shape)
        own_map, own_score = next(answers)
        return {"map": own_map[None], "score": own_score[None]}

    found = compare_resizing(detector, model, Form(resize=True), examples)
    assert shapes == [(1, 3, *each.original.shape[:2]) for each in examples]
    assert (found.maps.absolute, found.scores.absolute) == (0, 0)
