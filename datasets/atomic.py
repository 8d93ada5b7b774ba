"""Folders that appear whole or not at all, however many processes ask for them and whenever one is killed."""

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from datasets.errors import DatasetError

log = logging.getLogger(__name__)


def write_folder_once(
    target: Path, write: Callable[[Path], None], check: Callable[[Path], object] = lambda _: None
) -> Path:
    """Let ``write`` fill a folder that becomes ``target`` when complete, unless ``target`` is there already.

    A writer that fails or is killed leaves nothing under the name of ``target``. Of several processes that
    ask for it at once, one writes and the others wait.

    Parameters
    ----------
    target
        The folder; an empty one counts as not there.
    write
        Fills the empty folder that it is given.
    check
        Raises a DatasetError if the folder that it is given is damaged; such a folder is written anew.

    Raises
    ------
    DatasetError
        If ``target`` cannot be written.
    """
    partial = target.with_name(f".{target.name}.partial")
    try:
        if _is_filled(target) and _fault(target, check) is None:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if _is_filled(target):
                fault = _fault(target, check)
                if fault is None:
                    return target
                log.warning("%s; writing it anew", fault)
            _write_and_rename(partial, target, write)
    except OSError as error:
        raise DatasetError(f"cannot write {target}: {error}") from error
    return target


def _is_filled(folder: Path) -> bool:
    """Tell whether a folder is there and not empty."""
    return folder.exists() and any(folder.iterdir())


def _fault(folder: Path, check: Callable[[Path], object]) -> str | None:
    """Say what is wrong with a folder, if anything is."""
    try:
        check(folder)
    except DatasetError as error:
        return str(error)
    return None


def _write_and_rename(partial: Path, target: Path, write: Callable[[Path], None]) -> None:
    """Fill a folder and give it its name; the caller holds the lock, so a leftover has no owner any more."""
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    try:
        write(partial)
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def locked(path: Path, work: str = "") -> Iterator[None]:
    """Hold the lock that goes with a path; where another process has it, say for which work one waits."""
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for the process that is %s", work or f"writing {path}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
