"""Signals that end the command: the first one raises, and the closing that it causes is not interrupted by others."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTERRUPTED = 128 + signal.SIGINT
EXIT_CODES = tuple(128 + number for number in ENDING)
"""Exit codes of a command that was interrupted, terminated, or whose terminal was closed."""

_held: list[int] | None = None  # signals that have come while none may raise
_ending: int | None = None  # the signal that ends the command


def handle_signals() -> None:
    """Let the signals that end a process raise SystemExit or KeyboardInterrupt, once; ignored ones stay ignored."""
    global _ending
    _ending = None
    if threading.current_thread() is not threading.main_thread():
        return
    for number in ENDING:
        if (
            signal.getsignal(number) is not signal.SIG_IGN
        ):  # nohup, or a shell that runs the command in the background
            signal.signal(number, _end)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let no signal interrupt the block; one that comes meanwhile takes effect after it."""
    global _held
    outer, _held = _held, [] if _held is None else _held
    try:
        yield
    finally:
        came, _held = _held, outer
        if outer is None and came:
            _end(came[0], None)


@contextmanager
def keep_interruption() -> Iterator[None]:
    """Raise the interruption again if the block turns it into an error of its own, as some code in libraries does."""
    try:
        yield
    except Exception:
        if _ending is not None:
            _raise(_ending)
        raise


def _end(number: int, frame: FrameType | None) -> None:
    global _ending
    if _held is not None:
        _held.append(number)
    elif _ending is not None:
        print("already ending; what has finished is kept", file=sys.stderr)
    else:
        _ending = number
        _raise(number)


def _raise(number: int) -> NoReturn:
    raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
