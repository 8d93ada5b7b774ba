"""The factors that make a training step fast: STFPM with all of them, with none, and with each alone.

    python -m tests.speed.factors [--rounds N] [--out JSON]

ResNet-18, batch 32, 256 pixels, on a CPU. The factors: glibc keeps freed memory, channels_last, bf16, and teacher
features that are computed once instead of at every step. glibc's setting applies to a whole process, so each
measurement has a process of its own; they take turns.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

from benchmark.data.teacher import TeacherFeatures, normalise
from benchmark.runtime import Runtime, keep_freed_memory, seed_everything
from benchmark.training.optimizers import build_optimizer
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.stfpm import STFPM
from tests.conftest import PROJECT_ROOT
from tests.speed.commands import SpeedError, median, positive, rounds
from tests.speed.inputs import LAYERS
from tests.speed.pairs import Pair, write
from tests.speed.steps import take

FACTORS = ("malloc", "channels_last", "bf16", "features")
ALL = "all"
SETTINGS: dict[str, tuple[str, ...]] = {
    ALL: FACTORS,
    "none": (),
    **{f"{factor} alone": (factor,) for factor in FACTORS},
}
BATCH, SIDE, STEPS = 32, 256, 4
OPTIMIZER = {"_target_": "torch.optim.SGD", "lr": 0.4, "momentum": 0.9, "weight_decay": 1e-4}


def step_seconds(factors: Sequence[str]) -> float:
    """Return the median seconds of a training step, including the teacher where its features are not kept."""
    if "malloc" in factors:
        keep_freed_memory()
    precision = "bf16" if "bf16" in factors else "fp32"
    runtime = Runtime(torch.device("cpu"), precision, "channels_last" in factors)
    seed_everything(0)
    backbone = FeatureBackbone("resnet18.tv_in1k", "random")
    teacher = TeacherFeatures(runtime.move(backbone.teacher(LAYERS)), backbone.normalisation, runtime)
    method = runtime.move(STFPM(backbone, LAYERS))
    stage = next(method.stages())
    stage.module.train()
    optimizer = build_optimizer(OPTIMIZER, stage.module)
    images = torch.randint(0, 256, (BATCH, SIDE, SIDE, 3), dtype=torch.uint8)
    kept = (
        teacher.compute(normalise(images, backbone.normalisation, runtime)) if "features" in factors else None
    )
    times = []
    for _ in range(STEPS + 1):
        start = time.perf_counter()
        image = normalise(images, backbone.normalisation, runtime)
        batch = Batch(image, torch.zeros(BATCH), features=kept or teacher.compute(image))
        take(stage, batch, optimizer, runtime)
        times.append(time.perf_counter() - start)
    return median(times[1:])


def ask(factors: Sequence[str]) -> float:
    """Return the same, measured by a process of its own."""
    words = [sys.executable, "-m", "tests.speed.factors", "--one", *factors]
    done = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SpeedError(f"{', '.join(factors) or 'no factors'}: {done.stderr.strip()[-600:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """Compare the time of a step with all factors to that with each of the other settings."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.factors", description=main.__doc__)
    parser.add_argument("--rounds", type=positive, default=5, help="default: %(default)s")
    parser.add_argument("--one", nargs="*", choices=FACTORS, help="measure one setting in this process")
    parser.add_argument("--out", type=Path, help="a JSON file")
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(step_seconds(given.one)))
        return
    tasks = {name: partial(ask, factors) for name, factors in SETTINGS.items()}
    try:
        seconds = rounds(tasks, given.rounds)
    except SpeedError as error:
        raise SystemExit(f"error: {error}") from None
    what = f"training step of STFPM with all factors, {BATCH} images of {SIDE} px"
    pairs = [Pair(what, "s", seconds[ALL], seconds[name], name) for name in SETTINGS if name != ALL]
    write(given.out, "factors", pairs)


if __name__ == "__main__":
    main()
