"""The end of a sweep: tables on the console, and everything among the artifacts of the parent run."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from rich.console import Console

from reports.folder import PAGE
from reports.model import Sheet
from reports.parts import WrittenReport
from reports.summary import _Printer, attach_report, metric_name, summarize
from store.table import find_sweep
from tests.reports.store import SWEEP, make_store

METHODS, CATEGORIES = ("ast", "stfpm"), ("carpet", "bottle")


@pytest.fixture(
    scope="module", params=[1, pytest.param(2, marks=pytest.mark.slow)], ids=["one seed", "two seeds"]
)
def several(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, several: int) -> str:
    folder = tmp_path_factory.mktemp("store")
    return make_store(folder, METHODS, CATEGORIES, seeds=several, images=8, side=32)


def artifacts(uri: str, folder: str = "") -> set[str]:
    client = MlflowClient(tracking_uri=uri)
    found = client.list_artifacts(find_sweep(uri).info.run_id, folder)
    return {Path(file.path).name for file in found}


def test_the_tables_are_artifacts_of_the_parent_run(
    store: str, several: int, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarize(store, SWEEP, ["pro", "dice"])
    endings = ("csv", "html", "md", "tex")
    expected = {"cells.csv", "cells.parquet", "cells_wide.csv", "provenance.txt"} | {
        f"{name}.{end}" for name in ("pro", "dice", "dice_max") for end in endings
    }
    if several > 1:
        expected |= {"pro_seeds.csv", "dice_seeds.csv", "dice_max_seeds.csv"}
    assert artifacts(store, "tables") == expected
    assert (summary.cells, summary.failed) == (4 * several, 0)
    printed = capsys.readouterr().out
    assert all(title in printed for title in ("PRO (exact)", "Dice\n", "Dice (max)\n"))
    assert summary.failures == ()
    assert ("±" in printed) == (several > 1)
    # the answer comes first, and what captions share stands once
    assert printed.split()[1:5] == ["has", "the", "highest", "mean"]
    words = " ".join(printed.split())
    assert words.count("teacher resnet18") == words.count("best of each row bold") == 1


def test_lines_of_a_file_are_as_long_as_whole_words_and_numbers_need(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    names = [f"Method {'x' * 12}{i}" for i in range(9)]
    shown = pd.DataFrame([[f"0.{i}23" for i in range(9)]], index=["capsule"], columns=names)
    sheet = Sheet("table", "Image AUROC", "Image AUROC", shown, shown)
    _Printer(Console()).table(sheet)
    printed = capsys.readouterr().out
    assert all(f"{'x' * 12}{i}" in printed and f"0.{i}23" in printed for i in range(9))


def test_the_means_of_the_parent_run_are_those_of_the_cells(store: str) -> None:
    summary = summarize(store, SWEEP, ["pro"])
    folder = MlflowClient(tracking_uri=store).download_artifacts(find_sweep(store).info.run_id, "tables")
    cells = pd.read_parquet(Path(folder) / "cells.parquet")
    means = cells[cells["metric"] == "pro"].groupby("method")["value"].mean()
    assert summary.means == pytest.approx({f"pro/{method}": means[method] for method in METHODS})


def test_the_report_is_in_its_folder_and_among_the_artifacts_of_the_parent_run(
    store: str, tmp_path: Path
) -> None:
    written = attach_report(store, SWEEP, tmp_path / "report")
    assert written == WrittenReport(tmp_path / "report" / PAGE)
    assert {path.name for path in written.page.parent.iterdir()} == {"tables", "figures", "pictures", PAGE}
    assert {"tables", "figures", "pictures", PAGE} <= artifacts(store)


def test_metric_names_have_only_characters_that_mlflow_accepts() -> None:
    assert metric_name("pro/rd (combine=sum)") == "pro/rd _combine_sum_"
