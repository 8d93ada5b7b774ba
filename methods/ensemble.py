"""Ensembles of students of one architecture: their outputs, mean error and variance."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from methods.errors import MethodError
from methods.ranges import Range, check_option


class Ensemble(nn.Module):
    """M networks of one architecture with different initial weights, applied to the same images.

    Parameters
    ----------
    build
        Returns one network with fresh weights; called M times. The network maps an image (B, 3, H, W) to
        (B, C, h, w), or to {layer: (B, C, h, w)}.
    count
        M.
    """

    def __init__(self, build: Callable[[], nn.Module], count: int) -> None:
        super().__init__()
        self.networks = nn.ModuleList([build() for _ in range(count)])

    def forward(self, image: Tensor, *args: Any, **kwargs: Any) -> Any:
        """Map (B, 3, H, W) to (B, M, C, h, w), or {layer: (B, M, C, h, w)}; the rest goes to each network."""
        outputs = [network(image, *args, **kwargs) for network in self.networks]
        if isinstance(outputs[0], Tensor):
            return torch.stack(outputs, 1)
        return {layer: torch.stack([output[layer] for output in outputs], 1) for layer in outputs[0]}


def error_and_variance(target: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Compare the outputs of M students with their target, and with each other, at every location.

    v is the thesis' eq. 4, mean_s ||y_s||^2 - ||mean_s y_s||^2, in the form that is least sensitive to
    rounding, and also its eq. 7: the squared norm of the vector of (population) standard deviations of the
    channels. Together with e it is the students' mean error: mean_s ||y_s - t||^2 = e + v.

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
    """Reject a number of students (`method.students`) for which the score (`method.score`) is not defined.

    Raises
    ------
    MethodError
        If there is no student, or too many, or the score needs the variance of a single one.
    """
    check_option("students", count, Range(at_least=1, at_most=100))
    if count == 1 and "v" in score:
        raise MethodError(
            f"method.students: found 1; expected 2 or more with method.score={score}, as a single student has no "
            "variance, or method.score=e"
        )
