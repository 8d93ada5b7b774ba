"""How far the training of a running cell is: a small file next to the cell's lock, with its writer and its reader."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from store.folders import replace_text


@dataclass(frozen=True)
class TrainingProgress:
    """How far the stage is that a cell trains.

    Attributes
    ----------
    title
        Method, category and stage.
    epoch, epochs
        The number of finished epochs (or groups of steps), and of all.
    seconds_left
        The time that the others will take; None: not known yet.
    """

    title: str
    epoch: int
    epochs: int
    seconds_left: float | None


def progress_path(folder: Path, identity: str) -> Path:
    """Return the file of a cell; `folder`: that of the locks."""
    return folder / f"{identity}.progress"


@contextmanager
def progress_file(folder: Path, identity: str) -> Iterator[Path]:
    """Yield the file of a cell that begins, without what a killed process has left; it is deleted at the end."""
    path = progress_path(folder, identity)
    remove_progress(path)
    try:
        yield path
    finally:
        remove_progress(path)


def write_progress(path: Path, progress: TrainingProgress) -> None:
    """Replace the file; a disk that is full costs the file and no training."""
    with suppress(OSError):
        replace_text(path, json.dumps(asdict(progress)))


def read_progress(path: Path) -> TrainingProgress | None:
    """Return how far a cell is; None if that is not known, as before its first epoch."""
    try:
        stored = json.loads(path.read_text())
        left = stored["seconds_left"]
        return TrainingProgress(
            str(stored["title"]),
            int(stored["epoch"]),
            int(stored["epochs"]),
            None if left is None else float(left),
        )
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def remove_progress(path: Path) -> None:
    """Delete the file, if there is one."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
