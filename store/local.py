"""The local store: an SQLite database with its artifacts next to it, in a folder that may be moved, copied or mounted.

MLflow records absolute paths of artifacts. They lie in `artifacts/<run id>/artifacts` next to the database, those of
logged models in `artifacts/models/<model id>/artifacts`, and are read and written there, whatever path is recorded.
"""

import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from filelock import FileLock

from store.errors import StoreError
from store.folders import FileState, file_state, sync

log = logging.getLogger(__name__)

T = TypeVar("T")

ARTIFACTS = "artifacts"
"""Name of the folder of the artifacts next to the database, and of the one of each run in it."""
LOCK = "store.lock"
"""The file next to the database by which whoever creates or corrects it excludes others."""
MODELS = "models"
"""Name of the folder of logged models among the artifacts: MLflow's."""
_SECONDS = 60  # that a statement waits for other processes
_UNFINISHED = (sqlite3.SQLITE_READONLY_ROLLBACK, sqlite3.SQLITE_READONLY_RECOVERY)
_RECORDED = (
    ("runs", "artifact_uri", 2),
    ("logged_models", "artifact_location", 3),
    ("model_versions", "source", 3),
    ("model_versions", "storage_location", 3),
)
"""Columns of paths, by table, and how many levels below the folder of all artifacts these paths lead."""
_COMPANIONS = ("-journal", "-wal", "-shm")  # endings of the files that SQLite keeps next to a database


def database_of(uri: str) -> Path | None:
    """Return the absolute path of the database of a local store; None if the URI leads elsewhere.

    All that follows `sqlite:///` is the path, whatever characters it holds.

    Raises
    ------
    StoreError
        If the path cannot be used.
    """
    match = re.fullmatch(r"sqlite(?:\+pysqlite)?:(.*)", uri, re.DOTALL)
    if match is None:
        return None
    path = match[1].removeprefix("///")
    if path in ("", match[1]) or path == ":memory:" or "?" in Path(path).name:
        raise StoreError(f"tracking.uri={uri}: expected sqlite:///<path of a file>, without options after it")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise StoreError(f"results_dir={Path(path).parent!r}: expected a path in UTF-8") from None
    return Path(path).absolute()


def uri_of(path: Path) -> str:
    """Return the URI by which MLflow opens a database.

    SQLAlchemy takes `%` and `?` as signs of its own, so they are escaped; and so are the slashes then, as MLflow
    would make the folders of the escaped path.
    """
    text = str(path)
    return f"sqlite:///{quote(text, safe='') if set('%?') & set(text) else text}"


def artifacts_of(database: Path) -> Path:
    """Return the folder of the artifacts of a local store."""
    return database.parent / ARTIFACTS


def path_of(uri: str) -> Path | None:
    """Return the path on this machine that MLflow recorded for artifacts; None if they lie on another."""
    return Path(url2pathname(urlsplit(uri).path)) if uri.startswith(("file:", "/")) else None


def check(database: Path) -> None:
    """Check that a database can be opened by MLflow without a change of it.

    Raises
    ------
    StoreError
        If there is none, or it lacks tables, which MLflow would create.
    sqlite3.Error
        If it is damaged or cannot be read.
    """
    if not database.exists():
        raise StoreError(
            f"sqlite:///{database}: there is no store yet; run `python run_benchmark.py -m method=...` first"
        )
    content = _content_once(database, file_state(database))
    if content.complete:
        return
    if not content.runs:
        raise StoreError(
            f"{database}: the store is incomplete, as the process that created it was killed; the next "
            "`python run_benchmark.py` creates it again"
        )
    raise StoreError(
        f"{database}: found tables of another version of MLflow; upgrade a copy of it with "
        f"`mlflow db upgrade {uri_of(database)}`"
    )


def prepare(database: Path) -> None:
    """Create a database unless it exists, and correct the paths of its artifacts; the caller holds the store's lock.

    It appears with all its tables or not at all. One that lacks tables and holds no run is created again.

    Raises
    ------
    StoreError
        If it lacks tables of MLflow although it holds runs, or is a database of something else.
    sqlite3.Error
        If it is damaged or cannot be written.
    """
    if not database.exists():
        _create(database)
    elif not (content := _read(database, _content)).complete:
        if content.runs:
            raise StoreError(
                f"{database}: found {content.runs} runs, and not all tables of this version of MLflow; upgrade a copy "
                f"of it with `mlflow db upgrade {uri_of(database)}`, or choose another results_dir"
            )
        if content.is_foreign:
            raise StoreError(f"{database}: found a database of another program; choose another tracking.uri")
        log.warning(
            "%s is incomplete, as the process that created it was killed; creating it again", database
        )
        _create(database)
    moved = _correct_paths(database)
    if moved:
        log.info("the store was moved: %d recorded paths now lead to %s", moved, artifacts_of(database))


