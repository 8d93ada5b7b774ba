"""Archives: downloads that can be resumed and verified; unpacked whole or not at all."""

import hashlib
import logging
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

from datasets.errors import DatasetError
from datasets.unpacking import unpack
from store.folders import locked, write_folder_once

log = logging.getLogger(__name__)

TIMEOUT_S = 30.0
PAUSES_S = (0.0, 1.0, 2.0, 4.0)
"""Seconds to wait before each attempt."""

_CHUNK_BYTES = 1 << 20
_AGENT = "student-teacher-anomaly-benchmark"
_PASSING_STATUS = (408, 429, 500, 502, 503, 504)
_BROKEN_CONNECTION = (URLError, HTTPException, ConnectionError, TimeoutError, ssl.SSLError)


def fetch(url: str, archive: Path, *, checksum: str, homepage: str) -> Path:
    """Download an archive, unless the verified file is there already, and return its path.

    The bytes go to ``<archive>.part``, which a later call resumes if the server supports it; the file gets its
    name only after its checksum was found right. Several processes may fetch the same archive at once.

    Parameters
    ----------
    url
        The address of the archive.
    archive
        The file to write.
    checksum
        The expected checksum: `sha256:` or `md5:`, then hexadecimal digits.
    homepage
        The dataset's home page, which error messages name.

    Raises
    ------
    DatasetError
        If the archive cannot be fetched or written, or is not the expected one. A download with a wrong
        checksum is deleted; a wrong file that was at ``archive`` before the call is kept.
    """
    if not re.fullmatch("sha256:[0-9a-fA-F]{64}|md5:[0-9a-fA-F]{32}", checksum):
        raise DatasetError(
            f"dataset.checksum={checksum!r}; expected sha256: and 64 hexadecimal digits, or md5: and 32"
        )
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        with locked(archive):
            if archive.exists():
                _verify(archive, checksum, "remove it to download it again")
            else:
                _fetch_new(url, archive, checksum, homepage)
    except OSError as error:
        raise DatasetError(f"cannot download {url} to {archive}: {error}") from error
    return archive


def extract(archive: Path, target: Path) -> Path:
    """Unpack a tar archive, unless ``target`` is there already, and return ``target``.

    ``target`` appears only when everything is unpacked; see `datasets.unpacking` for what is refused.

    Parameters
    ----------
    archive
        The archive, whose members are extracted below ``target``.
    target
        The folder to create.

    Raises
    ------
    DatasetError
        If the archive cannot be read, or has a member that a dataset cannot have.
    StoreError
        If ``target`` cannot be written.
    """
    return write_folder_once(target, lambda folder: unpack(archive, folder), digests=False)


def _verify(file: Path, checksum: str, advice: str) -> None:
    """Compare a file's checksum with the expected one."""
    algorithm, _, expected = checksum.lower().partition(":")
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected:
        raise DatasetError(f"{file} has {algorithm}:{found}, expected is {checksum.lower()}: {advice}")


def _fetch_new(url: str, archive: Path, checksum: str, homepage: str) -> None:
    """Download and verify the archive, then rename it."""
    part = archive.with_name(archive.name + ".part")
    _download(url, part, homepage)
    try:
        _verify(part, checksum, f"it was deleted; the archive at {url} may have changed, see {homepage}")
    except DatasetError:
        part.unlink()
        raise
    part.replace(archive)


def _download(url: str, part: Path, homepage: str) -> None:
    """Download the rest of a partial file; if the connection breaks, retry from there."""
    for pause in PAUSES_S:
        time.sleep(pause)
        try:
            return _download_rest(url, part)
        except HTTPError as error:
            reason = f"HTTP {error.code} {error.reason}"
            if error.code not in _PASSING_STATUS:
                break
        except _BROKEN_CONNECTION as error:
            reason = str(getattr(error, "reason", error)) or type(error).__name__
        except ValueError as error:
            reason = str(error)
            break
        log.warning("%s: %s", url, reason)
    raise DatasetError(
        f"cannot download {url}: {reason}. The address may have changed: find the present one at {homepage} and set "
        f"dataset.url to it, or download the archive by hand to {part.with_suffix('')}"
    )


def _download_rest(url: str, part: Path) -> None:
    """Request the missing rest of a partial file once and append it; start over if the server cannot resume."""
    size = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": _AGENT})
    if size:
        request.add_header("Range", f"bytes={size}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE or not size:
            raise
        if _content_range(error.headers)[1] != size:
            part.unlink()
            _download_rest(url, part)
        return
    with response:
        start, total = _extent(response)
        if start not in (0, size):
            part.unlink()
            raise ConnectionError(f"requested the bytes from {size}, received those from {start}")
        with part.open("ab" if start else "wb") as file:
            _copy(response, file, part.stem, start, total)


def _extent(response: HTTPResponse) -> tuple[int, int | None]:
    """Return the offset at which a response's body begins in the file, and the file's size if it says so."""
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        return _content_range(response.headers)
    length = response.headers.get("Content-Length")
    return 0, int(length) if length else None


def _content_range(headers: Message) -> tuple[int, int | None]:
    """Read the first byte's offset and the file's size from "bytes 100-199/200" or "bytes */200"."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(?:(\d+)|\*)", headers.get("Content-Range", ""))
    if match is None:
        return 0, None
    start, total = match.groups()
    return int(start or 0), int(total) if total else None


def _copy(response: HTTPResponse, file: IO[bytes], name: str, start: int, total: int | None) -> None:
    """Copy a response's body to the end of a file, and raise an error if the connection closes early."""
    done = start
    with _progress(name, start, total) as report:
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            report(done)
    if total is not None and done < total:
        raise ConnectionError(f"the connection closed after {done} of {total} bytes")


@contextmanager
def _progress(name: str, start: int, total: int | None) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with the number of bytes so far: a bar on a terminal, or log lines."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _tenths(name, start, total)
        return
    columns = (
        "{task.description}",
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(name, completed=start, total=total)
        yield lambda done: progress.update(task, completed=done)


def _tenths(name: str, start: int, total: int | None) -> Callable[[int], None]:
    """Return a function that logs each further tenth of a download."""
    logged = 10 * start // total if total else 0

    def report(done: int) -> None:
        nonlocal logged
        if total and 10 * done // total > logged:
            logged = 10 * done // total
            log.info("%s: %d %% of %.1f MB", name, 10 * logged, total / 1e6)

    return report
