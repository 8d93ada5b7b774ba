"""Plans of a sweep's jobs, and the tags by which cells belong to a sweep."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from store.errors import StoreError
from store.tags import NOT_NUMBERS, NUMBERS

MEMBER = "sweep."
"""Prefix of the tag by which a cell belongs to a sweep: `sweep.<name>` = `<job>.<place>.<job key>`."""


@dataclass(frozen=True)
class Plan:
    """The cells that a job of a sweep runs.

    Attributes
    ----------
    title
        Method and mode.
    overrides
        The job's part of the command line.
    categories
        One cell each, in this order.
    key
        See `job_key`.
    """

    title: str
    overrides: tuple[str, ...]
    categories: tuple[str, ...]
    key: str

    def to_json(self) -> str:
        """Return the content of the plan's file."""
        return json.dumps(asdict(self), indent=1)


@dataclass(frozen=True, order=True)
class Member:
    """The position of a cell in a sweep: number of its job, place in the job's plan, and the key of the job."""

    job: int
    place: int
    key: str

    def __str__(self) -> str:
        """Return the value of the tag."""
        return f"{self.job}.{self.place}.{self.key}"


def job_key(params: Mapping[str, Any]) -> str:
    """Return the key of a job within its sweep, the same however often the sweep is resumed: 16 hexadecimal digits.

    Parameters
    ----------
    params
        The resolved options of the job by their dotted names. Only those that can change results, the dataset's,
        the protocol and the seed count.
    """
    kept = (*NUMBERS, "dataset.", "protocol.", "seed")
    counted = {
        name: str(value)
        for name, value in params.items()
        if name.startswith(kept) and not name.startswith(NOT_NUMBERS)
    }
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:16]


def read_plan(text: str, where: str) -> Plan:
    """Return the plan in the content of a file.

    Parameters
    ----------
    text
        The content.
    where
        Name of the file, for the error.

    Raises
    ------
    StoreError
        If the file is damaged.
    """
    try:
        stored = json.loads(text)
        title, overrides, categories, key = (
            stored[name] for name in ("title", "overrides", "categories", "key")
        )
        return Plan(str(title), tuple(map(str, overrides)), tuple(map(str, categories)), str(key))
    except Exception as error:
        raise StoreError(f"{where}: the plan is damaged ({type(error).__name__}: {error})") from None


def parse_member(text: str) -> Member | None:
    """Return the position of a cell from the value of its tag; None if the value has another form."""
    job, _, rest = text.partition(".")
    place, _, key = rest.partition(".")
    return Member(int(job), int(place), key) if job.isdecimal() and place.isdecimal() else None
