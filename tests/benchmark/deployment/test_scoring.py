"""Files are scored as in their cell, in order, whatever some of them hold."""

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmark.deployment.inputs import Input
from benchmark.deployment.scoring import Broken, Result, Scored, score_files
from benchmark.errors import BenchmarkError
from benchmark.prediction import PART
from methods.backbone import FeatureBackbone
from tests.benchmark.conftest import CPU
from tests.benchmark.deployment.conftest import Trained
from tests.benchmark.test_prediction import PREPROCESSING, Brightness


def toy(method: Brightness) -> Any:
    return SimpleNamespace(
        method=method,
        backbone=FeatureBackbone("resnet18.tv_in1k", "random"),
        runtime=CPU,
        about={"preprocessing": PREPROCESSING},
        own_batch_size=16,
    )


def save(path: Path, value: int) -> Input:
    Image.new("RGB", (8, 8), (value,) * 3).save(path)
    return Input(path)


def flat(parts: Any) -> list[Result]:
    return [each for part in parts for each in part]


def test_scores_and_maps_are_those_of_the_cell_to_the_last_bit(trained: Trained) -> None:
    samples = trained.result.stored.samples
    assert trained.load().own_batch_size == 4  # that of the cell
    found = flat(score_files(trained.load(), [Input(sample.image) for sample in samples]))
    assert all(isinstance(each, Scored) for each in found)
    scored = [each for each in found if isinstance(each, Scored)]
    assert [each.score for each in scored] == trained.result.scores.images.tolist()
    np.testing.assert_array_equal([each.anomaly_map for each in scored], trained.result.scores.maps[:])
    assert [each.map_max for each in scored] == trained.result.scores.map_max.tolist()


def test_a_broken_image_costs_only_itself_and_keeps_its_place(tmp_path: Path) -> None:
    inputs = [save(tmp_path / f"{i}.png", i) for i in range(40)]
    for broken in (0, 7, 33, 39):
        inputs[broken].file.write_bytes(inputs[broken].file.read_bytes()[:40])
    found = flat(score_files(toy(Brightness()), [*inputs, Input(tmp_path / "gone.png")]))
    assert [each.input for each in found] == [*inputs, Input(tmp_path / "gone.png")]
    reasons = {each.input.file.stem: each.reason for each in found if isinstance(each, Broken)}
    assert set(reasons) == {"0", "7", "33", "39", "gone"}
    assert all(f"{name}.png: " in reason and "\n" not in reason for name, reason in reasons.items())
    values = {int(each.input.file.stem): each.score for each in found if isinstance(each, Scored)}
    assert values == pytest.approx({i: i / 255 for i in range(40) if i not in (0, 7, 33, 39)})


def test_an_error_of_a_library_over_a_file_costs_only_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = [save(tmp_path / f"{i}.png", i) for i in range(2)]

    def fail(sample: Any, *_: Any, **__: Any) -> Any:
        if sample.image.name == "0.png":
            raise KeyError("tag 273\nof 9")
        return SimpleNamespace(arrays={"images": np.zeros((8, 8, 3), np.uint8)})

    monkeypatch.setattr("benchmark.prediction.decode", fail)
    broken, scored = flat(score_files(toy(Brightness()), inputs))
    assert isinstance(broken, Broken)
    assert broken.reason == f"{inputs[0].file}: cannot be read (KeyError: 'tag 273\\nof 9')"
    assert isinstance(scored, Scored)


def test_images_are_scored_part_by_part_without_reading_far_ahead(tmp_path: Path) -> None:
    one = save(tmp_path / "0.png", 0)
    endless = count()
    parts = score_files(toy(Brightness()), (one for _ in endless))
    assert len(next(parts)) == 32
    assert next(endless) <= PART


def test_a_batch_that_does_not_fit_into_memory_is_named_by_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Brightness, "anomaly_map", fill)
    with pytest.raises(BenchmarkError, match=r"--batch-size 16: a batch does not fit .*give a smaller one"):
        flat(score_files(toy(Brightness()), [save(tmp_path / "0.png", 0)]))


def test_no_image_gives_no_result() -> None:
    assert flat(score_files(toy(Brightness()), [])) == []
