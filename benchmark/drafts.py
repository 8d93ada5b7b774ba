"""What a finished cell found, on disk until the store has it: no number depends on a server being there."""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmark.errors import BenchmarkError

INDEX = "draft.json"


@dataclass
class Draft:
    """A cell's metrics, tags and files.

    Attributes
    ----------
    folder
        Where it is kept; `files` below it become artifacts.
    run
        The run that it belongs to: its id, and its name and tags in case that the store never had it.
    metrics
        {name: {step: value}}.
    """

    folder: Path
    run: dict[str, Any]
    metrics: dict[str, dict[int, float]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def files(self) -> Path:
        """The folder of the files, made if it is not there."""
        folder = self.folder / "files"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def add_metrics(self, metrics: Mapping[str, float]) -> None:
        """Add numbers; NaN is left out, as an undefined measure has no number."""
        self.metrics |= {name: {0: float(value)} for name, value in metrics.items() if not math.isnan(value)}

    def save(self) -> None:
        """Write the index, which makes the folder a draft."""
        index = {"run": self.run, "metrics": self.metrics, "tags": self.tags}
        partial = self.folder / f".{INDEX}"
        partial.write_text(json.dumps(index))
        partial.replace(self.folder / INDEX)

    def discard(self) -> None:
        """Delete it; the store has everything."""
        (self.folder / INDEX).unlink(missing_ok=True)  # first: what is left half deleted is no draft
        shutil.rmtree(self.folder, ignore_errors=True)


def new_draft(folder: Path, run: dict[str, Any]) -> Draft:
    """Return an empty draft in place of whatever is left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return Draft(folder, run)


def load_draft(folder: Path) -> Draft | None:
    """Return the draft in a folder, None if there is none or it was not finished.

    Raises
    ------
    BenchmarkError
        If it was finished and cannot be read.
    """
    if not (folder / INDEX).exists():
        return None
    try:
        index = json.loads((folder / INDEX).read_text())
        metrics = {name: {int(k): v for k, v in steps.items()} for name, steps in index["metrics"].items()}
        return Draft(folder, index["run"], metrics, index["tags"])
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise BenchmarkError(
            f"{folder / INDEX}: damaged ({error}); delete the folder to run the cell again"
        ) from None


def draft_folders(folder: Path) -> list[Path]:
    """Return the folders of the finished drafts below a folder, sorted by name."""
    return sorted(path.parent for path in folder.glob(f"*/{INDEX}"))
