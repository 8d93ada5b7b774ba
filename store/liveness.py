"""Which cells are running: those whose lock is held. A process that is killed leaves its run marked as running."""

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Run, RunInfo

from store.client import client_of
from store.folders import lock_path
from store.tags import IDENTITY, RESULTS_DIR

LOCKS = "locks"
"""Folder of the cells' locks, in a results folder."""
SAME_FOLDER = "."
"""Value of the tag `results_dir` of runs whose results folder is that of the database, wherever it is moved."""


def results_dir_tag(results_dir: Path, database: Path | None) -> str:
    """Return the value of the tag `results_dir`; `database`: that of a local store."""
    folder = results_dir.resolve()
    return SAME_FOLDER if database is not None and database.parent.resolve() == folder else str(folder)


def results_dir_of(tags: Mapping[str, str], database: Path | None) -> Path | None:
    """Return the results folder of a run, whose locks tell whether it is running; None if it is not known.

    A path that does not exist next to a local store is that of a results folder that was moved, by an earlier version
    that recorded no other.
    """
    recorded = tags.get(RESULTS_DIR)
    if database is None:
        return Path(recorded) if recorded else None
    if recorded == SAME_FOLDER or (recorded and not Path(recorded).is_dir()):
        return database.parent.resolve()
    return Path(recorded) if recorded else None


def is_held(lock: Path, probe: int = fcntl.LOCK_SH) -> bool | None:
    """Return whether a process holds a lock; None if that cannot be found out. No file is created or changed.

    The lock is asked for and given back at once: a process that wants it at this very moment tries again after some
    milliseconds.

    Parameters
    ----------
    lock
        The file of the lock.
    probe
        The kind that is asked for: a shared lock, which other readers do not notice, or an exclusive one, to find those
        who share it.
    """
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, probe | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return False


def hold_sweep(results_dir: Path, run_id: str) -> None:
    """Hold the lock of a sweep's parent run until this process ends; several processes may run one sweep."""
    lock = _sweep_lock(results_dir, run_id)
    lock.parent.mkdir(parents=True, exist_ok=True)
    if lock not in _HELD:
        _HELD[lock] = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        fcntl.flock(_HELD[lock], fcntl.LOCK_SH)


def is_abandoned(results_dir: Path, run_id: str) -> bool:
    """Return whether a sweep has a lock that no process holds: all that ran it have ended, or were killed."""
    lock = _sweep_lock(results_dir, run_id)
    return lock.exists() and lock not in _HELD and is_held(lock, fcntl.LOCK_EX) is False


_HELD: dict[Path, int] = {}


def _sweep_lock(results_dir: Path, run_id: str) -> Path:
    return results_dir.resolve() / LOCKS / f".sweep-{run_id}.lock"


def as_it_is(uri: str, run: Run, database: Path | None) -> Run:
    """Return a run of a local store as KILLED if it is marked as running and the lock of its cell is free.

    The locks of a store on a server may be on another machine, so its runs stay as recorded.
    """
    if run.info.status != "RUNNING" or database is None or IDENTITY not in run.data.tags:
        return run
    folder = results_dir_of(run.data.tags, database)
    if folder is None or is_held(lock_path(folder / LOCKS / run.data.tags[IDENTITY])) is not False:
        return run
    now = client_of(uri).get_run(run.info.run_id)  # it may have ended since it was read
    return now if now.info.status != "RUNNING" else Run(_killed(now.info), now.data)


def _killed(info: RunInfo) -> RunInfo:
    names = ("run_id", "experiment_id", "user_id", "start_time", "end_time", "lifecycle_stage")
    values = {name: getattr(info, name) for name in (*names, "artifact_uri", "run_name")}
    return RunInfo(**values, status="KILLED")
