"""Unpacking of tar archives that may hold anything: nothing but folders and files, below one folder, within bounds."""

import logging
import lzma
import tarfile
import unicodedata
import zlib
from pathlib import Path, PurePosixPath
from typing import Self

from datasets.errors import DatasetError

log = logging.getLogger(__name__)

MEMBERS = 200_000
"""Limit of the number of members: the largest of the field's datasets have some ten thousand files."""

RATIO, ALLOWANCE_BYTES = 20, 1 << 30
"""Limit of the unpacked size: this multiple of the archive's size, and an allowance for small archives. Photographs
shrink by a few per cent and depth maps to a third; what shrinks to a thousandth is there to fill the disk."""

EXTENSION_BYTES = 1 << 16
"""Limit of the headers that hold long names, which are read into memory."""

_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_KINDS = {
    tarfile.SYMTYPE: "a symbolic link",
    tarfile.LNKTYPE: "a hard link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a pipe",
}
_BAD_ARCHIVE = (tarfile.TarError, EOFError, OSError, lzma.LZMAError, zlib.error, ValueError, OverflowError)


class _Member(tarfile.TarInfo):
    """A header; one that would be read into memory whole must be small."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        member = super().frombuf(buf, encoding, errors)
        if member.type in _EXTENSIONS and member.size > EXTENSION_BYTES:
            raise ValueError(f"a header has {member.size} bytes; expected at most {EXTENSION_BYTES}")
        return member


def unpack(archive: Path, folder: Path) -> None:
    """Unpack every member of a tar archive (plain, gz, bz2 or xz) below an empty folder.

    Raises
    ------
    DatasetError
        If the archive cannot be read; if a member is no folder or file, or would lie outside the folder or on top of
        an earlier one, in a file system that ignores case, too; or if there are more members or bytes than a dataset
        has. What was unpacked before stays in the folder.
    """
    log.info("unpacking %s", archive)
    name = None
    try:
        checks = _Checks(RATIO * archive.stat().st_size + ALLOWANCE_BYTES)
        with tarfile.open(archive, tarinfo=_Member) as tar:
            for member in tar:
                name = member.name
                checks.check(member)
                tar.extract(member, folder, filter="data")
    except (DatasetError, tarfile.FilterError) as error:
        raise DatasetError(f"{archive}: member {name!r} is unsafe: {error}") from error
    except _BAD_ARCHIVE as error:
        where = f", at or after member {name!r}" if name else ""
        raise DatasetError(f"cannot unpack {archive}{where}: {error}") from error


class _Checks:
    """The checks of one archive's members, in their order."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.count = limit, 0, 0
        self.names: dict[str, PurePosixPath] = {}
        """{folded path: path} of all members and the folders above them."""

    def check(self, member: tarfile.TarInfo) -> None:
        """Raise a DatasetError if a member cannot belong to a dataset."""
        path = PurePosixPath(member.name)
        if not (member.isreg() or member.isdir()):
            raise DatasetError(
                f"it is {_KINDS.get(member.type, 'of an unknown kind')}; expected a file or folder"
            )
        if path.is_absolute():
            raise DatasetError("its name is absolute")
        if ".." in path.parts or "\0" in member.name:
            raise DatasetError("its name leads out of the archive")
        self.count += 1
        self.size += member.size
        if self.count > MEMBERS:
            raise DatasetError(f"the archive has more than {MEMBERS} members")
        if self.size > self.limit:
            raise DatasetError(
                f"the archive unpacks to {self.size / 1e9:.1f} GB or more; expected at most {self.limit / 1e9:.1f} GB, "
                f"{RATIO} times its size"
            )
        self._check_name(path, member.isdir())

    def _check_name(self, path: PurePosixPath, is_folder: bool) -> None:
        """Raise a DatasetError if a path, or a folder above it, would meet an earlier member under another name."""
        for part in (path, *path.parents):
            folded = unicodedata.normalize("NFC", str(part)).casefold()
            earlier = self.names.setdefault(folded, part)
            if earlier != part:
                raise DatasetError(f"its name differs from {str(earlier)!r} only in case or accents")
            if part == path and earlier is not part and not is_folder:
                raise DatasetError("an earlier member has the same name")
