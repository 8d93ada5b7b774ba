"""Images with depth: each of AST's modes finds the generated defects that its input shows, and no others."""

import csv
from pathlib import Path

import pytest
from sklearn.metrics import roc_auc_score

from tests.end_to_end.command import Outcome, fails_plainly, run, run_here

MODES = ("rgb", "depth", "rgbd")
DEPTH_ONLY, COLOUR_ONLY, BOTH = "swelling", "paint", "glue"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Train on a part of one category's images; more test images make the AUROC steady."""
    outcome = run(
        tmp_path_factory.mktemp("results"),
        *("-m", "method=ast", f"method.mode={','.join(MODES)}", "dataset=synthetic_3d", "sweep=modes"),
        *("dataset.categories=[rod]", "dataset.train=32", "dataset.validation=1"),
        *("dataset.test_good=24", "dataset.test_defective=24", "method.training.epochs=16"),
    )
    assert outcome.code == 0, outcome.stderr
    return outcome


def scores(sweep: Outcome, mode: str) -> dict[str, list[float]]:
    """Return the logged image scores by kind."""
    (cell,) = (cell for cell in sweep.runs("cell") if cell.data.tags["mode"] == mode)
    found: dict[str, list[float]] = {}
    with sweep.artifact(cell, "scores.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["image"].startswith(f"test/{row['kind']}/rgb/")
            found.setdefault(row["kind"], []).append(float(row["score"]))
    return found


def auroc(sweep: Outcome, mode: str, kind: str) -> float:
    good, anomalous = (scores(sweep, mode)[name] for name in ("good", kind))
    return float(roc_auc_score([0] * len(good) + [1] * len(anomalous), good + anomalous))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["depth", "rgbd"])
def test_a_defect_in_depth_alone_is_found_by_modes_with_depth(sweep: Outcome, mode: str) -> None:
    assert auroc(sweep, mode, DEPTH_ONLY) > 0.9


@pytest.mark.slow
def test_a_defect_in_depth_alone_is_not_found_in_colour(sweep: Outcome) -> None:
    assert auroc(sweep, "rgb", DEPTH_ONLY) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["rgb", "rgbd"])
def test_a_defect_in_colour_alone_is_found_by_modes_with_colour(sweep: Outcome, mode: str) -> None:
    assert auroc(sweep, mode, COLOUR_ONLY) > 0.9


@pytest.mark.slow
def test_a_defect_in_colour_alone_is_not_found_in_depth(sweep: Outcome) -> None:
    assert auroc(sweep, "depth", COLOUR_ONLY) < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_a_defect_in_both_is_found_in_every_mode(sweep: Outcome, mode: str) -> None:
    assert auroc(sweep, mode, BOTH) > 0.9


@pytest.mark.slow
def test_the_table_has_a_column_per_mode(sweep: Outcome) -> None:
    header = next(line for line in sweep.stdout.splitlines() if line.startswith("┃ category"))
    assert [f"AST (mode={mode})" in header for mode in MODES] == [True] * 3
    names = {cell.data.tags["mlflow.runName"] for cell in sweep.runs("cell")}
    assert names == {"ast rod", "ast depth rod", "ast rgbd rod"}


SMALL = (
    *("dataset.categories=[rod]", "dataset.train=4", "dataset.validation=1"),
    *("dataset.test_good=1", "dataset.test_defective=1"),
)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["method=stfpm", "method.mode=depth", "dataset=synthetic_3d"],
            ["method.mode of method=stfpm: found 'depth'", "expected rgb"],
        ),
        (
            ["method=ast", "method.mode=depth"],
            [
                "method.mode=depth",
                "the images of dataset=synthetic have no depth",
                "method.mode=rgb",
                "mvtec_3d",
            ],
        ),
        (
            ["method=ast", "method.mode=xyz", "dataset=synthetic_3d", *SMALL],
            ["method.mode=xyz", "expected rgb, depth, rgbd"],
        ),
        (
            ["method=ast", "method.training.depth_size=0", "dataset=synthetic_3d"],
            ["method.training.depth_size=0", "expected a whole number, 8 to 8192"],
        ),
        (["method=ast", "dataset=mvtec_3d"], ["dataset.root is not set"]),
        (["method=ast", "dataset=folder_3d", "dataset.root=/no/where"], ["dataset.root=/no/where"]),
    ],
    ids=lambda value: " ".join(value[:3]) if value[0].startswith("method=") else "",
)
def test_a_mistake_about_depth(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    fails_plainly(run_here(tmp_path / "results", capfd, *arguments), *parts)


def test_a_size_of_depth_that_does_not_fit_is_reported_before_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    outcome = run_here(
        tmp_path / "results",
        capfd,
        *("method=ast", "method.mode=rgbd", "method.training.depth_size=96", "dataset=synthetic_3d"),
        *SMALL,
    )
    assert outcome.code == 1
    assert "Traceback" not in outcome.stderr
    assert "method.training.depth_size: found 96; expected 64" in outcome.stdout
    assert "trains for" not in outcome.stdout
