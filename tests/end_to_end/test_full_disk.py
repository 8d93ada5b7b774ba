"""A full disk: one clear error, finished cells stay intact, and the sweep resumes once there is room."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.command import numbers, run

SWEEP = (
    *("method=stfpm", "dataset.categories=[granite,washer]", "sweep=full"),
    *("dataset.image_size=64", "dataset.train=8", "dataset.test_good=2", "dataset.test_defective=1"),
    *("method.training.image_size=64", "method.training.epochs=1"),
)
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mount("-t", "tmpfs", "-o", "size=400m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a disk of a few megabytes needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.parametrize("room", [0, 3, 12], ids="{} MB".format)
def test_a_full_disk_is_reported_and_the_sweep_resumes_with_more_room(disk: Path, room: int) -> None:
    results = disk / "results"
    first = run(results, *SWEEP, "dataset.categories=[washer]")
    assert first.code == 0, first.stderr
    before = numbers(first)
    used = sum(path.stat().st_blocks * 512 for path in disk.rglob("*"))
    mount("-o", f"remount,size={used // 2**20 + 1 + room}m", str(disk))
    full = run(results, *SWEEP)
    output = full.stdout + full.stderr
    assert full.code or room
    if full.code:
        assert "Traceback" not in output, output
        assert any(sign in output for sign in ("No space left", "disk is full", "disk I/O error")), output
    mount("-o", "remount,size=400m", str(disk))
    last = run(results, *SWEEP)
    assert last.code == 0, last.stderr
    assert len(numbers(last)) == 2
    assert numbers(last).items() >= before.items()
    assert last.stdout.count("finished before") >= 1
