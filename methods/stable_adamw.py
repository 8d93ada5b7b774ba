"""StableAdamW (Wortsman et al., 2023, arXiv:2304.13013, algorithm 2): AdamW whose steps are clipped per tensor."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from methods.ranges import Range, check_option

GROUP = "optimizer"


class StableAdamW(Optimizer):
    """AdamW that takes a smaller step on a tensor whose gradients are large for their running mean square.

    With d = sqrt(v) + eps, the denominator of AdamW's step, the learning rate of a tensor is divided by
    max(1, rms(g / d) / clip_threshold): by 1, as in AdamW, while its gradients g are as large as usual.

    Parameters
    ----------
    params
        Parameters, or groups of them with options of their own.
    lr, betas, eps, weight_decay, amsgrad
        Those of `torch.optim.AdamW`. With amsgrad the largest mean square so far takes the place of v.
    clip_threshold
        Root mean square of g / d above which a tensor's step is clipped.

    Raises
    ------
    MethodError
        If an option is out of range.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        clip_threshold: float = 1.0,
    ) -> None:
        for name, value in (("lr", lr), ("eps", eps), ("weight_decay", weight_decay)):
            check_option(name, value, Range(at_least=0), GROUP)
        for beta in betas:
            check_option("betas", beta, Range(at_least=0, below=1), GROUP)
        check_option("clip_threshold", clip_threshold, Range(above=0), GROUP)
        options = {
            "lr": lr,
            "betas": tuple(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "clip_threshold": clip_threshold,
        }
        super().__init__(params, options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take a step on all parameters that have a gradient; return the closure's loss, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._step(parameter, parameter.grad, group)
        return loss

    def _step(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = 0
            names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if group["amsgrad"] else []))
            state.update({name: torch.zeros_like(parameter) for name in names})
        state["step"] += 1
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        first, second = group["betas"]
        mean.lerp_(gradient, 1 - first)
        square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        if group["amsgrad"]:
            square = torch.maximum(state["max_exp_avg_sq"], square, out=state["max_exp_avg_sq"])
        divisor = (square / (1 - second ** state["step"])).sqrt_().add_(group["eps"])
        rms = (gradient / divisor).square_().mean().sqrt_()
        rate = group["lr"] / (1 - first ** state["step"]) / (rms / group["clip_threshold"]).clamp_(min=1)
        parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(rate * mean / divisor)
