"""A training step of STFPM with all CPU factors off and on, alternately in one run.

    python -m tests.benchmark.speed [rounds]

ResNet-18, batch 32, 256 pixels. The factors: glibc keeps freed memory, channels_last, bf16, and teacher
features that are computed once instead of at every step. glibc's setting holds for a whole process, so
each measurement is a process of its own. Not part of the test suite: timings decide nothing.
"""

import json
import statistics
import subprocess
import sys
import time

import torch

from benchmark.features import TeacherFeatures, normalise
from benchmark.runtime import Runtime, keep_freed_memory, seed_everything
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.stfpm import STFPM
from tests.conftest import PROJECT_ROOT

LAYERS = ("layer1", "layer2", "layer3")
FACTORS = ("malloc", "channels_last", "bf16", "features")
SETTINGS: dict[str, tuple[str, ...]] = {
    "all off": (),
    **{f"only {factor}": (factor,) for factor in FACTORS},
    "all on": FACTORS,
}
BATCH, SIDE, STEPS = 32, 256, 4


def step_seconds(factors: tuple[str, ...]) -> float:
    """Return the median seconds of a training step, teacher included where its features are not kept."""
    if "malloc" in factors:
        keep_freed_memory()
    runtime = Runtime(
        torch.device("cpu"), "bf16" if "bf16" in factors else "fp32", "channels_last" in factors
    )
    seed_everything(0)
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    teacher = TeacherFeatures(runtime.move(backbone.teacher(LAYERS)), runtime)
    method = runtime.move(STFPM(backbone, LAYERS))
    method.train()
    optimizer = torch.optim.SGD(method.parameters(), lr=0.4, momentum=0.9, weight_decay=1e-4)
    images = torch.randint(0, 256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8)
    kept = teacher.compute(normalise(images, runtime)) if "features" in factors else None
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        image = normalise(images, runtime)
        features = kept or teacher.compute(image)
        with runtime.autocast():
            loss = method.loss(Batch(image, torch.zeros(BATCH), features=features))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print the median over rounds of each setting, and its ratio to all factors off."""
    if len(sys.argv) > 1 and sys.argv[1] == "one":
        print(json.dumps(step_seconds(tuple(sys.argv[2:]))))
        return
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    seconds: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, factors in SETTINGS.items():
            command = [sys.executable, "-m", "tests.benchmark.speed", "one", *factors]
            done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
            seconds[name].append(json.loads(done.stdout.splitlines()[-1]))
    off = seconds["all off"]
    print(
        f"STFPM training step, batch {BATCH}, {SIDE} px, {torch.get_num_threads()} threads, {rounds} rounds"
    )
    for name, values in seconds.items():
        ratio = statistics.median(slow / fast for slow, fast in zip(off, values, strict=True))
        print(f"{name:20} {1000 * statistics.median(values):6.0f} ms   {ratio:.2f} x as fast as all off")


if __name__ == "__main__":
    main()
