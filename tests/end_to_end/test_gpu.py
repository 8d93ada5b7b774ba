"""Training, measuring and applying on a GPU; skipped where there is none.

`runtime.device=auto`, the default, takes the GPU, so that on such a machine all other tests of cells use it, too.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.detector import load_detector
from tests.conftest import PROJECT_ROOT
from tests.end_to_end.command import SMALL_METHODS, TINY, command, numbers, numbers_of, run, run_here

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")

WASHER = ("dataset.categories=[washer]", "tracking.figure=false", f"runtime.device={DEVICE}", *TINY)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", list(SMALL_METHODS))
def test_the_same_seed_gives_the_same_numbers(
    results: Path, capfd: pytest.CaptureFixture[str], method: str, precision: str
) -> None:
    chosen = (f"method={method}", f"runtime.precision={precision}", *WASHER, *SMALL_METHODS[method])
    for force in ("false", "true"):
        outcome = run_here(results, capfd, *chosen, f"jobs.force={force}", f"sweep={method}_{precision}")
        assert outcome.code == 0, outcome.stderr
    first, second = (run for run in outcome.runs("cell") if f"sweep.{method}_{precision}" in run.data.tags)
    assert numbers_of(first) == numbers_of(second)
    assert first.data.tags["gpu"] == torch.cuda.get_device_name()


@pytest.mark.parametrize("method", list(SMALL_METHODS))
def test_a_detector_scores_alike_on_the_gpu_and_the_cpu(
    results: Path, capfd: pytest.CaptureFixture[str], method: str
) -> None:
    outcome = run_here(results, capfd, f"method={method}", "sweep=alike", *WASHER, *SMALL_METHODS[method])
    assert outcome.code == 0, outcome.stderr
    cell = next(run for run in reversed(outcome.runs("cell")) if run.data.tags["method"] == method)
    images = sorted(results.glob("**/washer/test/**/*.png"))[:6]
    assert images
    maps = {}
    for device in (DEVICE, "cpu"):
        detector = load_detector(cell.info.run_id, device=device, tracking_uri=outcome.uri)  # type: ignore[arg-type]
        maps[device] = detector.predict(images).maps
    largest = np.abs(maps["cpu"]).max()
    np.testing.assert_allclose(maps[DEVICE], maps["cpu"], rtol=1e-3, atol=1e-4 * largest)


def test_features_on_the_gpu_in_memory_and_on_disk_give_the_same_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where there is no room, they are computed in other batches, which on a GPU changes their rounding."""
    found: list[dict[str, float]] = []
    for place in ("device_gb", "memory_gb", "disk_gb", ""):
        places = [
            f"runtime.features.{name}={int(name == place)}" for name in ("device_gb", "memory_gb", "disk_gb")
        ]
        outcome = run_here(tmp_path / (place or "none"), capfd, "method=rd", *WASHER, *places)
        assert outcome.code == 0, outcome.stderr
        found += numbers(outcome).values()
    assert found[0] == found[1] == found[2]
    assert found[3]["student/loss"] == pytest.approx(found[0]["student/loss"], rel=1e-3)


def test_a_killed_training_resumes_with_the_same_numbers(tmp_path: Path) -> None:
    chosen = ("method=stfpm", *WASHER, "method.training.epochs=300", "runtime.checkpoint_seconds=0")
    undisturbed = run(tmp_path / "undisturbed", *chosen)
    assert undisturbed.code == 0, undisturbed.stderr
    results = tmp_path / "killed"
    with subprocess.Popen(
        command(results, *chosen),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=PROJECT_ROOT,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "trains for" in line:
                break
        while not list(results.glob("checkpoints/*.checkpoint")) and process.poll() is None:
            pass
        process.send_signal(signal.SIGKILL)
    resumed = run(results, *chosen)
    assert resumed.code == 0, resumed.stderr
    assert "resumes after epoch" in resumed.stdout
    assert numbers(resumed) == numbers(undisturbed)


@pytest.fixture
def little_memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-3)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("little_memory")
def test_too_little_memory_ends_in_one_message(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run_here(tmp_path, capfd, "method=rd", *WASHER, "method.training.image_size=512")
    assert outcome.code == 1
    assert "rd washer failed: out of memory" in outcome.stdout
    assert "Traceback" not in outcome.stdout + outcome.stderr
