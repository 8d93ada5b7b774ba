"""Progress: without a terminal, some lines per stage, with the time that is left."""

import logging
from types import SimpleNamespace

import pytest

from benchmark.training.progress import show_progress


def test_without_a_terminal_there_are_five_lines_with_loss_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("benchmark.training.progress.time", SimpleNamespace(perf_counter=lambda: clock.now))
    with show_progress("toy student", 100, seconds=100.0) as report:  # resumes after 50 rounds of 2 s
        for number in range(51, 101):
            clock.now += 2
            report(number, 1 / number)
    assert caplog.messages == [
        "toy student: epoch 60/100, loss 0.01667, 80 s left",
        "toy student: epoch 80/100, loss 0.0125, 40 s left",
        "toy student: epoch 100/100, loss 0.01, 0 s left",
    ]
