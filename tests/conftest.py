"""Fixtures that several folders share."""

import atexit
import gc
import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmark.signals import ENDING
from store import local

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
atexit.register(gc.unfreeze)  # libraries report what they find alive at the end as leaks
# as in a terminal: a shell's background commands ignore the first, those of nohup the second
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Have all temporary files of the tests, and of the commands that they run, deleted with pytest's own."""
    with pytest.MonkeyPatch.context() as patch:
        folder = str(tmp_path_factory.mktemp("tmp"))
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session", autouse=True)
def creation(
    temporary_files: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Path], None]]:
    """Have MLflow create one store, which takes a second, and copy it for the others; return what creates one."""
    create, empty = local._create, tmp_path_factory.mktemp("store") / "empty.db"

    def copy(database: Path) -> None:
        if not empty.exists():
            create(empty)
        shutil.copy(empty, database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "_create", copy)
        yield create


@pytest.fixture
def created_by_mlflow(creation: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every store of a test created as for a user."""
    monkeypatch.setattr(local, "_create", creation)


@pytest.fixture(scope="module", autouse=True)
def lasting_objects() -> None:
    """Exempt what exists by now, libraries and tests, from later searches for garbage, a third of the tests' time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Give the signals that end a command their handlers back."""
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Restore the root logger's level, which libraries change: no test sees messages because of another."""
    level = logging.root.level
    yield
    logging.root.setLevel(level)


@pytest.fixture
def shared() -> Path:
    """Return the folder of real images and weights; the test is skipped where it is missing."""
    folder = PROJECT_ROOT.parent / "shared"
    if not (folder / "data" / "mvtec_ad" / "bottle").is_dir():
        pytest.skip("no ../shared with real images and weights here")
    return folder
