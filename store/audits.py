"""Audits of cells: a file per cell among the artifacts of a sweep's parent run, apart from the cells' own results."""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from store.table import find_sweep, texts_of
from store.tags import AUDITS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Audit:
    """What an audit of a cell has found.

    Attributes
    ----------
    identity
        The identity of the cell.
    every
        Number of epochs between two looks at the test images.
    image_auroc
        {epoch: image AUROC of the test images}.
    """

    identity: str
    every: int
    image_auroc: Mapping[int, float]

    def to_json(self) -> str:
        """Return the content of the file."""
        return json.dumps(asdict(self), indent=1)


def audit_file(identity: str) -> str:
    """Return the path of a cell's audit among the artifacts of the parent run."""
    return f"{AUDITS}/{identity}.json"


def parse_audit(text: str) -> Audit | None:
    """Return an audit from the content of its file; None if it is damaged.

    Examples
    --------
    >>> parse_audit(Audit("abc", 2, {2: 0.75}).to_json())
    Audit(identity='abc', every=2, image_auroc={2: 0.75})
    """
    try:
        stored = json.loads(text)
        values = {int(epoch): float(value) for epoch, value in stored["image_auroc"].items()}
        return Audit(str(stored["identity"]), int(stored["every"]), values)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def audits_of(uri: str, sweeps: Sequence[str]) -> dict[str, Audit]:
    """Return the audits of some sweeps by the identity of the cell; a damaged file is left out, with a warning.

    Raises
    ------
    StoreError
        If the store cannot be read, or lacks a sweep.
    """
    audits: dict[str, Audit] = {}
    for sweep in sweeps:
        for name, text in texts_of(uri, find_sweep(uri, sweep).info.run_id, AUDITS).items():
            found = parse_audit(text)
            if found is None:
                log.warning("%s/%s of sweep %s is damaged and left out", AUDITS, name, sweep)
            else:
                audits.setdefault(found.identity, found)
    return audits
