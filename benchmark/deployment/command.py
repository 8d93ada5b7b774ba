"""The exit codes of a command, and the report of its errors."""

import sys
from collections.abc import Callable

from benchmark.error_messages import explain, print_error
from benchmark.signals import INTERRUPTED, handle_signals, keep_interruption


def exit_code(work: Callable[[], int]) -> int:
    """Do the work of a command and return its exit code.

    2: a user's mistake, reported in one line. 1: any other error. 130, 143, 129: interrupted, terminated, its terminal
    was closed.
    """
    handle_signals()
    try:
        with keep_interruption():
            return work()
    except KeyboardInterrupt:
        print("interrupted: what is done is kept", file=sys.stderr)
        return INTERRUPTED
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 2
    except Exception as error:
        message = explain(error)
        print_error(error, message)
        return 1 if message is None else 2
