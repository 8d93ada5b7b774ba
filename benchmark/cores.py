"""The cores that this process may use, and how many of them other processes keep busy."""

import math
import os
import time
from pathlib import Path

SHORTEST = 0.2  # seconds of a look: the kernel counts in hundredths of a second
SPARED = 0.5  # a core of which others take less counts as free: bursts cost a step no more than they last

_STAT = Path("/proc/stat")


def usable_cores() -> int:
    """Return the number of cores on which this process may run."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def free_cores(cores: int, others: float) -> int:
    """Return how many cores are free, at least one, while other processes keep `others` of them busy.

    Examples
    --------
    >>> [free_cores(4, others) for others in (0, 0.4, 0.9, 1.6, 7)]
    [4, 4, 3, 2, 1]
    """
    return max(1, math.floor(cores - others + SPARED))


class OtherProcesses:
    """What other processes take of the usable cores, since the last look.

    Time that the hypervisor gives to other machines counts as theirs. Only Linux tells; elsewhere nothing is known.
    """

    def __init__(self) -> None:
        self._last = _seconds()

    def look(self) -> float | None:
        """Return the mean number of cores that they kept busy since the last look, or None if it is not known."""
        if self._last is None:
            return None
        time.sleep(max(0.0, SHORTEST - (time.monotonic() - self._last[0])))
        then, self._last = self._last, _seconds()
        assert self._last is not None
        elapsed, busy, own = (now - before for now, before in zip(self._last, then, strict=True))
        return max(0.0, (busy - own) / elapsed)


def _seconds() -> tuple[float, float, float] | None:
    """Return a clock, the seconds that the usable cores have been busy, and those of this process and its children."""
    try:
        lines = _STAT.read_text().splitlines()
    except OSError:
        return None
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    busy = 0
    for name, *ticks in map(str.split, lines):
        if name in names:
            user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, ticks[:8])
            busy += user + nice + system + interrupts + soft_interrupts + stolen
    return time.monotonic(), busy / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


others = OtherProcesses()
"""The processes other than this one; the first look covers the time since this module was imported."""
