"""The errors of this package, and the hint for a name that is nearly right."""

import difflib
from collections.abc import Iterable


class StoreError(ValueError):
    """Kept data or a store that cannot be used; the message names the file."""


def near(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name that is most like ``name``, or an empty string.

    >>> near("botle", ["bottle", "cable"])
    " (did you mean 'bottle'?)"
    >>> near("zipper", ["bottle", "cable"])
    ''
    """
    matches = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean '{matches[0]}'?)" if matches else ""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, without SQLAlchemy's hint on sessions that may come before it.

    >>> first_line(OSError("(raised as a result of ...)\\n(sqlite3.OperationalError) disk is full"))
    '(sqlite3.OperationalError) disk is full'
    """
    lines = [line for line in str(error).splitlines() if line.strip()]
    kept = [line for line in lines if not line.startswith("(raised as a result of")]
    return next(iter(kept or lines), type(error).__name__)
