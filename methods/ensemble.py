"""Several students of one architecture: their outputs side by side, and what they agree on."""

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from timm.models import FeatureListNet
from timm.models.resnet import BasicBlock, Bottleneck
from torch import Tensor, nn

from methods.errors import MethodError

WIDENED = (nn.Conv2d, nn.BatchNorm2d)
# What else a grouped network may consist of: whatever treats each channel by itself, or only calls such.
NEUTRAL = (
    *(nn.Identity, nn.ReLU, nn.LeakyReLU, nn.MaxPool2d, nn.AvgPool2d),
    *(nn.Sequential, nn.ModuleList, nn.ModuleDict, FeatureListNet, BasicBlock, Bottleneck),
)


class Ensemble(nn.Module):
    """M networks of one architecture, each with initial weights of its own, applied to the same images.

    `separate` runs them one after the other. `grouped` runs one network whose channels are theirs side by
    side: outputs, gradients and training are the same up to rounding. Grouping does not pay on a CPU (AVX2,
    fp32, one thread, CPU time of a training step): it took 1.06 times as long as three separate ResNet-18s on
    32 images of 224 pixels, 1.03 times for patch networks; `python -m tests.benchmark.steps` compares
    them elsewhere. A third form, `torch.func.vmap` over stacked weights, took 1.24 and 1.00 times as long; it
    would take any module, but stacked weights cannot be brought to channels_last.

    Parameters
    ----------
    build
        Returns one network with fresh weights; called M times, so both forms start from the same weights.
        The network maps an image (B, 3, H, W) to (B, C, h, w), or to {layer: (B, C, h, w)}.
    count
        M.
    form
        `separate`, for any network; `grouped`, for those that `group` can merge.

    Raises
    ------
    MethodError
        If networks are to be grouped that cannot be.
    """

    def __init__(
        self, build: Callable[[], nn.Module], count: int, form: Literal["separate", "grouped"] = "separate"
    ) -> None:
        super().__init__()
        self.count = count
        networks = [build() for _ in range(count)]
        self.networks = nn.ModuleList([group(networks)] if form == "grouped" else networks)

    def forward(self, image: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Map (B, 3, H, W) to (B, M, C, h, w), or {layer: (B, M, C, h, w)}; the rest goes to each network."""
        outputs = [network(image, *args, **kwargs) for network in self.networks]
        if isinstance(outputs[0], Tensor):
            return self._side_by_side(outputs)
        return {layer: self._side_by_side([output[layer] for output in outputs]) for layer in outputs[0]}

    def _side_by_side(self, outputs: Sequence[Tensor]) -> Tensor:
        if len(outputs) < self.count:
            return outputs[0].unflatten(1, (self.count, -1))
        return torch.stack(tuple(outputs), 1)


def group(networks: Sequence[nn.Module]) -> nn.Module:
    """Merge M networks of one architecture into one, which returns their channels one after the other.

    Every convolution becomes one of M groups, every BatchNorm one of M times the channels; the first
    convolution, in the order of definition, reads the image, which is shared. The forward code stays that of
    the first network: the network's own must treat all channels alike and take `groups` from its
    convolutions; inner modules are checked.

    Parameters
    ----------
    networks
        (B, 3, H, W) to (B, C, h, w) each; their weights are copied.

    Returns
    -------
    A network (B, 3, H, W) to (B, M * C, h, w), the channels of the first network first.

    Raises
    ------
    MethodError
        If a module mixes channels, or holds weights, in a way that cannot be merged.
    """
    merged, count = copy.deepcopy(networks[0]), len(networks)
    reads_image = True
    members = zip(*(network.modules() for network in networks), strict=True)
    for (name, module), sources in zip(list(merged.named_modules()), members, strict=True):
        _check(name, module)
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            _concatenate(module, sources)
        if isinstance(module, nn.BatchNorm2d):
            module.num_features *= count
        elif isinstance(module, nn.Conv2d):
            module.out_channels *= count
            if not reads_image:
                module.in_channels *= count
                module.groups = count
            reads_image = False
    return merged


def _check(name: str, module: nn.Module) -> None:
    """Refuse what cannot be merged; the network itself (no name) may be of any class without own tensors."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    if type(module) in WIDENED and getattr(module, "groups", 1) > 1:
        problem = "it has groups already"
    elif type(module) in WIDENED + NEUTRAL or (not name and not own):
        return
    else:
        problem = "accepted: " + ", ".join(known.__name__ for known in WIDENED + NEUTRAL)
    raise MethodError(
        f"method.ensemble=grouped: {name or 'the network'} ({type(module).__name__}) of the students cannot be "
        f"merged: {problem}; method.ensemble=separate accepts any network"
    )


def _concatenate(target: nn.Module, sources: Sequence[nn.Module]) -> None:
    """Give a module the weights, biases and running statistics of all sources, one after the other."""
    for name, first in [*target.named_parameters(recurse=False), *target.named_buffers(recurse=False)]:
        if first.ndim == 0:  # the number of batches that a BatchNorm has seen
            continue
        values = torch.cat([getattr(source, name).detach() for source in sources])
        if isinstance(first, nn.Parameter):
            setattr(target, name, nn.Parameter(values, first.requires_grad))
        else:
            setattr(target, name, values)


def error_and_variance(target: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Compare what M students say with what they should say, and with each other, at every location.

    v is the thesis' eq. 4, mean_s ||y_s||^2 - ||mean_s y_s||^2, in the form that rounding harms least, and
    equally its eq. 7: the squared length of the vector of (population) standard deviations of the channels.
    With e it makes up the students' mean error: mean_s ||y_s - t||^2 = e + v.

    Parameters
    ----------
    target
        t, (B, C, h, w).
    outputs
        y_s, (B, M, C, h, w).

    Returns
    -------
    e = ||mean_s y_s - t||^2 and v, (B, h, w) each.
    """
    mean = outputs.mean(1)
    error = (mean - target).square().sum(1)
    variance = (outputs - mean[:, None]).square().mean(1).sum(1)
    return error, variance


def check_students(count: int, score: str) -> None:
    """Refuse a number of students (`method.students`) that cannot give the score (`method.score`).

    Raises
    ------
    MethodError
        If there is no student, or a single one is to have a variance.
    """
    if count < 1:
        raise MethodError(f"method.students={count}: accepted: 1 or more")
    if count == 1 and "v" in score:
        raise MethodError(
            f"method.students=1: a single student has no variance, which method.score={score} asks for; "
            "accepted: 2 or more, or method.score=e"
        )
