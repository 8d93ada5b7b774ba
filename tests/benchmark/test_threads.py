"""The number of threads: as many as cores are free, unless the user or a launcher says otherwise."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmark import cores, threads
from benchmark.cores import OtherProcesses
from benchmark.threads import cores_of_others, set_threads


class Others:
    """Other processes that keep a given number of cores busy."""

    def __init__(self, busy: float | None) -> None:
        self.busy = busy

    def look(self) -> float | None:
        return self.busy


@pytest.fixture(autouse=True)
def many_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch begin with the four cores of a machine, and give it back its own number afterwards."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads, "_all_threads", lambda: 4)
    monkeypatch.setattr(threads, "usable_cores", lambda: 4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("asked", "busy", "expected"),
    [("auto", 0.4, 4), ("auto", 1.1, 3), ("auto", 9.0, 1), ("auto", None, 4), (None, 2.0, 4), (3, 2.0, 3)],
)
def test_auto_leaves_busy_cores_to_others_and_anything_else_is_as_asked(
    asked: int | None, busy: float | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "others", Others(busy))
    set_threads(asked)
    assert torch.get_num_threads() == expected


def test_a_launchers_number_of_threads_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setattr(threads, "others", Others(3.0))
    set_threads("auto")
    assert torch.get_num_threads() == 4


def test_a_changed_number_is_logged_once_and_returns_when_cores_are_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for busy in (0.0, 0.9, 0.9, 0.0):
        monkeypatch.setattr(threads, "others", Others(busy))
        set_threads("auto")
    assert caplog.messages == [
        "runtime.threads=auto: 4 threads from here on, as other processes keep 0.0 of 4 cores busy",
        "runtime.threads=auto: 3 threads from here on, as other processes keep 0.9 of 4 cores busy",
        "runtime.threads=auto: 4 threads from here on, as other processes keep 0.0 of 4 cores busy",
    ]


@pytest.mark.parametrize(("busy", "warns"), [(None, False), (0.4, False), (1.2, True)])
def test_a_slowed_cell_is_warned_about(
    busy: float | None, warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    set_threads(4)
    monkeypatch.setattr(threads, "others", Others(busy))
    assert cores_of_others("rd washer") == busy
    expected = [
        "rd washer: other processes kept 1.2 of 4 cores busy meanwhile, so that it took longer than on an idle "
    ]
    assert [text[: len(expected[0])] for text in caplog.messages] == expected * warns


STAT = """cpu  999 9 999 9999 9 9 9 9 0 0
cpu0 {first} 0 0 {idle} 0 0 0 0 0 0
cpu1 0 20 {second} {idle} 500 10 10 {stolen} 40 0
cpu2 {first} 0 0 {idle} 0 0 0 0 0 0
intr 12345
"""


def test_only_busy_time_of_others_on_usable_cores_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In ten seconds two cores are busy for 9 + 4 s, of which 3 s are the hypervisor's, and this process takes 8 s."""
    ticks = os.sysconf("SC_CLK_TCK")
    clock, own = [100.0, 110.0], [os.times_result((1, 1, 0, 0, 0)), os.times_result((7, 2, 1, 0, 0))]
    monkeypatch.setattr(cores, "_STAT", tmp_path / "stat")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})

    def look_at(first: int, second: int, stolen: int, idle: int) -> None:
        text = STAT.format(
            first=first * ticks, second=second * ticks, stolen=stolen * ticks, idle=idle * ticks
        )
        (tmp_path / "stat").write_text(text)
        monkeypatch.setattr(time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(os, "times", lambda: own[0])

    look_at(first=50, second=7, stolen=0, idle=1000)
    watch = OtherProcesses()
    del clock[0], own[0]
    look_at(first=59, second=8, stolen=3, idle=1007)
    assert watch.look() == pytest.approx((9 + 4 - 8) / 10)


def test_where_the_kernel_does_not_tell_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "_STAT", tmp_path / "missing")
    assert OtherProcesses().look() is None
