"""Stages that belong to no category: trained once on crops of natural images, kept on disk, and reused."""

import hashlib
import inspect
import json
import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchmark.checkpoint import Checkpoint, random_states_kept
from benchmark.crops import CropSource, open_crops
from benchmark.records import StageRecord
from benchmark.runtime import Runtime, seed_everything
from benchmark.settings import Schedule
from datasets.atomic import write_folder_once
from datasets.errors import DatasetError
from datasets.store import StoredImages
from methods.backbone import FeatureBackbone
from methods.method import Stage
from methods.weights import digest

log = logging.getLogger(__name__)

WEIGHTS = "weights.safetensors"
RECORD = "record.json"


@dataclass(frozen=True)
class PretextStages:
    """Where such stages find their images, and where their results are kept.

    Attributes
    ----------
    stored
        The images of the pretext task.
    method
        The method's configuration: `_target_` and options.
    folder
        Of the kept results; each is a folder below it, named by a hash of all that decides the result: the
        untrained weights, the code of the method, crops and schedule, the images' content, the frozen
        network's weights, precision, memory format, device and torch version.
    checkpoint_seconds
        Between two states of a training, kept beside its folder-to-be: whoever trains the stage next goes on
        from the latest. None: none are kept.
    """

    stored: StoredImages
    method: Mapping[str, Any]
    backbone: FeatureBackbone
    runtime: Runtime
    folder: Path
    checkpoint_seconds: float | None = None

    def once(
        self,
        stage: Stage,
        schedule: Schedule,
        learn: Callable[[CropSource, torch.Generator, Checkpoint | None], StageRecord],
    ) -> StageRecord:
        """Give the stage's module its trained weights, training it if nobody has yet.

        Random numbers come from the hash alone, and the global generators are left as they were: what
        follows does not depend on whether the result was there. Of several processes one trains, the others wait.
        """
        crops = stage.crops
        assert crops is not None
        made_of = self._made_of(stage, schedule)
        key = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        folder = self.folder / f"{stage.name}-{key[:20]}"
        expected = stage.module.state_dict()
        checkpoint = self._checkpoint(folder)
        trained = False

        def write(staging: Path) -> None:
            nonlocal trained
            trained = True
            source = open_crops(self.stored, crops, self.backbone, self.runtime)
            with random_states_kept(self.runtime.device):
                seed_everything(int(key[:8], 16))
                record = learn(source, torch.Generator().manual_seed(int(key[8:16], 16)), checkpoint)
            state = {name: value.cpu().contiguous() for name, value in stage.module.state_dict().items()}
            save_file(state, staging / WEIGHTS)
            (staging / RECORD).write_text(
                json.dumps({"record": asdict(record), "made_of": made_of}, indent=1)
            )

        write_folder_once(folder, write, check=lambda folder: _read(folder, expected))
        if checkpoint is not None:
            checkpoint.discard()
        if not trained:
            log.info("%s: trained before, taken from %s", stage.name, folder)
        state, record = _read(folder, expected)
        stage.module.load_state_dict(state)
        return replace(record, shared=True)

    def _checkpoint(self, folder: Path) -> Checkpoint | None:
        if self.checkpoint_seconds is None:
            return None
        return Checkpoint(folder.with_name(f"{folder.name}.checkpoint"), self.checkpoint_seconds)

    def _made_of(self, stage: Stage, schedule: Schedule) -> dict[str, Any]:
        assert stage.crops is not None
        options = {k: v for k, v in self.method.items() if k != "_target_"}
        if stage.depends_on is not None:
            options = {name: options[name] for name in stage.depends_on}
        layers = stage.crops.layers
        return {
            "stage": stage.name,
            "crops": asdict(stage.crops),
            "schedule": asdict(schedule),
            "options": options,
            "code": _code(stage),
            "module": [repr(stage.module), digest(stage.module.state_dict())],
            "images": self.stored.fingerprint,
            "backbone": self.backbone.identity(layers) if layers else "none",
            "precision": self.runtime.precision,
            "channels_last": self.runtime.channels_last,
            "device": self.runtime.device.type,
            "torch": torch.__version__,
        }


def _code(stage: Stage) -> str:
    """Hash the source of the module in which the stage's loss is written."""
    function = inspect.unwrap(getattr(stage.loss, "func", stage.loss))
    source = inspect.getsource(sys.modules[function.__module__])
    return hashlib.sha256(source.encode()).hexdigest()


def _read(folder: Path, expected: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], StageRecord]:
    """Read a kept result; a DatasetError says that it is damaged."""
    try:
        state = load_file(folder / WEIGHTS)
        record = StageRecord(**json.loads((folder / RECORD).read_text())["record"])
    except Exception as error:  # safetensors and json have errors of their own for damaged files
        raise DatasetError(f"{folder}: the kept weights are damaged ({error})") from error
    if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in expected.items()}:
        raise DatasetError(f"{folder}: the kept weights are damaged (other names or shapes)")
    return state, record
