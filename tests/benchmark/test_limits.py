"""Limits of a cell: time, memory or disk that runs out, reported with the option to change."""

import errno
import signal
import time

import pytest
import torch

from benchmark.errors import BenchmarkError
from benchmark.limits import explain_resource_errors, time_limit
from store.errors import StoreError


def test_a_block_that_takes_too_long_is_stopped() -> None:
    start = time.monotonic()
    with (
        pytest.raises(BenchmarkError, match=r"jobs\.cell_seconds=0\.1: the cell took longer"),
        time_limit(0.1),
    ):
        time.sleep(30)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("seconds", [None, 0.2])
def test_no_alarm_is_left_after_the_block(seconds: float | None) -> None:
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
def test_memory_that_runs_out_is_reported_with_the_options_to_lower(error: Exception) -> None:
    message = r"out of memory \(.+\); lower method\.training\.batch_size, evaluation\.batch_size"
    with pytest.raises(BenchmarkError, match=message), explain_resource_errors():
        raise error


def test_a_real_allocation_that_fails_is_recognised() -> None:
    with pytest.raises(BenchmarkError, match="out of memory"), explain_resource_errors():
        torch.empty(2**60, dtype=torch.uint8)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device", "/data/maps.npz"),
        StoreError("cannot write /data/images: [Errno 28] No space left on device"),
    ],
    ids=["system", "store"],
)
def test_a_full_disk_is_reported(error: Exception) -> None:
    with (
        pytest.raises(BenchmarkError, match=r"the disk is full \(.*\); make room for results_dir"),
        explain_resource_errors(),
    ):
        raise error


def test_an_error_that_a_user_can_mend_stays_as_it_is() -> None:
    with pytest.raises(BenchmarkError, match=r"^out of memory, said a method$"), explain_resource_errors():
        raise BenchmarkError("out of memory, said a method")


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(RuntimeError, match="shapes differ"), explain_resource_errors():
        raise RuntimeError("shapes differ")
