"""Archives: fetched once, resumed, verified; unpacked wholly or not at all."""

import hashlib
import io
import logging
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from datasets import download
from datasets.download import extract, fetch
from datasets.errors import DatasetError

PAYLOAD = np.random.default_rng(0).bytes(3_000_000)
CHECKSUM = f"sha256:{hashlib.sha256(PAYLOAD).hexdigest()}"
HOMEPAGE = "https://example.org/dataset"


class Server(ThreadingHTTPServer):
    """Serves PAYLOAD, and remembers each answer as (status, bytes sent)."""

    ranges = True
    names_total = True
    shift = 0
    """By how much the answers to range requests are wrong."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, int]] = []
        self.failures: list[int] = []
        """Statuses to answer first (100 and above), or after how many bytes to drop the connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/archive.tar"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        failure = self.server.failures.pop(0) if self.server.failures else None
        if failure is not None and failure < 1000:
            self.answer(failure, b"")
            return
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) + self.server.shift if wanted and self.server.ranges else 0
        total = len(PAYLOAD)
        if start >= total:
            self.answer(416, b"", f"bytes */{total}" if self.server.names_total else "")
        elif start:
            self.answer(206, PAYLOAD[start:], f"bytes {start}-{total - 1}/{total}", failure)
        else:
            self.answer(200, PAYLOAD, drop_after=failure)

    def answer(self, status: int, body: bytes, extent: str = "", drop_after: int | None = None) -> None:
        sent = body[:drop_after]
        self.server.answers.append((status, len(sent)))  # before the client can go on
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if extent:
            self.send_header("Content-Range", extent)
        self.end_headers()
        with suppress(ConnectionError):  # the client may hang up on an answer that it does not want
            self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PAUSES_S", (0.0, 0.0, 0.0))


def get(server: Server, folder: Path, checksum: str = CHECKSUM) -> Path:
    return fetch(server.url, folder / "archive.tar", checksum=checksum, homepage=HOMEPAGE)


def part_of(folder: Path, content: bytes) -> Path:
    part = folder / "archive.tar.part"
    part.write_bytes(content)
    return part


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_fetch_downloads_and_names_the_file(server: Server, tmp_path: Path) -> None:
    archive = get(server, tmp_path / "new" / "folder")
    assert archive.read_bytes() == PAYLOAD
    assert names_in(archive.parent) == ["archive.tar"]
    assert server.answers == [(200, len(PAYLOAD))]


def test_second_fetch_asks_for_nothing(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path) == get(server, tmp_path, "sha256:" + CHECKSUM[7:].upper())
    assert len(server.answers) == 1


def test_simultaneous_fetches_download_once(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: get(server, tmp_path), range(4))) == {tmp_path / "archive.tar"}
    assert len(server.answers) == 1


def test_fetch_takes_a_file_url(tmp_path: Path) -> None:
    source = tmp_path / "source.tar"
    source.write_bytes(PAYLOAD)
    archive = fetch(source.as_uri(), tmp_path / "archive.tar", checksum=CHECKSUM, homepage=HOMEPAGE)
    assert archive.read_bytes() == PAYLOAD


def test_partial_file_is_resumed(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path, PAYLOAD[:1_000_000])
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert server.answers == [(206, len(PAYLOAD) - 1_000_000)]


