"""A recorded cell is run again elsewhere, by its command and by its config.yaml: the same numbers to the last bit."""

import shlex
from pathlib import Path

import pytest
from mlflow.entities import Run

from metrics import MEASURES
from reports.facts import configs
from store.artifacts import Artifacts
from store.table import read_cells
from tests.end_to_end.command import QUICK, Outcome, numbers_of, run_here

CATEGORIES = "dataset.categories=[granite,washer]"
CHANGED = ("method.width=0.25", "~method.training.optimizer.momentum", "seed=3", "evaluation.fpr_limit=0.2")
SAME_TAGS = ("training_key", "identity", "test_images", "method", "protocol", "dataset_choice")


def washer(outcome: Outcome) -> Run:
    (cell,) = (cell for cell in outcome.runs("cell") if cell.data.tags["category"] == "washer")
    return cell


def test_a_cell_is_run_again_by_its_command_and_by_its_config(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    recorded = run_here(tmp_path / "first", capfd, "method=stfpm", CATEGORIES, *CHANGED, *QUICK)
    assert recorded.code == 0, recorded.stderr
    first = washer(recorded)
    program, script, *arguments = shlex.split(first.data.tags["command"])
    assert (program, script) == ("python", "run_benchmark.py")
    assert not any("first" in argument or "tracking" in argument for argument in arguments)
    config = recorded.artifact(first, "config.yaml")
    (shown,) = configs(
        read_cells(recorded.uri, [recorded.runs("sweep")[0].data.tags["sweep"]]),
        Artifacts(recorded.uri, tmp_path),
    )
    assert "dataset.categories=[granite]" in shown[1].splitlines()[0]  # of the method's first cell
    for name, again in (("by command", arguments), ("by config", ["--from", str(config)])):
        outcome = run_here(tmp_path / name, capfd, *again, *("tracking.figure=false", "tables=[pro]"))
        assert outcome.code == 0, outcome.stderr
        (cell,) = outcome.runs("cell")
        assert numbers_of(cell) == numbers_of(first)
        assert len(numbers_of(cell).keys() & MEASURES) >= 8
        assert [cell.data.tags[tag] for tag in SAME_TAGS] == [first.data.tags[tag] for tag in SAME_TAGS]
