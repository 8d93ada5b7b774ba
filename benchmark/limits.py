"""Limits of a cell: time, memory or disk that runs out, reported with the setting to change."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from benchmark.error_messages import USER_ERRORS
from benchmark.errors import BenchmarkError
from store.errors import StoreError

_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory")
_DISK = "no space left on device"

REMINDER_SECONDS = 1.0


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """End the block with a BenchmarkError after so many seconds; None: never. In the main thread alone."""
    if seconds is None:
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise BenchmarkError(f"jobs.cell_seconds={seconds:g}: the cell took longer and was stopped")

    before = signal.signal(signal.SIGALRM, ring)
    # again and again: code that suppresses errors may swallow the first one
    signal.setitimer(signal.ITIMER_REAL, seconds, REMINDER_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def explain_resource_errors() -> Iterator[None]:
    """Turn the errors of memory or a disk that has run out into a BenchmarkError that says what to do."""
    try:
        yield
    except Exception as error:
        text = str(error).lower()
        if isinstance(error, USER_ERRORS) and not (isinstance(error, StoreError) and _DISK in text):
            raise
        reason = str(error).splitlines()[0] if str(error) else "the system has no more"
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or any(sign in text for sign in _MEMORY):
            raise BenchmarkError(
                f"out of memory ({reason}); lower method.training.batch_size, evaluation.batch_size or "
                "method.training.image_size, or the limits of runtime.features that keep teacher features in memory"
            ) from error
        if _DISK in text:
            raise BenchmarkError(
                f"the disk is full ({reason}); make room for results_dir and runtime.cache_dir, and run the command "
                "again"
            ) from error
        raise
