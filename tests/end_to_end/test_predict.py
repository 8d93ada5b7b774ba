"""Detectors of all methods give their cells' scores and maps; a command that is killed leaves whole rows."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmark.predict import main
from benchmark.run_cell import CellResult
from store.files import read_scores
from store.predictions import TABLE, Prediction, read_predictions
from store.tags import SCORES
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import SMALL_METHODS, TINY, Outcome, run_here

pytestmark = pytest.mark.slow

SMALL = (*TINY, "method.training.epochs=1", "tracking.figure=false", "evaluation.batch_size=5")
DEPTH = (
    "dataset=synthetic_3d",
    "dataset.categories=[rod]",
    "dataset.validation=1",
    "method.training.depth_size=32",
)


def rows(folder: Path) -> list[Prediction]:
    return list(read_predictions(folder / TABLE))


def trained(
    folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str
) -> tuple[Outcome, CellResult]:
    """Run one cell; return also its results in memory, whose maps are float32."""
    from benchmark import job

    results: list[CellResult] = []
    run_cell = job.run_cell

    def kept(*given: Any) -> CellResult:
        results.append(run_cell(*given))
        return results[-1]

    monkeypatch.setattr(job, "run_cell", kept)
    outcome = run_here(folder, capfd, *arguments)
    assert outcome.code == 0, outcome.stderr
    (result,) = results
    return outcome, result


CELLS = [
    *(
        (f"method={method}", "dataset.categories=[washer]", *options)
        for method, options in SMALL_METHODS.items()
    ),
    *(("method=ast", f"method.mode={mode}", *DEPTH) for mode in ("rgb", "depth", "rgbd")),
]


@pytest.mark.parametrize("arguments", CELLS, ids=lambda each: " ".join(each[:2]))
def test_scores_and_maps_are_those_of_the_cell_to_the_last_bit(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    outcome, result = trained(tmp_path, capfd, monkeypatch, *SMALL, *arguments)
    (cell,) = outcome.runs("cell")
    samples = result.stored.samples
    (images,) = {sample.image.parents[2 if sample.xyz else 1] for sample in samples}
    out = tmp_path / "out"
    assert main([cell.info.run_id, str(images), "--store", outcome.uri, "--out", str(out)]) == 0
    found = rows(out)
    assert [row.file for row in found] == [str(sample.image) for sample in samples]
    scores = [row.score for row in found]
    assert scores == result.scores.images.tolist()
    assert scores == read_scores(outcome.artifact(cell, SCORES))["score"].tolist()
    maps = np.stack([np.load(out / row.map) for row in found])
    np.testing.assert_array_equal(maps, result.scores.maps[:])


def test_a_killed_command_leaves_whole_rows(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, result = trained(tmp_path, capfd, monkeypatch, *CELLS[0], *SMALL)
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for i in range(3000):
        (photos / f"{i:04}.png").write_bytes(result.stored.samples[0].image.read_bytes())
    detector = outcome.artifact(outcome.runs("cell")[0], "detector")
    command = [sys.executable, "-m", "benchmark.predict", str(detector), str(photos), "--out", str(out)]
    with subprocess.Popen(command, cwd=PROJECT_ROOT, stderr=subprocess.DEVNULL, env=os.environ) as process:
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            if (out / TABLE).exists() and (out / TABLE).stat().st_size > 5000:
                break
            time.sleep(0.01)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert 0 < len(rows(out)) < 3000
    assert all((out / row.heat_map).is_file() for row in rows(out))
