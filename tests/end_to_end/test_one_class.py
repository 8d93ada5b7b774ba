"""One-class novelty detection by the real command: image measures alone, and a mean image score for rd."""

from pathlib import Path

import pytest

from tests.end_to_end.command import LIGHT, fails_plainly, run_here

FAST = (
    *("experiment=one_class", "backbone=resnet18", "backbone.weights=random", *LIGHT),
    *("method.training.image_size=32", "method.training.epochs=1", "method.training.batch_size=32"),
)


@pytest.mark.slow
def test_a_digit_against_all_others(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(tmp_path, capfd, "-m", *FAST, "method=rd,stfpm", "dataset.categories=[3]")
    assert outcome.code == 0, outcome.stderr
    assert "3: 122 train, 61 good and 538 anomalous" in outcome.stdout
    cells = {cell.data.tags["method"]: cell for cell in outcome.runs("cell")}
    for cell in cells.values():
        assert 0 <= cell.data.metrics["image_auroc"] <= 1
        assert not any(name.startswith("pixel") for name in cell.data.metrics)
    assert cells["rd"].data.params["method.image_score"] == "mean"
    assert "method.image_score" not in cells["stfpm"].data.params
    assert "ground truth" not in outcome.stderr
    assert "undefined, so left out" not in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["dataset=mnist"], ["dataset.root is not set", "MNIST/raw", "dataset.download=true"]),
        (
            ["dataset=cifar10", "dataset.root={}"],
            ["data_batch_1: the file is missing", "dataset.download=true"],
        ),
        (
            ["dataset=fashion_mnist", "dataset.root={}/none"],
            ["there is no such folder", "dataset.download=true"],
        ),
        (["dataset.categories=[11]"], ["dataset.categories: '11' is not a class of digits"]),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], parts: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    given = [argument.format(tmp_path) for argument in arguments]
    fails_plainly(run_here(tmp_path / "results", capfd, *FAST, "method=stfpm", *given), *parts)
