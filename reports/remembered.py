"""Results of functions of a tidy table, remembered while a report is written: its parts ask for the same many times."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")

_known: dict[Any, tuple["weakref.ref[pd.DataFrame]", Any]] | None = None


@contextmanager
def remembering() -> Iterator[None]:
    """Remember results while the block runs, in which no table and no result may be changed."""
    global _known
    outer, _known = _known, {}
    try:
        yield
    finally:
        _known = outer


def remembered(
    function: Callable[Concatenate[pd.DataFrame, P], R],
) -> Callable[Concatenate[pd.DataFrame, P], R]:
    """Let a function of a table return what it has returned before for the same table and arguments.

    The arguments after the table are hashable. It holds within `remembering`, and for the table as an object: a copy of
    equal content is another table.
    """

    @wraps(function)
    def wrapped(cells: pd.DataFrame, *args: P.args, **options: P.kwargs) -> R:
        if _known is None:
            return function(cells, *args, **options)
        key = (function, id(cells), args, *options.items())
        table, result = _known.get(key, (None, None))
        if table is None or table() is not cells:  # another table may have got the place of one that is gone
            result = function(cells, *args, **options)
            _known[key] = weakref.ref(cells), result
        return result  # type: ignore[return-value]

    return wrapped
