"""Limits of a cell: time that runs out and memory that does, told with the setting to change."""

import errno
import signal
import time

import pytest
import torch

from benchmark.errors import BenchmarkError
from benchmark.limits import room_told, time_limit


def test_a_block_that_takes_too_long_is_stopped() -> None:
    start = time.monotonic()
    with (
        pytest.raises(BenchmarkError, match=r"jobs\.cell_seconds=0\.1: the cell took longer"),
        time_limit(0.1),
    ):
        time.sleep(30)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("seconds", [None, 0.2])
def test_nothing_rings_after_the_block(seconds: float | None) -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit(seconds):
        pass
    time.sleep(0.3)
    assert signal.getsignal(signal.SIGALRM) is before


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: 9 bytes"
        ),
    ],
    ids=["python", "gpu", "cpu"],
)
def test_memory_that_runs_out_is_told_with_the_settings_to_lower(error: Exception) -> None:
    message = r"out of memory \(.+\); lower method\.training\.batch_size, evaluation\.batch_size"
    with pytest.raises(BenchmarkError, match=message), room_told():
        raise error


def test_a_real_allocation_that_cannot_be_had_is_recognised() -> None:
    with pytest.raises(BenchmarkError, match="out of memory"), room_told():
        torch.empty(2**60, dtype=torch.uint8)


def test_a_full_disk_is_told() -> None:
    with (
        pytest.raises(BenchmarkError, match=r"the disk is full \(.*\); make room for results_dir"),
        room_told(),
    ):
        raise OSError(errno.ENOSPC, "No space left on device", "/data/maps.npz")


def test_what_is_told_already_stays_as_it_is() -> None:
    with pytest.raises(BenchmarkError, match=r"^out of memory, said a method$"), room_told():
        raise BenchmarkError("out of memory, said a method")


def test_other_errors_go_through() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), room_told():
        raise RuntimeError("shapes differ")
