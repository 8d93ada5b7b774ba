"""The time of a training step of each method and stage; students grouped into one network against separate ones.

    python -m tests.benchmark.steps [rounds] [protocol=quick] [method ...]

Published sizes unless `protocol=quick` is given, fp32, on generated noise with the teacher's features computed
beforehand, in one process in which glibc keeps freed memory. Where a method has an ensemble, both forms take
turns in every round. Not part of the test suite: timings decide nothing.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.nn.functional import interpolate

import run_benchmark  # noqa: F401 - its choices and resolvers belong to the configuration
from benchmark.features import TeacherFeatures
from benchmark.runtime import Runtime, keep_freed_memory, seed_everything
from benchmark.schedules import build_optimizer, schedules
from benchmark.settings import Training, build, typed
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Crops, Method, Stage
from tests.conftest import PROJECT_ROOT

METHODS = ("stfpm", "rd", "ast", "uninformed_students", "feature_variance", "simple_student")
FORMS = ("separate", "grouped")


def configuration(method: str, protocol: str, *overrides: str) -> dict[str, Any]:
    """Compose what the command would run with these choices."""
    with initialize_config_dir(str(PROJECT_ROOT / "conf"), version_base="1.3"):
        choices = [f"method={method}", f"protocol={protocol}", "backbone.weights=random", *overrides]
        config = compose("config", choices)
    values: Any = OmegaConf.to_container(
        OmegaConf.create({k: config[k] for k in ("method", "backbone")}), resolve=True
    )
    return values


@dataclass(frozen=True)
class Step:
    """A training step of a stage on a batch of noise."""

    stage: str
    batch: int
    side: int
    run: Callable[[], None]

    @property
    def size(self) -> str:
        """Batch size and image side."""
        return f"{self.batch} x {self.side} px"


def steps_of(config: dict[str, Any], form: str | None = None, precision: str = "fp32") -> Iterator[Step]:
    """Yield a step of each stage of a method, as the training loop takes it."""
    options = {k: v for k, v in config["method"].items() if k != "training"}
    if form is not None:
        options["ensemble"] = form
    training = typed(Training, config["method"]["training"], "method.training")
    backbone = typed(FeatureBackbone, config["backbone"], "backbone")
    seed_everything(0)
    method: Method = build("method", options, backbone=backbone)
    runtime = Runtime(torch.device("cpu"), precision, method.channels_last)
    runtime.move(method)
    for stage, schedule in schedules(method, training):
        side = stage.crops.size if stage.crops else training.image_size
        batch = noise(backbone, runtime, method.needs, stage.crops, schedule.batch_size, side)
        method.eval()
        if stage.constant is not None:
            with torch.no_grad(), runtime.autocast():
                batch.features |= stage.constant(batch)
        stage.module.train()
        optimizer = build_optimizer(schedule.optimizer, stage)
        run = partial(take, stage, batch, optimizer, runtime)
        yield Step(stage.name, schedule.batch_size, side, run)
        optimizer.zero_grad(set_to_none=True)


def take(stage: Stage, batch: Batch, optimizer: torch.optim.Optimizer, runtime: Runtime) -> None:
    """Take a step."""
    with runtime.autocast():
        loss = stage.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def seconds(run: Callable[[], None]) -> float:
    """Return how long something takes."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def noise(
    backbone: FeatureBackbone,
    runtime: Runtime,
    needs: tuple[str, ...],
    crops: Crops | None,
    size: int,
    side: int,
) -> Batch:
    """Return a batch of noise with the features that the stage reads."""
    image = torch.randn(size, 3, side, side).contiguous(memory_format=runtime.memory_format)
    layers, seen = needs, image
    if crops is not None:
        layers, seen = crops.layers, interpolate(image, (crops.feature_size,) * 2)
    features = {}
    if layers:
        features = TeacherFeatures(runtime.move(backbone.teacher(layers)), runtime).compute(seen)
    return Batch(image, torch.zeros(size, dtype=torch.int64), features=features)


def main() -> None:
    """Print the median over rounds of each stage, and the ratio of the two forms of an ensemble."""
    keep_freed_memory()
    arguments = sys.argv[1:]
    rounds = next((int(argument) for argument in arguments if argument.isdigit()), 3)
    protocol = "quick" if "protocol=quick" in arguments else "paper"
    chosen = [name for name in METHODS if name in arguments] or METHODS
    print(
        f"a training step, {protocol} sizes, fp32, {torch.get_num_threads()} threads, medians of {rounds} rounds"
    )
    for name in chosen:
        config = configuration(name, protocol)
        forms = FORMS if "ensemble" in config["method"] else (None,)
        times: dict[tuple[str, str], dict[str | None, list[float]]] = {}
        for _ in range(rounds):
            for form in forms:
                for step in steps_of(config, form):
                    step.run()  # warms up
                    of_stage = times.setdefault((step.stage, step.size), {})
                    of_stage.setdefault(form, []).append(seconds(step.run))
        for (stage, size), of_forms in times.items():
            report(f"{name} {stage}", size, of_forms)


def report(name: str, size: str, times: dict[str | None, list[float]]) -> None:
    """Print one line."""
    medians = [f"{form or ''} {1000 * statistics.median(values):6.0f} ms" for form, values in times.items()]
    ratio = ""
    if len(times) == 2:
        pairs = zip(times["separate"], times["grouped"], strict=True)
        ratio = f"separate / grouped {statistics.median(a / b for a, b in pairs):.2f}"
    print(f"{name:36} {size:12} {'  '.join(medians)}  {ratio}", flush=True)


if __name__ == "__main__":
    main()
