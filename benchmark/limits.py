"""Limits of a cell: time that runs out, and memory that does, told with the setting to lower."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from benchmark.errors import BenchmarkError

_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """End the block with a BenchmarkError after so many seconds; None: never. In the main thread alone."""
    if seconds is None:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise BenchmarkError(f"jobs.cell_seconds={seconds:g}: the cell took longer and was stopped")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def memory_told() -> Iterator[None]:
    """Tell memory that has run out as a BenchmarkError that names the settings to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error).lower()
        is_memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not is_memory and not any(sign in text for sign in _MEMORY):
            raise
        reason = str(error).splitlines()[0] if str(error) else "the system has no more"
        raise BenchmarkError(
            f"out of memory ({reason}); lower method.training.batch_size, evaluation.batch_size or "
            "method.training.image_size, or the limits of trainer.features that keep teacher features in memory"
        ) from error
