"""A user's own method as docs/your_own_method.md shows it, outside the repository, run with the unchanged command."""

import re
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import TINY, run

PAGE = PROJECT_ROOT / "docs" / "your_own_method.md"


def shown(language: str) -> str:
    """Return the only block of a language on the page that explains methods of one's own."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(block)


CHECKED = """
import gc

_loss = OneLayer.loss


def checked(self, batch):
    assert gc.isenabled(), "garbage of earlier steps would stay in memory"
    return _loss(self, batch)


OneLayer.loss = checked
"""


def write_plugin(folder: Path) -> Path:
    (folder / "method").mkdir(parents=True)
    (folder / "one_layer.py").write_text(shown("python") + CHECKED)
    (folder / "method" / "one_layer.yaml").write_text(shown("yaml"))
    return folder


def test_a_method_outside_the_repository_runs_in_a_sweep_with_others(tmp_path: Path) -> None:
    mine = write_plugin(tmp_path / "mine")
    outcome = run(
        tmp_path / "results",
        "--config-dir",
        str(mine),
        "-m",
        "method=one_layer,stfpm",
        "dataset.categories=[washer]",
        *TINY,
        cwd=tmp_path,
    )
    assert outcome.code == 0, outcome.stderr
    assert {run.data.tags["method"]: run.info.status for run in outcome.runs("cell")} == {
        "one_layer": "FINISHED",
        "stfpm": "FINISHED",
    }
    assert "one_layer" in outcome.stdout


@pytest.mark.slow
def test_its_options_are_set_and_swept_and_checked_like_any_other(tmp_path: Path) -> None:
    mine = write_plugin(tmp_path / "mine")
    arguments = [f"--config-dir={mine}", "-m", "method=one_layer", "dataset.categories=[washer]", *TINY]
    swept = run(tmp_path / "results", *arguments, "method.stride=4,8")
    assert swept.code == 0, swept.stderr
    assert "one_layer (stride=4)" in swept.stdout
    assert "one_layer (stride=8)" in swept.stdout
    wrong = run(tmp_path / "results", *arguments, "method.stride=high")
    assert wrong.code == 2
    assert "method.stride=high: expected a whole number" in wrong.stderr