def is_writable(database: Path) -> bool:
    """Return whether this process may write to a store."""
    return all(os.access(path, os.W_OK) for path in (database, database.parent))


def follow(database: Path) -> None:
    """Correct the recorded paths of a complete store that was moved, if it may be written: MLflow reads them."""
    if is_writable(database):
        with FileLock(database.parent / LOCK):
            prepare(database)


@dataclass(frozen=True)
class _Content:
    """Whether a database has all that MLflow creates, its number of runs, and whether another program made it."""

    complete: bool
    runs: int
    is_foreign: bool


def _content(connection: sqlite3.Connection) -> _Content:
    # registers all of MLflow's tables; takes a second
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    from mlflow.store.db.base_sql_model import Base

    ((verdict,),) = connection.execute("PRAGMA quick_check(1)").fetchall()
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the file is damaged: {' '.join(verdict.split())}")
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    runs = connection.execute("SELECT COUNT(*) FROM runs").fetchone()[0] if "runs" in tables else 0
    complete = set(Base.metadata.tables) <= tables and bool(
        connection.execute("SELECT 1 FROM experiments WHERE experiment_id = 0").fetchall()
        and connection.execute("SELECT 1 FROM alembic_version").fetchall()
    )
    is_foreign = bool(tables) and "alembic_version" not in tables and "experiments" not in tables
    return _Content(complete, runs, is_foreign)


@cache
def _content_once(database: Path, state: FileState) -> _Content:
    return _read(database, _content)


def _read(database: Path, read: Callable[[sqlite3.Connection], T]) -> T:
    """Read from a database without writing to it, unless a killed process has left a change that is undone first."""
    for mode in ("ro", "rw"):
        try:
            with _connected(database, mode) as connection:
                return read(connection)
        except sqlite3.OperationalError as error:
            if mode == "rw" or error.sqlite_errorcode not in _UNFINISHED:
                raise
    raise AssertionError


@contextmanager
def _connected(database: Path, mode: str) -> Iterator[sqlite3.Connection]:
    uri = f"{database.as_uri()}?mode={mode}"
    with closing(sqlite3.connect(uri, uri=True, timeout=_SECONDS, isolation_level=None)) as connection:
        yield connection


def _create(database: Path) -> None:
    """Create a database under another name, and give it its own when all of it is on the disk."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    partial = database.with_name(f".{database.name}.partial")
    if partial.exists():
        shutil.rmtree(partial)
    partial.mkdir()
    new = partial / database.name
    store = SqlAlchemyStore(uri_of(new), artifacts_of(database).as_uri())
    store.engine.dispose()
    for ending in _COMPANIONS:  # a journal of an earlier database would be applied to this one
        database.with_name(database.name + ending).unlink(missing_ok=True)
    sync(new)
    new.replace(database)
    sync(database.parent)
    shutil.rmtree(partial)


def _correct_paths(database: Path) -> int:
    """Let the recorded paths of artifacts lead to the folder next to the database; return how many did not.

    Paths of runs and models whose files lie elsewhere are kept.
    """
    here = artifacts_of(database)
    with _connected(database, "rw") as connection:
        changes = {
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?": [
                (here.as_uri(), experiment)
                for experiment, uri in connection.execute(
                    "SELECT experiment_id, artifact_location FROM experiments"
                )
                if (path := path_of(uri or "")) and path.name == ARTIFACTS and path != here
            ]
        }
        own = f"{here.as_uri()}/"
        for table, column, levels in _RECORDED:
            others = connection.execute(
                f"SELECT rowid, {column} FROM {table} WHERE substr({column}, 1, ?) != ?", (len(own), own)
            )
            changes[f"UPDATE {table} SET {column} = ? WHERE rowid = ?"] = [
                (moved, row) for row, uri in others if (moved := _moved(uri, here, levels))
            ]
        if not any(changes.values()):
            return 0
        connection.execute("BEGIN IMMEDIATE")
        for statement, values in changes.items():
            connection.executemany(statement, values)
        connection.execute("COMMIT")
    return sum(map(len, changes.values()))


def _moved(uri: str, here: Path, levels: int) -> str | None:
    """Return where artifacts lie in a store that was moved, from the path recorded; None if they lie elsewhere.

    Parameters
    ----------
    here
        The folder of all artifacts now.
    levels
        How many levels below such a folder they lie.
    """
    path = path_of(uri)
    if path is None or len(path.parts) <= levels or path.parts[-levels - 1] != ARTIFACTS:
        return None
    found = here.joinpath(*path.parts[-levels:])
    return (
        found.as_uri() if found.name == ARTIFACTS and (found.parent.exists() or not path.exists()) else None
    )
