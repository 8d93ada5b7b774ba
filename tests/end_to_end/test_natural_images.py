"""Natural images in every training step: where a folder of them is named and where none is, the run says so."""

from pathlib import Path

import pytest

from datasets.synthetic import generate
from tests.end_to_end.command import TINY, run_here

STEPS = tuple(f"method.training.stages.{stage}.steps=4" for stage in ("teacher", "student"))


@pytest.mark.slow
def test_a_folder_of_natural_images_gives_other_numbers_and_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = generate(
        tmp_path / "data", categories=["weave"], train=3, test_good=1, test_defective=1, image_size=64
    )
    named = f"method.training.pretraining.images={folder / 'weave' / 'train'}"
    chosen = ("method=efficient_ad", "dataset.categories=[washer]", "tracking.figure=false", *STEPS, *TINY)
    shown = []
    for options in ((), (named,)):
        outcome = run_here(tmp_path / "results", capfd, *chosen, *options)
        assert outcome.code == 0, outcome.stderr
        shown.append(" ".join(outcome.stdout.split()))
    without, with_some = outcome.runs("cell")
    assert without.data.tags["natural_images"] == "none"
    assert with_some.data.tags["natural_images"] == with_some.data.tags["pretraining_images"] == "train"
    assert "efficient_ad trained without natural images" in shown[0]
    assert "without natural images" not in shown[1]
    assert "teachers of efficient_ad pretrained on 3 images of train" in shown[1]
    assert without.data.metrics["student/loss"] != with_some.data.metrics["student/loss"]
