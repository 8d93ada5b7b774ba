"""The optimiser of a stage, in the form that is fastest."""

import pkgutil
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from benchmark.errors import BenchmarkError

FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimisers that torch can run as one pass over all weights, on CPUs and GPUs: the same steps up to rounding."""


def build_optimizer(settings: Mapping[str, Any], module: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a network's parameters; fused where torch can, unless `settings` say otherwise.

    Parameters
    ----------
    settings
        `_target_`, the class, and its options.

    Raises
    ------
    BenchmarkError
        If there is no such optimiser, or it does not accept the settings.
    """
    optimizer_class = optimizer_class_of(settings)
    options: dict[str, Any] = {"fused": True} if optimizer_class in FUSED else {}
    options |= {name: value for name, value in settings.items() if name != "_target_"}
    try:
        return optimizer_class(list(module.parameters()), **options)
    except Exception as error:  # classes of any library
        raise BenchmarkError(f"method.training.optimizer: {error}") from None


def optimizer_class_of(settings: Mapping[str, Any]) -> type[torch.optim.Optimizer]:
    """Return the class that `_target_` names.

    Raises
    ------
    BenchmarkError
        If it cannot be imported, or is no optimiser of torch's kind.
    """
    target = settings.get("_target_")
    try:
        found = pkgutil.resolve_name(str(target))
    except Exception as error:  # whatever the import of a user's module raises
        raise BenchmarkError(
            f"method.training.optimizer._target_={target}: cannot be imported ({error})"
        ) from None
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise BenchmarkError(
            f"method.training.optimizer._target_={target}: expected a subclass of torch.optim.Optimizer"
        )
    return found
