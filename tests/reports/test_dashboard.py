"""MLflow's pages in a real browser: the sweep's view compares methods at once, and pictures of cells can be seen."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
from mlflow import MlflowClient

from reports.cells import ReportError, search
from reports.dashboard import arrange
from tests.conftest import PROJECT_ROOT
from tests.reports.store import SWEEP, make_store

if TYPE_CHECKING:
    from playwright.sync_api import Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
PATIENCE = 60_000  # milliseconds; the pages never come to rest, so one waits for what must appear


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    return make_store(folder, ("rd", "stfpm"), ("carpet", "bottle"), seeds=1, images=6, side=32, figure=True)


def test_a_sweep_gets_a_view_of_its_own(store: str) -> None:
    address = arrange(store)
    assert f"viewStateShareKey={SWEEP}" in address
    client = MlflowClient(tracking_uri=store)
    tags = client.get_experiment_by_name("made-up").tags
    view = json.loads(tags[f"mlflow.sharedViewState.{SWEEP}"])
    found = client.search_runs(["1"], view["searchFilter"])
    assert sorted(run.info.run_name for run in found) == [
        f"{method} {category} seed 0" for method in ("rd", "stfpm") for category in ("bottle", "carpet")
    ]


def test_a_store_without_sweeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="there is no store yet"):
        arrange(f"sqlite:///{tmp_path / 'none.db'}")
    assert not (tmp_path / "none.db").exists()


@pytest.fixture(scope="module")
def address(store: str) -> Iterator[str]:
    """Start the dashboard and return the address that it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "reports.dashboard", "--uri", store, "--port", str(port)]
    process = subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    yield process.stdout.readline().strip()
    os.killpg(process.pid, 15)
    process.wait(30)
    process.stdout.close()


@pytest.fixture(scope="module")
def page(address: str) -> Iterator["Page"]:
    """Return a page of a browser whose requests beyond this machine fail the tests."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(PATIENCE)
        _open(page, address)
        yield page
        browser.close()


def _open(page: "Page", address: str) -> None:
    """Open a page, as soon as the server answers."""
    for _ in range(60):
        try:
            page.goto(address, wait_until="domcontentloaded")
            return
        except playwright.Error:
            page.wait_for_timeout(1000)
    raise AssertionError(f"{address} does not answer")


@pytest.mark.slow
def test_the_view_shows_a_bar_per_method_and_the_cells_below(page: "Page", address: str) -> None:
    _open(page, address)
    page.get_by_text("Group: stfpm").first.wait_for()
    page.get_by_text("rd bottle seed 0").first.wait_for()
    section = page.get_by_text(re.compile(r"mean over cells"))
    section.first.wait_for()
    page.get_by_text("pixel_auroc").first.wait_for()


@pytest.mark.slow
def test_cells_can_be_compared(page: "Page", address: str, store: str) -> None:
    runs = json.dumps([run.info.run_id for run in search(store, "tags.kind = 'cell'")])
    base = address.partition("/#/")[0]
    _open(page, f"{base}/#/compare-runs?runs={quote(runs)}&experiments={quote(json.dumps(['1']))}")
    page.get_by_text("Comparing 4 Runs").first.wait_for()
    page.get_by_text("stfpm carpet seed 0").first.wait_for()


@pytest.mark.slow
def test_the_picture_of_a_cell_is_shown(page: "Page", address: str, store: str) -> None:
    run = search(store, "tags.kind = 'cell'")[0].info.run_id
    base = address.partition("/#/")[0]
    _open(page, f"{base}/#/experiments/1/runs/{run}/artifacts/figure.png")
    picture = page.locator("img[src^='blob:']").first
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
