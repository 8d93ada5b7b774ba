"""Workers of a launcher that outlive the process which started them: they end by themselves."""

import multiprocessing
import os
import signal
import threading
import time
from functools import cache

CHECK_SECONDS = 0.5
GRACE_SECONDS = 5.0
"""How long an orphan may take to record its cell as KILLED."""

TERMINATED = 128 + signal.SIGTERM


@cache
def end_with_parent() -> None:
    """End this process when its parent has ended, even by SIGKILL, which no parent can pass on.

    To be called in a launcher's worker, before its first job. The worker gets SIGTERM, so that the job in progress
    ends as it does when terminated; if the worker still runs after `GRACE_SECONDS`, it is ended at once.
    """
    started_by = multiprocessing.parent_process()
    parent = started_by.pid if started_by and started_by.pid else os.getppid()
    threading.Thread(target=_watch, args=(parent,), name="end with parent", daemon=True).start()


def _watch(parent: int) -> None:
    """Wait until another process has adopted this one, then end it."""
    while os.getppid() == parent:
        time.sleep(CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(TERMINATED)
