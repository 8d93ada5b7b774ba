"""Results of finished cells that wait on disk for the store: no number depends on a server being there."""

import json
import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store.errors import StoreError
from store.files import digests_in, reason_of
from store.folders import sync
from store.tags import MODEL

log = logging.getLogger(__name__)

INDEX = "cell.json"
_PARTS = ("run", "metrics", "tags", "digests", "model_digests")
_EARLIER_INDEX = "draft.json"
FOLDERS = ("pending", "unsent")
"""Where results wait, in a results folder: by the present name and by that of earlier versions."""


@dataclass
class Pending:
    """Metrics, tags and files of a finished cell.

    Attributes
    ----------
    folder
        Folder of the record; `files` below it become artifacts.
    run
        The run that it belongs to: `id`, `name`, `tags`, and `uri` and `experiment` of the store.
    metrics
        {name: {step: value}}.
    tags
        Tags set with the metrics.
    digests
        {file: SHA-256}, known once the record is saved.
    model_digests
        The same of the logged model's files; empty: there is none.
    """

    folder: Path
    run: dict[str, Any]
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    model_digests: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """The folder of the files."""
        return self.folder / "files"

    @property
    def model(self) -> Path:
        """The folder of the logged model, see `store.models`; whoever makes one creates it."""
        return self.folder / MODEL

    @property
    def _kept(self) -> tuple[tuple[Path, dict[str, str]], ...]:
        return (self.files, self.digests), (self.model, self.model_digests)

    def add_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add numbers; NaN is left out, as an undefined measure has no number."""
        self.metrics |= {name: {0: float(value)} for name, value in metrics.items() if not math.isnan(value)}

    def save(self) -> None:
        """Write the index, which completes the record; everything is on the disk then."""
        self.digests, self.model_digests = digests_in(self.files), digests_in(self.model)
        index = {name: getattr(self, name) for name in _PARTS}
        partial = self.folder / f".{INDEX}"
        partial.write_text(json.dumps(index))
        files = [folder / name for folder, digests in self._kept for name in digests]
        for path in (*files, partial):
            sync(path)
        partial.replace(self.folder / INDEX)
        sync(self.folder)

    def discard(self) -> None:
        """Delete the record, once the store has everything; one that cannot be deleted is sent again later."""
        try:
            for name in (INDEX, _EARLIER_INDEX):  # first: a record that is deleted half is none
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s: cannot be deleted (%s)", self.folder, error.strerror)
            return
        shutil.rmtree(self.folder, ignore_errors=True)


def new_pending(folder: Path, run: dict[str, Any]) -> Pending:
    """Return an empty record in a folder, whose content is deleted."""
    shutil.rmtree(folder, ignore_errors=True)
    pending = Pending(folder, run)
    pending.files.mkdir(parents=True)
    return pending


def load_pending(folder: Path) -> Pending | None:
    """Return the record in a folder; None if there is none, or if it was not completed.

    Raises
    ------
    StoreError
        If it was completed and is damaged; the message names the file.
    """
    path = _index(folder)
    if path is None:
        return None
    try:
        index = json.loads(path.read_text())
        run = {name: index["run"][name] for name in ("id", "name", "uri", "experiment", "tags")}
        metrics = {
            name: {int(k): float(v) for k, v in steps.items()} for name, steps in index["metrics"].items()
        }
        tags, digests, model_digests = (
            {str(k): str(v) for k, v in part.items()}
            for part in (index["tags"], index.get("digests", {}), index.get("model_digests", {}))
        )
    except Exception as error:  # any that a changed byte leads to
        raise _damaged(path, reason_of(error)) from None
    pending = Pending(folder, run, metrics, tags, digests, model_digests)
    for place, expected in pending._kept:
        found = digests_in(place)
        for name, digest in expected.items():
            if found.get(name) != digest:
                raise _damaged(place / name, "its content has changed" if name in found else "missing")
    return pending


def pending_folders(results_dir: Path) -> list[Path]:
    """Return the folders of the records in a results folder that wait for the store, sorted by name."""
    folders = [path for name in FOLDERS for path in (results_dir / name).glob("*/") if _index(path)]
    return sorted(folders)


def _index(folder: Path) -> Path | None:
    paths = [folder / name for name in (INDEX, _EARLIER_INDEX)]
    return next((path for path in paths if path.exists()), None)


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(f"{path}: damaged ({reason}); delete the record's folder to run the cell again")
