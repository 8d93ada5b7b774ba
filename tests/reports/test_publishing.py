"""The end of a sweep: tables on the console, and everything beside its parent run."""

from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from reports.cells import find_sweep
from reports.publishing import metric_name, publish_report, publish_tables
from reports.report import PAGE
from tests.reports.store import SWEEP, make_store

METHODS, CATEGORIES = ("ast", "stfpm"), ("carpet", "bottle")


@pytest.fixture(scope="module", params=[1, 2], ids=["one seed", "two seeds"])
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


def test_the_tables_lie_beside_the_parent_run(
    store: str, several: int, capsys: pytest.CaptureFixture[str]
) -> None:
    published = publish_tables(store, SWEEP, ["pro", "dice"])
    endings = ("csv", "html", "md", "tex")
    expected = {"cells.csv", "cells.parquet"} | {
        f"{name}.{end}" for name in ("pro", "dice") for end in endings
    }
    if several > 1:
        expected |= {"pro_seeds.csv", "dice_seeds.csv"}
    assert artifacts(store, "tables") == expected
    assert (published.cells, published.failed) == (4 * several, 0)
    printed = capsys.readouterr().out
    assert "PRO (exact)" in printed
    assert ("±" in printed) == (several > 1)


def test_the_means_of_the_parent_run_are_those_of_the_cells(store: str) -> None:
    published = publish_tables(store, SWEEP, ["pro"])
    folder = MlflowClient(tracking_uri=store).download_artifacts(find_sweep(store).info.run_id, "tables")
    cells = pd.read_parquet(Path(folder) / "cells.parquet")
    means = cells[cells["metric"] == "pro"].groupby("method")["value"].mean()
    assert published.means == pytest.approx({f"pro/{method}": means[method] for method in METHODS})


def test_the_report_lies_in_its_folder_and_beside_the_parent_run(store: str, tmp_path: Path) -> None:
    page = publish_report(store, SWEEP, tmp_path / "report")
    assert page == tmp_path / "report" / PAGE
    assert {path.name for path in page.parent.iterdir()} == {"tables", "figures", "pictures", PAGE}
    assert {"tables", "figures", "pictures", PAGE} <= artifacts(store)


def test_metric_names_hold_what_mlflow_accepts() -> None:
    assert metric_name("pro/rd (combine=sum)") == "pro/rd _combine_sum_"
