"""How many threads torch computes with, and whether other processes slow them down."""

import logging
import os
from functools import cache
from typing import Literal

import torch

from benchmark.cores import free_cores, others, usable_cores
from store.text import counted

log = logging.getLogger(__name__)

NOTICEABLE = 0.5  # cores that threads and other processes need in addition to those that there are


def set_threads(asked: int | Literal["auto"] | None) -> None:
    """Set torch's number of threads.

    A step on several cores waits for the slowest of them at every layer, so that one core which is shared costs more
    than it adds. Another number of threads adds in another order: results may differ in their last bits.

    Parameters
    ----------
    asked
        `runtime.threads`: a number; `auto`, as many as cores are free, or `OMP_NUM_THREADS`, which launchers set for
        their workers; None, all cores whatever else runs.
    """
    threads, busy = _all_threads() if asked in ("auto", None) else int(asked), others.look()
    if asked == "auto" and "OMP_NUM_THREADS" not in os.environ and busy is not None:
        threads = min(threads, free_cores(usable_cores(), busy))
        if threads != torch.get_num_threads():
            log.info(
                "runtime.threads=auto: %s from here on, as other processes keep %.1f of %s busy",
                *(counted(threads, "thread"), busy, counted(usable_cores(), "core")),
            )
    torch.set_num_threads(threads)


@cache
def _all_threads() -> int:
    """Return the number that torch began with: `OMP_NUM_THREADS`, or the number of cores."""
    return torch.get_num_threads()


def cores_of_others(title: str) -> float | None:
    """Return the mean number of cores that other processes kept busy since threads were set, if it is known.

    Logs a warning, which begins with `title`, where they shared the cores of this process.
    """
    busy, cores = others.look(), usable_cores()
    if busy is not None and torch.get_num_threads() + busy > cores + NOTICEABLE:
        log.warning(
            "%s: other processes kept %.1f of %s busy meanwhile, so that it took longer than on an idle machine",
            *(title, busy, counted(cores, "core")),
        )
    return busy
