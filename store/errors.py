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
