"""The optimiser of a stage, in the form that is fastest."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn

from benchmark.errors import BenchmarkError
from benchmark.settings.training import StageConfig, Training
from benchmark.settings.values import check_group, one_of, target_of, typed

GROUPS = "groups"
NO_GROUPS: Mapping[str, nn.Module] = {}
FUSED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimisers that torch can run as one pass over all weights, on CPUs and GPUs: the same steps up to rounding."""


def build_optimizer(
    settings: Mapping[str, Any],
    module: nn.Module,
    path: str = "method.training.optimizer",
    groups: Mapping[str, nn.Module] = NO_GROUPS,
) -> torch.optim.Optimizer:
    """Return the optimiser of a network's parameters; fused where torch can, unless `settings` say otherwise.

    Parameters
    ----------
    settings
        `_target_`, the class, and its options; `groups.<name>` holds those of a part of the network.
    path
        Name of the settings in the configuration, for messages.
    groups
        The parts of the network that may have options of their own.

    Raises
    ------
    BenchmarkError
        If there is no such optimiser, or it does not accept the settings, or there is no such part.
    """
    optimizer_class = optimizer_class_of(settings, path)
    options: dict[str, Any] = {"fused": True} if optimizer_class in FUSED else {}
    options |= {name: value for name, value in settings.items() if name not in ("_target_", GROUPS)}
    parameters = _grouped(module, settings.get(GROUPS, {}), groups, f"{path}.{GROUPS}")
    try:
        return typed(optimizer_class, options, path, params=parameters)
    except BenchmarkError:
        raise
    except Exception as error:  # classes of any library
        raise BenchmarkError(f"{path}: {error}") from None


def _grouped(
    module: nn.Module, options: Mapping[str, Any], groups: Mapping[str, nn.Module], path: str
) -> list[Any]:
    """Return the parameters of a network: as a list, or as groups where some have options of their own."""
    check_group(path, options)
    one_of(path, list(options), groups)
    if not options:
        return list(module.parameters())
    own = []
    for name, values in options.items():
        check_group(f"{path}.{name}", values)
        own.append({"params": list(groups[name].parameters()), **values})
    elsewhere = {id(parameter) for group in own for parameter in group["params"]}
    return [{"params": [p for p in module.parameters() if id(p) not in elsewhere]}, *own]


def optimizer_class_of(
    settings: Mapping[str, Any], path: str = "method.training.optimizer"
) -> type[torch.optim.Optimizer]:
    """Return the class that `_target_` names.

    Raises
    ------
    BenchmarkError
        If it cannot be imported, or is no optimiser of torch's kind.
    """
    found = target_of(path, settings)
    if not (isinstance(found, type) and issubclass(found, torch.optim.Optimizer)):
        raise BenchmarkError(
            f"{path}._target_={settings['_target_']}: expected a subclass of torch.optim.Optimizer"
        )
    return found


def check_optimizers(training: Training) -> None:
    """Build the optimiser of every stage for a tiny network and take a step, so that nothing is refused later.

    Raises
    ------
    BenchmarkError
        If there is no such optimiser, or it does not accept its settings, or it cannot take the steps of the training
        loop, as one that wants to compute the loss itself.
    """
    for path, config, optimizer in tiny_optimizers(training):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        try:
            optimizer.step()
        except Exception as error:  # classes of any library
            raise BenchmarkError(
                f"{path}.optimizer._target_={config.optimizer['_target_']}: cannot take a step of the training loop "
                f"({error})"
            ) from None


def tiny_optimizers(training: Training) -> Iterator[tuple[str, StageConfig, torch.optim.Optimizer]]:
    """Yield the optimiser of every stage for a tiny network, with the stage's name in messages and its configuration.

    Raises
    ------
    BenchmarkError
        See `build_optimizer`.
    """
    for stage in ("", *training.stages):
        path = f"method.training.stages.{stage}" if stage else "method.training"
        config = training.stage(stage)
        settings = {name: value for name, value in config.optimizer.items() if name != GROUPS}
        tiny = nn.ParameterList([torch.zeros(2, 2, 1, 1), torch.zeros(2)])  # of a convolution
        yield path, config, build_optimizer(settings, tiny, f"{path}.optimizer")
