"""Archives built to do harm: each is refused in one line, and nothing of it stays or lies outside its folder."""

import gzip
import io
import os
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from datasets import unpacking
from datasets.download import extract
from datasets.errors import DatasetError

CONTENT = b"image"


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    if "\0" in name:  # only an extended header can hold it
        info.pax_headers = {"path": name}
    return info


def pack(path: Path, *members: tarfile.TarInfo) -> Path:
    """Write an archive; each file holds `CONTENT`."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for info in members:
            is_file = info.type == tarfile.REGTYPE
            info.size = len(CONTENT) if is_file else 0
            tar.addfile(info, io.BytesIO(CONTENT) if is_file else None)
    return path


def refused(archive: Path, folder: Path, *parts: str) -> None:
    """Assert that an archive is refused with the parts in one line, and that nothing of it is left."""
    below = folder / "below"
    with pytest.raises(DatasetError) as caught:
        extract(archive, below / "target")
    message = str(caught.value)
    assert "\n" not in message
    for part in (str(archive), *parts):
        assert part in message, message
    assert [path.name for path in below.iterdir() if path.suffix != ".lock"] == []
    assert sorted(path.name for path in folder.iterdir()) == sorted([archive.name, "below"])


@pytest.mark.parametrize(
    ("attack", "reason"),
    [
        (
            member("cable/evil", tarfile.SYMTYPE, "good.png"),
            "it is a symbolic link; expected a file or folder",
        ),
        (member("cable/evil", tarfile.LNKTYPE, "cable/good.png"), "it is a hard link"),
        (member("cable/evil", tarfile.CHRTYPE), "it is a device"),
        (member("cable/evil", tarfile.BLKTYPE), "it is a device"),
        (member("cable/evil", tarfile.FIFOTYPE), "it is a pipe"),
        (member("cable/evil", b"Z"), "it is of an unknown kind"),
        (member("/evil"), "its name is absolute"),
        (member("//evil"), "its name is absolute"),
        (member("../evil"), "its name leads out of the archive"),
        (member("cable/../../evil"), "its name leads out of the archive"),
        (member("cable/../cable/evil.png"), "its name leads out of the archive"),
        (member(".."), "its name leads out of the archive"),
        (member("cable/evil\0.png"), "its name leads out of the archive"),
        (member("cable/good.png"), "an earlier member has the same name"),
        (member("./cable//good.png"), "an earlier member has the same name"),
        (member("cable/GOOD.png"), "its name differs from 'cable/good.png' only in case or accents"),
        (member("Cable/evil.png"), "its name differs from 'cable' only in case or accents"),
        (member("e\u0301.png"), "its name differs from 'é.png' only in case or accents"),
        (member("cable"), "an earlier member has the same name"),
    ],
    ids=lambda value: f"{value.name} {value.type!r}" if isinstance(value, tarfile.TarInfo) else "",
)
def test_a_member_that_no_dataset_has_is_refused(
    tmp_path: Path, attack: tarfile.TarInfo, reason: str
) -> None:
    archive = pack(tmp_path / "archive", member("cable/good.png"), member("é.png"), attack)
    refused(archive, tmp_path, f"member {attack.name!r} is unsafe: {reason}")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    """The attack on Python's data filter: a path longer than the system resolves hides where a link leads."""
    long, steps = "d" * 247, "abcdefghijklmnop"
    members, path = [], "."
    for step in steps:
        members += [
            member(f"{path}/{long}", tarfile.DIRTYPE),
            member(f"{path}/{step}", tarfile.SYMTYPE, long),
        ]
        path += f"/{long}"
    last = f"{'/'.join(steps)}/{'l' * 254}"
    members += [
        member(last, tarfile.SYMTYPE, "../" * len(steps)),
        member("escape", tarfile.SYMTYPE, f"{last}/../../.."),
        member("escape/evil"),
    ]
    archive = pack(tmp_path / "archive", *members)
    refused(archive, tmp_path, "member './a' is unsafe: it is a symbolic link")


