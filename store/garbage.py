"""Garbage collection, paused where it would search many objects for nothing."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Pause Python's search for garbage: among the 150 000 objects of 1000 runs, it takes most of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def importing() -> Iterator[None]:
    """Leave what the block imports out of the search for garbage, then and later: modules are never garbage.

    All other objects that there are by the end of the block are left out, too.
    """
    with without_collection():
        yield
    gc.freeze()
    atexit.register(gc.unfreeze)  # libraries report what they find alive at the end as leaks
