"""SHA-256 of data files, remembered as long as the files do not change."""

import hashlib
import json
import logging
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from datasets.errors import DatasetError
from store.folders import FileState, digests_of, file_state

log = logging.getLogger(__name__)

Memory = dict[str, tuple[FileState, str]]


class FileDigests:
    """Digests of files; a file is hashed again only if its size, times or inode have changed.

    The digests of the files of one folder are remembered in a file below `cache_dir/digests`. If it is missing
    or damaged, the files are hashed again. A replaced file has another inode or another time of its last status
    change, which programs that copy the time of modification cannot set.

    Parameters
    ----------
    cache_dir
        The folder for everything that can be made again.
    """

    def __init__(self, cache_dir: Path) -> None:
        self.folder = cache_dir / "digests"

    def of(self, paths: Sequence[Path]) -> list[str]:
        """Return the SHA-256 of the content of each file, 64 hexadecimal digits.

        Raises
        ------
        DatasetError
            If a file cannot be read; the message names it.
        """
        absolute = [path.absolute() for path in paths]
        memories = {folder: self._read(folder) for folder in {path.parent for path in absolute}}
        start = time.time()
        try:
            states = {path: file_state(path) for path in absolute}
            unknown = [
                path
                for path, state in states.items()
                if memories[path.parent].get(path.name, (None, ""))[0] != state
            ]
            digests = dict(zip(unknown, digests_of(unknown), strict=True))
        except OSError as error:
            raise DatasetError(f"{error.filename}: cannot be read ({error.strerror})") from error
        for folder in {path.parent for path in unknown if states[path].is_settled(start)}:
            added = {path.name: (states[path], digests[path]) for path in unknown if path.parent == folder}
            settled = {name: entry for name, entry in added.items() if entry[0].is_settled(start)}
            self._write(folder, memories[folder] | settled)
        return [digests.get(path) or memories[path.parent][path.name][1] for path in absolute]

    def _path(self, folder: Path) -> Path:
        return self.folder / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]}.json"

    def _read(self, folder: Path) -> Memory:
        """Return the remembered digests of a folder's files; none if the memory is damaged."""
        try:
            text = self._path(folder).read_text()
            checksum, _, content = text.partition("\n")
            if hashlib.sha256(content.encode()).hexdigest() != checksum:
                return {}
            return {
                name: (FileState(*state), digest) for name, (state, digest) in json.loads(content).items()
            }
        except (OSError, ValueError, RecursionError, TypeError, AttributeError):
            return {}

    def _write(self, folder: Path, memory: Memory) -> None:
        """Replace the remembered digests of a folder; if the cache cannot be written, they are computed again."""
        content = json.dumps(memory)
        text = f"{hashlib.sha256(content.encode()).hexdigest()}\n{content}"
        path = self._path(folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile("w", dir=self.folder, delete=False) as file:
                file.write(text)
            try:
                Path(file.name).replace(path)
            except OSError:
                with suppress(OSError):
                    Path(file.name).unlink()
                raise
        except OSError as error:
            log.debug("%s: cannot be written (%s)", path, error)
