"""Progress of trainings and of long work: lines by time without a terminal, and a file for `make status`."""

import logging
from pathlib import Path

import pytest

from benchmark.training.progress import show_progress
from datasets.progress import with_bar
from store.progress import TrainingProgress, progress_file, read_progress, write_progress


class Clock:
    """A clock that the test sets forward."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("time.perf_counter", clock)
    return clock


def test_without_a_terminal_there_is_a_line_after_the_first_epoch_and_then_by_time(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    with show_progress("toy student", 100, seconds=100.0) as report:  # resumes after 50 rounds of 2 s
        for number in range(51, 101):
            clock.now += 2
            report(number, 1 / number)
    assert caplog.messages == [
        "toy student: epoch 51/100, loss 0.01961, 98 s left",
        "toy student: epoch 66/100, loss 0.01515, 68 s left",
        "toy student: epoch 81/100, loss 0.01235, 38 s left",
        "toy student: epoch 96/100, loss 0.01042, 8 s left",
    ]


def test_a_file_shows_how_far_a_training_is_and_is_gone_after_it(tmp_path: Path, clock: Clock) -> None:
    file, seen = tmp_path / "toy", []
    with show_progress("toy student", 10, seconds=0.0, file=file) as report:
        for number in range(1, 6):
            clock.now += 3
            report(number, 0.5)
            seen.append(read_progress(file))
    first = TrainingProgress("toy student", 1, 10, 27.0)
    assert seen[:2] == [first, first]  # it is not written so often that a disk would notice
    assert seen[2] == TrainingProgress("toy student", 3, 10, 21.0)
    assert read_progress(file) is None


def test_what_a_killed_process_has_left_is_not_taken_for_progress(tmp_path: Path) -> None:
    with progress_file(tmp_path, "cell") as file:
        write_progress(file, TrainingProgress("toy student", 3, 10, None))
        left = file.read_bytes()
    assert not file.exists()
    file.write_bytes(left)
    with progress_file(tmp_path, "cell") as again:
        assert read_progress(again) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"title": "toy", "epoch": 1, "epochs": "many"}'])
def test_a_damaged_file_says_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "file").write_text(content)
    assert read_progress(tmp_path / "file") is None


def test_a_file_that_cannot_be_written_ends_no_training(tmp_path: Path) -> None:
    write_progress(tmp_path / "missing" / "file", TrainingProgress("toy", 1, 2, None))
    assert list(tmp_path.iterdir()) == []


def test_long_work_without_a_terminal_is_shown_by_lines_and_short_work_is_not(
    caplog: pytest.LogCaptureFixture, clock: Clock
) -> None:
    caplog.set_level(logging.INFO)
    for seconds, lines in ((1, []), (10, ["images: 4 of 5"])):
        caplog.clear()
        for number, item in enumerate(with_bar(range(5), 5, "images"), 1):
            assert item == number - 1
            clock.now += seconds
        assert caplog.messages == lines
