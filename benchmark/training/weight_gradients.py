"""Gradients of convolution weights as matrix products, on processors where those are the faster form.

Without AVX-512, oneDNN computes the gradient of a convolution's weights at about half the rate of the convolution
itself, and training spends a third of its time there. The same sum is a product of two matrices: the gradients of all
pixels, (pixels, channels out), and the patches that these pixels saw, (pixels, channels in of every place of the
kernel). The patches are laid out a few at a time, so that they stay in the processor's cache.
"""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad
from torch.overrides import TorchFunctionMode

from benchmark.runtime import Runtime

PATCHES = 4 * 2**20  # bytes of patches that are laid out at a time, to stay in the cache
CHANNELS = 64  # with fewer, in or out, laying out the patches takes what the products save
WORK = 5e8  # multiply-adds below which torch's form is as fast

Pair = tuple[int, int]


def weight_gradients(runtime: Runtime) -> contextlib.AbstractContextManager[Any]:
    """Return the context in which a loss is computed: `WeightGradients` where they are faster than torch's.

    They are on x86 processors with AVX2 but without AVX-512, in float32.
    """
    is_faster = (
        runtime.device.type == "cpu"
        and runtime.precision == "fp32"
        and torch.backends.cpu.get_cpu_capability() == "AVX2"
        and torch.backends.mkl.is_available()
    )
    return WeightGradients() if is_faster else contextlib.nullcontext()


class WeightGradients(TorchFunctionMode):
    """While it is active, `torch.nn.functional.conv2d` has gradients of its weights by matrix products.

    That holds for every caller, `torch.nn.Conv2d` included. Left to torch: all but float32 on the CPU, kernels of one
    pixel, groups, few channels, little work, and images that are not channels_last.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, a convolution with the gradient of this module."""
        if func is conv2d:
            return _convolve(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _convolve(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d`, whose parameters these are, does."""
    down, across = _pair(stride)
    suits = (
        weight.requires_grad
        and torch.is_grad_enabled()
        and groups == 1
        and input.dtype == weight.dtype == torch.float32
        and input.device.type == weight.device.type == "cpu"
        and not torch.is_autocast_enabled("cpu")
        and input.dim() == 4
        and input.is_contiguous(memory_format=torch.channels_last)
        and min(weight.shape[:2]) >= CHANNELS
        and weight[0, 0].numel() > 1
        and input[:, 0, ::down, ::across].numel() * weight.numel() >= WORK
    )
    if not suits or isinstance(padding, str):
        return conv2d(input, weight, bias, stride, padding, dilation, groups)
    result: Tensor = _Convolution.apply(input, weight, bias, (down, across), _pair(padding), _pair(dilation))
    return result


def _pair(value: int | Sequence[int]) -> Pair:
    """Return what counts down and across."""
    down, across = (value, value) if isinstance(value, int) else (value[0], value[-1])
    return down, across


class _Convolution(torch.autograd.Function):
    """A convolution whose gradient is torch's but for that of the weights."""

    @staticmethod
    def forward(
        ctx: Any,
        image: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
    ) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.options = stride, padding, dilation
        return conv2d(image, weight, bias, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        stride, padding, dilation = ctx.options
        of_image, of_weight, of_bias = ctx.needs_input_grad[:3]
        own = of_weight and not torch.is_grad_enabled()  # otherwise it will be differentiated itself
        found = torch.ops.aten.convolution_backward(
            *(gradient, image, weight, [len(weight)], stride, padding, dilation, False, (0, 0), 1),
            (of_image, of_weight and not own, of_bias),
        )
        by_products = weight_gradient(image, gradient, weight.shape, *ctx.options) if own else found[1]
        return found[0], by_products, found[2], None, None, None


def weight_gradient(
    image: Tensor, gradient: Tensor, shape: Sequence[int], stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """Return the gradient of a convolution's weights, up to rounding as `torch.nn.grad.conv2d_weight` does.

    Parameters
    ----------
    image
        What was convolved, (B, C, H, W).
    gradient
        The gradient of the convolution's result, (B, D, h, w).
    shape
        The shape of the weights, (D, C, k, l).

    Returns
    -------
    (D, C, k, l), channels_last.
    """
    out, channels, *kernel = shape
    places = kernel[0] * kernel[1] * channels
    rows = gradient.permute(0, 2, 3, 1).contiguous()  # (B, h, w, D)
    height = max(PATCHES // (rows.shape[2] * places * image.element_size()), 1)
    together = max(height // rows.shape[1], 1)
    total = image.new_zeros(out, places)
    for some, seen in zip(rows.split(together), image.split(together), strict=True):
        patches = _patches(seen, kernel, stride, padding, dilation)
        for pixels, block in zip(some.split(height, 1), patches.split(height, 1), strict=True):
            total.addmm_(pixels.reshape(-1, out).T, block.reshape(-1, places))
    return total.view(out, *kernel, channels).permute(0, 3, 1, 2)


def _patches(image: Tensor, kernel: Sequence[int], stride: Pair, padding: Pair, dilation: Pair) -> Tensor:
    """Return the patches that the pixels of a convolution's result see: a view (B, h, w, k, l, C)."""
    padded = pad(image.permute(0, 2, 3, 1), (0, 0, padding[1], padding[1], padding[0], padding[0]))
    for dim in (0, 1):
        padded = padded.unfold(dim + 1, dilation[dim] * (kernel[dim] - 1) + 1, stride[dim])
    return padded[..., :: dilation[0], :: dilation[1]].permute(0, 1, 2, 4, 5, 3)
