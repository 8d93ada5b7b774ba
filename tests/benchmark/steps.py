"""The time of a training step of each method and stage; students grouped into one network against separate ones.

    python -m tests.benchmark.steps [rounds] [protocol=quick] [method ...]

Published sizes unless `protocol=quick` is given, fp32, on generated noise with the teacher's features computed
beforehand, in one process in which glibc keeps freed memory. Where a method has an ensemble, both forms take
turns in every round. Not part of the test suite: timings decide nothing.
"""

import statistics
import sys
import time
from collections.abc import Iterator
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch.nn.functional import interpolate

import run_benchmark  # noqa: F401 - its choices and resolvers belong to the configuration
from benchmark.features import TeacherFeatures
from benchmark.runtime import Runtime, keep_freed_memory, seed_everything
from benchmark.settings import Training, build, typed
from benchmark.training import schedules
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Crops, Method
from tests.conftest import PROJECT_ROOT

METHODS = ("stfpm", "rd", "ast", "uninformed_students", "feature_variance", "simple_student")
FORMS = ("separate", "grouped")


def configuration(method: str, protocol: str) -> dict[str, Any]:
    """Compose what the command would run."""
    with initialize_config_dir(str(PROJECT_ROOT / "conf"), version_base="1.3"):
        config = compose("config", [f"method={method}", f"protocol={protocol}", "backbone.weights=random"])
    values: Any = OmegaConf.to_container(
        OmegaConf.create({k: config[k] for k in ("method", "backbone")}), resolve=True
    )
    return values


def step_seconds(config: dict[str, Any], form: str | None) -> Iterator[tuple[str, int, int, float]]:
    """Yield name, batch size, image side and seconds of a step of each stage, after one that warms up."""
    options = {k: v for k, v in config["method"].items() if k != "training"}
    if form is not None:
        options["ensemble"] = form
    training = typed(Training, config["method"]["training"], "method.training")
    backbone = typed(FeatureBackbone, config["backbone"], "backbone")
    seed_everything(0)
    method: Method = build("method", options, backbone=backbone)
    runtime = Runtime(torch.device("cpu"), "fp32", method.channels_last)
    runtime.move(method)
    for stage, schedule in schedules(method, training):
        side = stage.crops.size if stage.crops else training.image_size
        batch = noise(backbone, runtime, method.needs, stage.crops, schedule.batch_size, side)
        optimizer = instantiate(schedule.optimizer, params=list(stage.module.parameters()), _convert_="all")
        method.eval()
        stage.module.train()
        for _ in range(2):
            start = time.perf_counter()
            loss = stage.loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            seconds = time.perf_counter() - start
        yield stage.name, schedule.batch_size, side, seconds


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
        times: dict[tuple[str, int, int], dict[str | None, list[float]]] = {}
        for _ in range(rounds):
            for form in forms:
                for stage, batch, side, seconds in step_seconds(config, form):
                    times.setdefault((stage, batch, side), {}).setdefault(form, []).append(seconds)
        for (stage, batch, side), of_forms in times.items():
            report(f"{name} {stage}", f"{batch} x {side} px", of_forms)


def report(name: str, size: str, seconds: dict[str | None, list[float]]) -> None:
    """Print one line."""
    medians = [f"{form or ''} {1000 * statistics.median(values):6.0f} ms" for form, values in seconds.items()]
    ratio = ""
    if len(seconds) == 2:
        pairs = zip(seconds["separate"], seconds["grouped"], strict=True)
        ratio = f"separate / grouped {statistics.median(a / b for a, b in pairs):.2f}"
    print(f"{name:36} {size:12} {'  '.join(medians)}  {ratio}", flush=True)


if __name__ == "__main__":
    main()
