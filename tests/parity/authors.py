"""The authors' released code, as a user has checked it out: its modules, and networks with equal weights."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from benchmark.runtime import Runtime
from benchmark.settings.training import StageConfig
from benchmark.training.steps import Steps
from datasets.batch import Batch
from methods.method import Stage
from tests.conftest import PROJECT_ROOT

VARIABLE = "AUTHORS"
"""The environment variable that names the folder of the checkouts."""
UNUSED = ("cv2", "skimage", "efficientnet_pytorch", "scipy.ndimage.morphology", "colorama", "tabulate")
"""Modules that the released code imports for what is not compared: stand-ins serve where they are missing."""
CPU = Runtime(torch.device("cpu"), "fp32", channels_last=False)


def checkout(name: str) -> Path:
    """Return the folder of a repository; the test is skipped where there is none."""
    if not os.environ.get(VARIABLE):
        pytest.skip("no AUTHORS=folder with checkouts of the authors' code: make parity AUTHORS=folder")
    folder = Path(os.environ[VARIABLE]).expanduser() / name
    if not folder.is_dir():
        pytest.skip(f"{folder}: no such checkout")
    return folder


@contextmanager
def modules_of(folder: Path) -> Iterator[Callable[[str], ModuleType]]:
    """Give a function that imports the modules of a checkout, whose names are forgotten again at the end."""
    before = dict(sys.modules)
    for name in UNUSED:
        if find_spec(name.partition(".")[0]) is None or "." in name:
            sys.modules[name] = MagicMock()
    own = {path.stem for path in folder.iterdir() if path.is_dir() or path.suffix == ".py"}
    forget(own)  # names such as `test` or `model` may be those of others
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module
    finally:
        sys.path.remove(str(folder))
        forget(own | set(UNUSED))
        sys.modules.update({name: module for name, module in before.items() if name not in sys.modules})


def forget(names: set[str]) -> None:
    """Make the next import of these modules, and of those below them, read their files again."""
    for name in list(sys.modules):
        if name in names or name.partition(".")[0] in names:
            del sys.modules[name]


def in_order(network: nn.Module, run: Callable[[], Any], without: tuple[type, ...] = ()) -> list[nn.Module]:
    """Return the modules that own weights, in the order in which `run` calls them."""
    called: list[nn.Module] = []
    owners = [
        m for m in network.modules() if list(m.parameters(recurse=False)) and not isinstance(m, without)
    ]
    hooks = [owner.register_forward_pre_hook(lambda module, _: called.append(module)) for owner in owners]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    return called


def copy_weights(source: list[nn.Module], target: list[nn.Module]) -> None:
    """Give the modules of one network the weights of another's, called in the same order."""
    for first, second in zip(source, target, strict=True):
        own = {name: value for name, value in first.state_dict().items() if "." not in name}
        second.load_state_dict(own, strict=not list(second.children()))


def one_step(method: str, stage: Stage, batch: Batch) -> float:
    """Take the step that `conf/method` describes on a batch; return its loss."""
    settings: Mapping[str, Any] = yaml.safe_load((PROJECT_ROOT / f"conf/method/{method}.yaml").read_text())
    stage.module.train()
    training = settings["training"]
    config = StageConfig(len(batch), training["optimizer"], steps=1, clip_norm=training.get("clip_norm"))
    steps = Steps(stage, config, 1)
    loss = steps.take(batch, CPU)
    stage.module.eval()
    return loss.item()


def check(what: str, ours: Any, theirs: Any, limit: float) -> None:
    """Print the largest difference, relative to the largest value, and hold it to a limit."""
    a, b = (
        x.detach().double().numpy() if isinstance(x, Tensor) else np.asarray(x, float) for x in (ours, theirs)
    )
    assert a.shape == b.shape
    difference = np.abs(a - b).max() / np.abs(b).max()
    print(f"{what:50}{difference:10.1e}")
    assert difference <= limit
