"""Folders that are kept: they appear whole or not at all, and each file is compared with its digest when opened."""

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from filelock import FileLock, Timeout

from store.errors import StoreError

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")

DIGESTS = "digests.json"
"""The file of a kept folder that holds {file: {"sha256", "size"}} of all others; written last."""

SETTLED_SECONDS = 2.0
"""A file that changed less than this before it was hashed may change again within one tick of its clock."""


def write_folder_once(
    target: Path,
    write: Callable[[Path], None],
    check: Callable[[Path], object] = lambda _: None,
    replace: bool = False,
    digests: bool = True,
) -> Path:
    """Let ``write`` fill a folder that becomes ``target`` when complete, unless ``target`` is there and intact.

    A writer that fails or is killed leaves nothing under the name of ``target``. If several processes call this
    at once, one writes and the others wait. A folder with a damaged file is written anew, with a warning that
    names the file.

    Parameters
    ----------
    target
        The folder; an empty one counts as missing.
    write
        Fills the empty folder that it receives.
    check
        Raises a StoreError if the folder that it receives cannot be used, although its files are intact.
    replace
        Whether to write the folder anew even if it is there.
    digests
        Whether to write digests and verify the files. False for data that belong to the user once written: any
        filled folder is accepted.

    Raises
    ------
    StoreError
        If ``target`` cannot be written.
    """
    try:
        if not replace and _is_filled(target) and _fault(target, check, digests) is None:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with locked(target):
            if not replace and _is_filled(target):
                fault = _fault(target, check, digests)
                if fault is None:
                    return target
                log.warning("%s; writing it again", fault)
            _write_and_rename(target, write, digests)
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error}") from error
    return target


def verify(folder: Path) -> frozenset[str]:
    """Compare all files of a kept folder with their digests, and return the files' names.

    A file is hashed once per process, and again if its size, times or inode have changed since.

    Raises
    ------
    StoreError
        If a file is missing or differs from its digest; the message names it.
    """
    digests = _read_digests(folder)
    changed: dict[str, FileState] = {}
    for name, (_, size) in digests.items():
        try:
            state = file_state(folder / name)
        except OSError as error:
            raise StoreError(f"{folder / name}: the file is damaged ({error.strerror})") from None
        if state.size != size:
            raise StoreError(
                f"{folder / name}: the file is damaged (found {state.size} bytes; expected {size})"
            )
        if _VERIFIED.get(folder / name) != (state, digests[name][0]):
            changed[name] = state
    start = time.time()
    for name, found in zip(changed, digests_of(folder / name for name in changed), strict=True):
        expected = digests[name][0]
        if found != expected:
            raise StoreError(
                f"{folder / name}: the file is damaged (found SHA-256 {found[:12]}; expected {expected[:12]})"
            )
        if changed[name].is_settled(start):
            _VERIFIED[folder / name] = changed[name], expected
    return frozenset(digests)


class FileState(NamedTuple):
    """The state of a file in its file system; equal states, once settled, mean equal content."""

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def is_settled(self, now: float) -> bool:
        """Return whether the last change is so old that another one would have another time."""
        return self.ctime_ns / 1e9 < now - SETTLED_SECONDS


_VERIFIED: dict[Path, tuple[FileState, str]] = {}


def file_state(path: Path) -> FileState:
    """Return the state of a file; a link counts as the file that it leads to."""
    stat = path.stat()
    return FileState(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests_of(paths: Iterable[Path]) -> list[str]:
    """Return the SHA-256 of several files, hashed in threads."""
    return _in_threads(digest_of, paths)


def lock_path(path: Path) -> Path:
    """Return the file by which a path is locked."""
    return path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path, work: str = "") -> Iterator[None]:
    """Hold the lock of a path; while another process holds it, log that this one waits for it (``work``)."""
    lock = FileLock(lock_path(path))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        log.info("waiting for the process that is %s", work or f"writing {path}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def check_writable(option: str, folder: Path) -> None:
    """Make a folder if it does not exist, and write to it.

    Raises
    ------
    StoreError
        If it cannot be written; the message names the option.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder):
            pass
    except OSError as error:
        raise StoreError(
            f"{option}={folder}: cannot be written ({error.strerror}); expected a folder that you may write to"
        ) from None


def _is_filled(folder: Path) -> bool:
    try:
        return any(folder.iterdir())
    except FileNotFoundError:
        return False


def _fault(folder: Path, check: Callable[[Path], object], digests: bool) -> str | None:
    """Describe what is wrong with a folder; None if it is intact."""
    try:
        if digests:
            verify(folder)
        check(folder)
    except StoreError as error:
        return str(error)
    return None


def _write_and_rename(target: Path, write: Callable[[Path], None], digests: bool) -> None:
    """Fill a folder and give it its name; the caller holds the lock, so leftovers have no owner any more."""
    partial, replaced = (target.with_name(f".{target.name}.{kind}") for kind in ("partial", "replaced"))
    for leftover in (partial, replaced):
        if leftover.exists():
            shutil.rmtree(leftover)
    partial.mkdir()
    try:
        write(partial)
        if digests:
            seal(partial)
        else:
            _sync_all(partial)
        if target.exists():
            target.replace(replaced)
        partial.replace(target)
        sync(target.parent)
    except BaseException:
        if replaced.exists() and not target.exists():
            replaced.replace(target)
        shutil.rmtree(partial, ignore_errors=True)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def seal(folder: Path) -> None:
    """Write the digests of a folder's files, and have all of it on the disk before it gets its name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / DIGESTS)
    entries = {
        path.relative_to(folder).as_posix(): {"sha256": digest, "size": path.stat().st_size}
        for path, digest in zip(files, digests_of(files), strict=True)
    }
    (folder / DIGESTS).write_text(json.dumps(entries, indent=1))
    _sync_all(folder)


def _sync_all(folder: Path) -> None:
    """Have a folder and its content on the disk, so that a power cut after a rename leaves no empty files."""
    below = sorted(folder.rglob("*"))
    _in_threads(sync, [path for path in below if path.is_file()])
    for path in (*(path for path in below if path.is_dir()), folder):
        sync(path)


def sync(path: Path) -> None:
    """Have a file or a folder written to the disk, so that a power cut after a rename does not empty it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that readers see the earlier or the new content, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def _read_digests(folder: Path) -> dict[str, tuple[str, int]]:
    """Return {file: (SHA-256, bytes)} of a kept folder."""
    path = folder / DIGESTS
    try:
        entries = json.loads(path.read_text())
        digests = {name: (str(entry["sha256"]), int(entry["size"])) for name, entry in entries.items()}
    except FileNotFoundError:
        raise StoreError(f"{path}: the file is missing; every kept folder has one") from None
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path}: the file is damaged ({error})") from None
    if not digests:
        raise StoreError(f"{path}: the file is damaged (it lists no file)")
    return digests


def _in_threads(function: Callable[[A], B], items: Iterable[A]) -> list[B]:
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(function, items))