def test_without_range_support_the_download_starts_over(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    part_of(tmp_path, PAYLOAD[:1_000_000])
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert server.answers == [(200, len(PAYLOAD))]


def test_complete_partial_file_is_accepted(server: Server, tmp_path: Path) -> None:
    part_of(tmp_path, PAYLOAD)
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert server.answers == [(416, 0)]


@pytest.mark.parametrize(("extra", "names_total"), [(b"more than there is", True), (b"", False)])
def test_doubtful_partial_file_starts_over(
    server: Server, tmp_path: Path, extra: bytes, names_total: bool
) -> None:
    server.names_total = names_total
    part_of(tmp_path, PAYLOAD + extra)
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert server.answers == [(416, 0), (200, len(PAYLOAD))]


def test_wrong_range_starts_over(server: Server, tmp_path: Path) -> None:
    server.shift = 7
    part_of(tmp_path, PAYLOAD[:1_000_000])
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert [status for status, _ in server.answers] == [206, 200]


def test_dropped_connection_is_resumed(server: Server, tmp_path: Path) -> None:
    server.failures = [1_200_000, 800_000]
    assert get(server, tmp_path).read_bytes() == PAYLOAD
    assert server.answers == [(200, 1_200_000), (206, 800_000), (206, 1_000_000)]


def test_connection_that_keeps_dropping_keeps_the_partial_file(server: Server, tmp_path: Path) -> None:
    server.failures = [500_000] * 3
    with pytest.raises(DatasetError, match="closed after 1500000 of 3000000 bytes"):
        get(server, tmp_path)
    assert (tmp_path / "archive.tar.part").read_bytes() == PAYLOAD[:1_500_000]


def test_passing_server_error_is_tried_again(server: Server, tmp_path: Path) -> None:
    server.failures = [503, 500]
    assert get(server, tmp_path).read_bytes() == PAYLOAD


def test_missing_address_is_explained_at_once(server: Server, tmp_path: Path) -> None:
    server.failures = [404]
    message = rf"{re.escape(server.url)}: HTTP 404 Not Found\. The address may have changed: .*{HOMEPAGE}.*dataset\.url"
    with pytest.raises(DatasetError, match=message):
        get(server, tmp_path)
    assert server.answers == [(404, 0)]
    assert names_in(tmp_path) == []


def test_unreachable_server_is_explained(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/archive.tar"
    with pytest.raises(DatasetError, match=rf"{url}: .*refused.*{HOMEPAGE}.*dataset\.url"):
        fetch(url, tmp_path / "archive.tar", checksum=CHECKSUM, homepage=HOMEPAGE)


def test_silent_server_times_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/archive.tar"
        with pytest.raises(DatasetError, match=f"{url}: timed out"):
            fetch(url, tmp_path / "archive.tar", checksum=CHECKSUM, homepage=HOMEPAGE)


@pytest.mark.parametrize("url", ["", "archive.tar", "gopher://example.org/archive.tar"])
def test_unusable_url_is_explained(tmp_path: Path, url: str) -> None:
    with pytest.raises(DatasetError, match=r"cannot download .*unknown url type.*dataset\.url"):
        fetch(url, tmp_path / "archive.tar", checksum=CHECKSUM, homepage=HOMEPAGE)


def test_fetch_takes_an_md5(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path, f"md5:{hashlib.md5(PAYLOAD).hexdigest()}").read_bytes() == PAYLOAD
    with pytest.raises(DatasetError, match=f"has md5:.*expected is md5:{'0' * 32}"):
        get(server, tmp_path, f"md5:{'0' * 32}")


def test_wrong_checksum_deletes_the_download(server: Server, tmp_path: Path) -> None:
    with pytest.raises(
        DatasetError, match=rf"archive\.tar\.part has {CHECKSUM}, expected is sha256:{'0' * 64}"
    ):
        get(server, tmp_path, "sha256:" + "0" * 64)
    assert names_in(tmp_path) == []


def test_wrong_file_of_the_user_is_left_alone(server: Server, tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_text("mine")
    with pytest.raises(DatasetError, match=rf"archive\.tar has sha256:.*expected is {CHECKSUM}: remove it"):
        get(server, tmp_path)
    assert (tmp_path / "archive.tar").read_text() == "mine"
    assert server.answers == []


@pytest.mark.parametrize("checksum", ["", "0" * 64, "md5:" + "0" * 64, "sha1:" + "0" * 40])
def test_other_checksum_is_named_before_the_download(server: Server, tmp_path: Path, checksum: str) -> None:
    with pytest.raises(DatasetError, match=rf"dataset\.checksum='{checksum}'; .*64 hexadecimal digits"):
        get(server, tmp_path, checksum)
    assert server.answers == []


def test_unwritable_folder_is_named(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DatasetError, match=r"cannot download .* to .*file.archive\.tar"):
        get(server, tmp_path / "file")


def test_progress_is_logged_in_tenths(
    server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setattr(download, "_CHUNK_BYTES", 50_000)
    with caplog.at_level(logging.INFO):
        get(server, tmp_path)
    expected = [f"archive.tar: {percent} % of 3.0 MB" for percent in range(10, 101, 10)]
    assert [record.message for record in caplog.records if "%" in record.message] == expected


def test_progress_is_a_bar_on_a_terminal(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    get(server, tmp_path)
    assert "archive.tar" in capsys.readouterr().err


def pack(path: Path, *extra: tarfile.TarInfo, mode: str = "w:xz") -> Path:
    """Write an archive of a folder with one file, and of members that have no content."""
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        member = tarfile.TarInfo("carpet/train/good/000.png")
        member.size = len(PAYLOAD[:100_000])
        tar.addfile(member, io.BytesIO(PAYLOAD[:100_000]))
        for other in extra:
            tar.addfile(other)
    return path


def link(name: str, target: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_extract_unpacks(tmp_path: Path, mode: str) -> None:
    target = extract(pack(tmp_path / "archive", mode=mode), tmp_path / "new" / "target")
    assert (target / "carpet/train/good/000.png").read_bytes() == PAYLOAD[:100_000]
    assert names_in(target.parent) == ["target"]


def test_second_extract_does_nothing(tmp_path: Path) -> None:
    archive = pack(tmp_path / "archive")
    target = extract(archive, tmp_path / "target")
    archive.unlink()
    assert extract(archive, target) == target


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../evil"),
        tarfile.TarInfo("carpet/../../evil"),
        tarfile.TarInfo("/evil"),
        link("evil", "../outside", tarfile.SYMTYPE),
        link("evil", "/etc/passwd", tarfile.SYMTYPE),
        link("evil", "../outside", tarfile.LNKTYPE),
        link("evil", "", tarfile.CHRTYPE),
    ],
    ids=lambda member: f"{member.name} {member.type!r} {member.linkname}",
)
def test_unsafe_member_is_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    archive = pack(tmp_path / "archive", member)
    with pytest.raises(DatasetError, match=rf"archive: member '{re.escape(member.name)}' is unsafe"):
        extract(archive, tmp_path / "below" / "target")
    assert names_in(tmp_path) == ["archive", "below"]
    assert names_in(tmp_path / "below") == []


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.9])
def test_truncated_archive_is_refused(tmp_path: Path, mode: str, kept: float) -> None:
    archive = pack(tmp_path / "archive", mode=mode)
    archive.write_bytes(archive.read_bytes()[: int(kept * 100_000)])
    with pytest.raises(DatasetError, match=f"cannot unpack {archive}"):
        extract(archive, tmp_path / "target")
    assert names_in(tmp_path) == ["archive"]


@pytest.mark.parametrize("content", [b"no archive at all" * 100, None])
def test_archive_that_is_none_is_refused(tmp_path: Path, content: bytes | None) -> None:
    archive = tmp_path / "archive"
    if content is not None:
        archive.write_bytes(content)
    with pytest.raises(DatasetError, match=f"cannot unpack {archive}"):
        extract(archive, tmp_path / "target")


def test_interrupted_extraction_leaves_nothing_that_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pack(tmp_path / "archive", tarfile.TarInfo("last"))
    whole = tarfile.TarFile.extract

    def interrupted(tar: tarfile.TarFile, member: tarfile.TarInfo, *args: Path, **options: str) -> None:
        if member.name == "last":
            raise KeyboardInterrupt
        whole(tar, member, *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(tarfile.TarFile, "extract", interrupted)
        with pytest.raises(KeyboardInterrupt):
            extract(archive, tmp_path / "target")
    assert names_in(tmp_path) == ["archive"]
    assert (extract(archive, tmp_path / "target") / "last").exists()


def test_leftover_of_a_killed_extraction_is_replaced(tmp_path: Path) -> None:
    leftover = tmp_path / ".target.partial"
    leftover.mkdir()
    (leftover / "half").write_text("")
    target = extract(pack(tmp_path / "archive"), tmp_path / "target")
    assert names_in(target) == ["carpet"]
    assert not leftover.exists()
