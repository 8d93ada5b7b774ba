"""Finds the images of a folder that fills up, each once and when it is complete."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from benchmark.deployment.inputs import Input, inputs_below

PATIENCE = 5
"""A file that cannot be read is reported once it has not changed over so many polls."""


class _State(NamedTuple):
    """Sizes and times of change of an image file, and of its point cloud."""

    size: int
    mtime_ns: int
    cloud: tuple[int, int] | None


class Watched:
    """A folder that is polled, with the folders below it.

    Parameters
    ----------
    folder, normal_names, clouds, skip
        As for `benchmark.deployment.inputs.inputs_below`.
    needs_depth
        Whether an image waits for its point cloud.
    done
        The files that were scored before.
    """

    def __init__(
        self,
        folder: Path,
        normal_names: Collection[str],
        clouds: Path | None,
        skip: Path,
        needs_depth: bool,
        done: Collection[str] = (),
    ) -> None:
        self._where = folder, normal_names, clouds, skip
        self._needs_depth = needs_depth
        self._done = set(done)
        self._seen: dict[Path, tuple[_State, int]] = {}
        self._reported: dict[Path, _State] = {}

    def poll(self) -> list[Input]:
        """Return the images, sorted, that have not changed since the last poll and are not done."""
        seen, still = {}, []
        for each in inputs_below(*self._where, self._done):
            state = self._state(each)
            if state is None or state == self._reported.get(each.file):
                continue
            before, polls = self._seen.get(each.file, (None, 0))
            seen[each.file] = state, polls + 1 if state == before else 0
            if state == before:
                still.append(each)
        self._seen = seen
        return still

    def finish(self, each: Input) -> None:
        """Never return an image again: it was scored."""
        self._done.add(str(each.file))
        self._seen.pop(each.file, None)

    def gives_up(self, each: Input) -> bool:
        """Return whether an unreadable image counts as broken; it is returned by `poll` again if it changes."""
        state, polls = self._seen[each.file]
        if polls < PATIENCE:
            return False
        self._reported[each.file] = state
        return True

    def _state(self, each: Input) -> _State | None:
        """Return the state of an image's files; None if one is missing."""
        if self._needs_depth and each.xyz is None:
            return None
        try:
            image = each.file.stat()
            cloud = None if each.xyz is None else each.xyz.stat()
        except OSError:  # it has gone again
            return None
        return _State(
            image.st_size, image.st_mtime_ns, None if cloud is None else (cloud.st_size, cloud.st_mtime_ns)
        )