def test_an_archive_that_would_fill_the_disk_is_refused(tmp_path: Path) -> None:
    """The header alone is enough: nothing of the file is written."""
    header = member("cable/large.png")
    header.size = 50 * (1 << 30)
    archive = tmp_path / "archive.gz"
    archive.write_bytes(gzip.compress(header.tobuf(tarfile.PAX_FORMAT) + bytes(10_000_000)))
    refused(archive, tmp_path, "cable/large.png", "unpacks to 53.7 GB or more; expected at most 1.1 GB")


def test_the_size_of_all_members_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALLOWANCE_BYTES", 0)
    monkeypatch.setattr(unpacking, "RATIO", 1)
    archive = tmp_path / "archive.xz"
    with tarfile.open(archive, "w:xz") as tar:
        for number in range(9):
            info = member(f"{number}.png")
            info.size = 1000
            tar.addfile(info, io.BytesIO(bytes(1000)))
    refused(archive, tmp_path, "the archive unpacks to")


def test_more_members_than_a_dataset_has_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MEMBERS", 3)
    archive = pack(tmp_path / "archive", *(member(f"{number}.png") for number in range(4)))
    refused(archive, tmp_path, "member '3.png'", "more than 3 members")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_that_would_fill_the_memory_is_refused(tmp_path: Path, kind: bytes) -> None:
    header = member("header", kind)
    header.size = 1 << 40
    archive = tmp_path / "archive"
    archive.write_bytes(member("first").tobuf() + header.tobuf(tarfile.GNU_FORMAT) + bytes(100_000))
    refused(archive, tmp_path, "at or after member 'first'", f"a header has {1 << 40} bytes")


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_what_honest_archives_hold_is_unpacked(tmp_path: Path, format_: int, mode: str) -> None:
    """Long names, names that are not ASCII, empty files, folders named twice, modes that would run something."""
    long = f"cable/{'very_long_' * 12}/{'name_' * 15}.png"
    names = ["./cable/train/000.png", "cable/test/größe.png", long]
    archive = tmp_path / "archive"
    with tarfile.open(archive, mode, format=format_) as tar:  # type: ignore[call-overload]
        for folder in (".", "./cable", "cable"):
            tar.addfile(member(folder, tarfile.DIRTYPE))
        for name in names:
            info = member(name)
            info.size, info.mode, info.uid = len(CONTENT), 0o4777, 12345
            tar.addfile(info, io.BytesIO(CONTENT))
        tar.addfile(member("cable/empty"))
    target = extract(archive, tmp_path / "target")
    assert [(target / name).read_bytes() for name in names] == [CONTENT] * 3
    assert (target / "cable/empty").read_bytes() == b""
    assert not (target / names[0]).stat().st_mode & 0o7022
    assert (target / names[0]).stat().st_uid == os.getuid()


def test_damaged_archives_are_refused_in_one_line_or_unpacked_below_their_folder(tmp_path: Path) -> None:
    """Bytes of the headers replaced at random: whatever they say, no other error, and nothing outside."""
    names = ["a/b.png", "a/é.png", f"a/{'c' * 120}.png"]
    intact = pack(tmp_path / "intact", *map(member, names)).read_bytes()
    used = len(intact.rstrip(b"\0"))
    random = np.random.default_rng(0)
    messages, left = [], []
    for number in range(300):
        content = bytearray(intact)
        block = 512 * int(random.integers(used // 512 + 1))
        for _ in range(random.integers(1, 4)):
            content[block + int(random.integers(512))] = int(random.integers(256))
        field = content[block : block + 512]
        field[148:156] = b" " * 8
        content[block + 148 : block + 156] = b"%06o\0 " % (sum(field) & 0o777777)  # the sum that tar checks
        archive = tmp_path / "archive"
        archive.write_bytes(content)
        target = tmp_path / "below" / str(number)
        try:
            extract(archive, target)
        except DatasetError as error:
            messages.append(str(error))
            left.append(target.exists())
    assert len(messages) > 5
    assert all(re.match(rf"(cannot unpack )?{re.escape(str(archive))}", message) for message in messages)
    assert not any(left)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "below", "intact"]
