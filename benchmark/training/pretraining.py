"""Stages that are independent of the category: trained once on crops of natural images, kept, and reused."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.data.crops import CropSource, open_crops
from benchmark.data.images import StoredImages
from benchmark.runtime import Runtime, seed_everything
from benchmark.settings.training import StageConfig
from benchmark.settings.values import one_of
from benchmark.training.checkpoint import Checkpoint, TrainingState, random_states_kept
from benchmark.training.loop import Progress, describe_plan, train_stage
from benchmark.training.optimizers import optimizer_class_of
from benchmark.training.records import StageRecord
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from methods.weights import digest
from store.errors import StoreError
from store.folders import write_folder_once
from store.keys import make_key

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
RECORD = "record.json"


@dataclass(frozen=True)
class PretrainedStages:
    """Trains such stages, or loads them if the same training is kept already.

    Attributes
    ----------
    stored
        The images to cut crops from.
    options
        The method's configuration: `_target_` and options.
    folder
        The folder of the kept results; each is a folder below it, named by its key.
    checkpoint_seconds
        Least time between two saved states of a training; a later command resumes from the latest. None: no
        state is saved.
    are_natural
        Whether the images are natural ones, and not the train images of the categories.
    """

    stored: StoredImages
    options: Mapping[str, Any]
    backbone: FeatureBackbone
    runtime: Runtime
    folder: Path
    checkpoint_seconds: float | None = None
    progress: Progress | None = None
    are_natural: bool = False

    def train_once(self, method: Method, stage: Stage, config: StageConfig, title: str) -> StageRecord:
        """Give the stage's module its trained weights, training it if they are not kept yet.

        Its random numbers depend on its name alone and the global generators are left as they were, so what
        follows does not depend on whether it was trained now. Of several processes one trains, the others wait.
        """
        crops = method.crops(stage)
        assert crops is not None
        folder = self._kept(method, stage, config)
        expected = stage.module.state_dict()
        checkpoint = None
        if self.checkpoint_seconds is not None:
            checkpoint = Checkpoint(folder.with_name(f"{folder.name}.checkpoint"), self.checkpoint_seconds)
        trained = False

        def write(staging: Path) -> None:
            nonlocal trained
            trained = True
            source = open_crops(self.stored, crops, self.backbone, self.runtime)
            seeds = hashlib.sha256(f"pretraining {stage.name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(seeds[4:8]))
            with random_states_kept(self.runtime.device):
                seed_everything(int.from_bytes(seeds[:4]))
                plan = describe_plan(generator.initial_seed(), self.runtime, [(stage, config)])
                state = TrainingState(checkpoint, stage.module, plan, self.runtime.device)
                record = train_stage(
                    method, stage, config, source, None, generator, title, state, state.load(), self.progress
                )
            weights = {name: value.cpu().contiguous() for name, value in stage.module.state_dict().items()}
            save_file(weights, staging / WEIGHTS)
            (staging / RECORD).write_text(json.dumps(asdict(record), indent=1))

        write_folder_once(folder, write, check=lambda folder: _read(folder, expected))
        if checkpoint is not None:
            checkpoint.discard()
        if not trained:
            log.info("%s: %s trained before, loaded from %s", title, stage.name, folder)
        weights, record = _read(folder, expected)
        stage.module.load_state_dict(weights)
        return replace(record, shared=True)

    def crops_of(self, method: Method, stage: Stage, config: StageConfig) -> CropSource | None:
        """Return the crops on which a stage has yet to train; None if its weights are kept."""
        crops = method.crops(stage)
        assert crops is not None
        if self._kept(method, stage, config).exists():
            return None
        return open_crops(self.stored, crops, self.backbone, self.runtime)

    def natural(self, method: Method, stage: Stage) -> CropSource | None:
        """Return the natural images that a stage sees besides the category's; None: it wants none or has none."""
        crops = method.natural(stage)
        if crops is None or not self.are_natural:
            return None
        return open_crops(self.stored, crops, self.backbone, self.runtime)

    def _kept(self, method: Method, stage: Stage, config: StageConfig) -> Path:
        return self.folder / f"{stage.name}-{self.key(method, stage, config)[:20]}"

    def key(self, method: Method, stage: Stage, config: StageConfig) -> str:
        """Return the key of a stage's trained weights."""
        crops = method.crops(stage)
        assert crops is not None
        options = {name: value for name, value in self.options.items() if name != "_target_"}
        if crops.options is not None:
            known = signature(type(method)).parameters
            one_of(f"{type(method).__name__}.crops({stage.name}).options", crops.options, known)
            options = {name: options.get(name, known[name].default) for name in crops.options}
        return make_key(
            train_stage,
            open_crops,
            FeatureBackbone,
            type(method),
            optimizer_class_of(config.optimizer),
            stage=stage.name,
            crops=crops,
            config=config,
            options=options,
            module=[repr(stage.module), digest(stage.module.state_dict())],
            images=self.stored.key,
            teacher=self.backbone.identity(crops.layers) if crops.layers else None,
            normalisation=self.backbone.normalisation,
            precision=self.runtime.precision,
            channels_last=self.runtime.channels_last,
            device=self.runtime.device.type,
        )


def _read(folder: Path, expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], StageRecord]:
    """Read a kept result; a StoreError names a file that cannot be used."""
    try:
        weights = load_file(folder / WEIGHTS)
        record = StageRecord(**json.loads((folder / RECORD).read_text()))
    except Exception as error:  # safetensors and json have errors of their own for damaged files
        raise StoreError(f"{folder}: the kept weights cannot be read ({error})") from error
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in expected.items()}:
        raise StoreError(f"{folder / WEIGHTS}: found other names or shapes than the stage's")
    return weights, record
