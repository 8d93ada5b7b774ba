"""Single training steps of every method and stage, for timing and counting.

The sizes are those of a protocol and the images are generated noise; the teacher's features and the stage's targets
are computed beforehand, as in a training.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch.nn.functional import interpolate
from torch.utils.flop_counter import FlopCounterMode

import run_benchmark  # noqa: F401 - its choices and resolvers belong to the configuration
from benchmark.data.teacher import TeacherFeatures
from benchmark.runtime import Runtime, seed_everything
from benchmark.settings.training import Training
from benchmark.settings.values import build, typed
from benchmark.training.loop import stages_of
from benchmark.training.optimizers import build_optimizer
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from tests.conftest import PROJECT_ROOT

METHODS = (
    "stfpm",
    "rd",
    "rd_plus_plus",
    "ast",
    "uninformed_students",
    "feature_variance",
    "simple_student",
    "efficient_ad",
    "dinomaly",
)


def configuration(method: str, protocol: str, *overrides: str) -> dict[str, Any]:
    """Compose the options of a method and its backbone as the command would."""
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


def steps_of(
    config: dict[str, Any],
    precision: str = "fp32",
    device: str = "cpu",
    channels_last: bool | None = None,
    change: Callable[[Stage, torch.optim.Optimizer], Stage] | None = None,
) -> Iterator[Step]:
    """Yield a step of each stage of a method, as the training loop takes it.

    Parameters
    ----------
    channels_last
        None: as the method says.
    change
        Makes of a stage, and its optimiser before the first step, the stage to be timed.
    """
    options = {k: v for k, v in config["method"].items() if k != "training"}
    training = typed(Training, config["method"]["training"], "method.training")
    backbone = typed(FeatureBackbone, config["backbone"], "backbone")
    seed_everything(0)
    method: Method = build("method", options, backbone=backbone)
    if channels_last is None:
        channels_last = method.channels_last
    runtime = Runtime(torch.device(device), precision, channels_last)
    runtime.move(method)
    for stage, stage_config in stages_of(method, training):
        crops = method.crops(stage)
        side = crops.size if crops else training.image_size
        batch = noise(method, stage, backbone, runtime, stage_config.batch_size, side)
        method.eval()
        if crops is None:
            with torch.no_grad(), runtime.autocast():
                method.on_train_start(stage, [batch])
                batch = replace(batch, targets=method.targets(stage, batch))
        stage.module.train()
        optimizer = build_optimizer(stage_config.optimizer, stage.module, groups=stage.groups)
        changed = change(stage, optimizer) if change else stage
        run = partial(take, changed, batch, optimizer, runtime)
        yield Step(stage.name, stage_config.batch_size, side, run)
        optimizer.zero_grad(set_to_none=True)


def take(stage: Stage, batch: Batch, optimizer: torch.optim.Optimizer, runtime: Runtime) -> None:
    """Take a step."""
    with runtime.autocast():
        loss = stage.loss(batch)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def multiply_adds(run: Callable[[], object]) -> float:
    """Return the multiply-adds of a call: of its convolutions and matrix products."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 2  # torch counts a multiply-add as two


def seconds(run: Callable[[], None]) -> float:
    """Return the duration of a call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def noise(
    method: Method, stage: Stage, backbone: FeatureBackbone, runtime: Runtime, count: int, side: int
) -> Batch:
    """Return a batch of noise with the features that the stage reads."""
    image = torch.randn(count, 3, side, side).to(runtime.device, memory_format=runtime.memory_format)
    crops = method.crops(stage)
    layers, seen = method.teacher_layers, image
    if crops is not None:
        layers, seen = crops.layers, interpolate(image, (crops.feature_size,) * 2)
    batch = Batch(image, torch.zeros(count, dtype=torch.int64, device=runtime.device))
    if not layers:
        return batch
    teacher = TeacherFeatures(runtime.move(backbone.teacher(layers)), backbone.normalisation, runtime)
    changed = None if crops else method.changed(stage, batch)
    return replace(
        batch,
        features=teacher.compute(seen),
        changed={} if changed is None else teacher.compute(changed),
    )
