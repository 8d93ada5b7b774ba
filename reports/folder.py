"""The folder of a report: written aside and put in its place as a whole, also by several processes at once."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock, Timeout

from reports.errors import ReportError
from store.folders import locked

PAGE = "report.html"
PARTS = ("tables", "figures", "pictures", PAGE)
"""Contents of a report's folder; the page comes last, as it refers to the rest."""
_PREFIX = ".report-"
_OWNER = ".owner.lock"


@contextmanager
def written_aside(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder next to a report's folder; at the end, its folder `made` replaces the report.

    Of several reports that are written into one folder at once, the last one stays, whole. What killed reports have
    left next to the folder is removed.

    Raises
    ------
    ReportError
        If the folder holds something other than a report, or cannot be written.
    """
    check(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent / "report", "moving a report"):
            _remove_leftovers(folder.parent)
            temporary = Path(mkdtemp(prefix=_PREFIX, dir=folder.parent))
            owner = FileLock(temporary / _OWNER)
            owner.acquire()
    except OSError as error:
        raise ReportError(f"{folder}: cannot be written ({error.strerror or error})") from None
    try:
        yield temporary
        with locked(folder.parent / "report", "moving a report"):
            check(folder)
            _replace(temporary, folder)
    finally:
        owner.release()
        shutil.rmtree(temporary, ignore_errors=True)


def check(folder: Path) -> None:
    """Refuse a folder that holds something other than a report.

    Raises
    ------
    ReportError
        If it does, or is no folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ReportError(f"{folder}: found a file; expected a folder, new, empty or with an earlier report")
    others = sorted(path.name for path in folder.iterdir() if path.name not in PARTS)
    if others or (any(folder.iterdir()) and not (folder / PAGE).exists()):
        content = ", ".join(others[:5]) or "parts of a report without its page"
        raise ReportError(
            f"{folder}: found {content}; expected a folder, new, empty or with an earlier report"
        )


def _replace(temporary: Path, folder: Path) -> None:
    """Put a finished report in its place by renaming; a new folder appears whole."""
    made = temporary / "made"
    if not folder.exists() or not (folder.is_symlink() or any(folder.iterdir())):
        made.replace(folder)
        return
    earlier = temporary / "earlier"
    earlier.mkdir()
    # where no report was, the page comes first: parts without a page would be refused as somebody else's
    for name in PARTS if (folder / PAGE).exists() else PARTS[::-1]:
        old, new = folder / name, made / name
        if old.is_dir():
            old.replace(earlier / name)
        if new.exists():
            new.replace(old)


def _remove_leftovers(parent: Path) -> None:
    """Remove the temporary folders of reports whose process has ended; the caller holds the parent's lock."""
    for leftover in parent.glob(f"{_PREFIX}*"):
        if not leftover.is_dir():
            continue
        try:
            with FileLock(leftover / _OWNER, timeout=0):
                shutil.rmtree(leftover, ignore_errors=True)
        except (Timeout, OSError):
            continue  # its report is being written, or it belongs to another user
