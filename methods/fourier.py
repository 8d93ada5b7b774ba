"""Convolutions with large kernels by way of the Fourier transform: a fraction of the multiply-adds.

The image is cut into overlapping tiles of n x n pixels, from each of which v = n - k + 1 rows and columns of the result
follow. Tiles and kernels are transformed; every frequency is then a product of two matrices, (tiles, channels in) and
(channels in, channels out). Transforms and products are real matrix products: of a complex product's four, three are
left (Gauss: with a = (x + iy)(c + id), re a = c (x + y) - y (c + d) and im a = c (x + y) + x (d - c)).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pad

TILES = tuple(range(8, 34, 2))  # sides n of a tile
AT_ONCE = 512  # tiles, which bounds the memory
WORTH = 0.3  # of the direct form's multiply-adds; tiles reach half of its rate, and less where they are few


def conv(image: Tensor, weight: Tensor, bias: Tensor, dilation: int = 1) -> Tensor:
    """Convolve as `torch.nn.functional.conv2d` does without padding, in the form with fewer multiply-adds.

    The tiles are used on the CPU in float32, whose rounding errors they make smaller; in any other precision, on a
    GPU and in an exported network the convolution is direct.

    Parameters
    ----------
    image, weight, bias
        (B, C, H, W), (D, C, k, k) and (D,).
    """
    plain = (
        image.device.type != "cpu"
        or image.dtype != torch.float32
        or torch.is_autocast_enabled("cpu")
        or torch.compiler.is_exporting()
    )
    tiling = None if plain else best_tiling(tuple(image.shape), tuple(weight.shape), dilation)
    if tiling is None:
        return conv2d(image, weight, bias, dilation=dilation)
    result: Tensor = _Convolution.apply(image, weight, bias, tiling)
    return result


@dataclass(frozen=True)
class Tiling:
    """How a result of (rows, columns) pixels is put together from tiles.

    Attributes
    ----------
    side, kernel, dilation
        n, k and the distance of a tile's pixels: `dilation` squared grids of pixels have tiles of their own.
    rows, columns
        Size of the result, pixels.
    """

    side: int
    kernel: int
    dilation: int
    rows: int
    columns: int

    @property
    def valid(self) -> int:
        """v, the rows and columns of the result that a tile gives."""
        return self.side - self.kernel + 1

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles of a grid of pixels, down and across."""
        step = self.valid * self.dilation
        return -(-self.rows // step), -(-self.columns // step)

    @property
    def products(self) -> int:
        """Matrix products: three for each frequency."""
        return 3 * self.side * (self.side // 2 + 1)

    @property
    def matrices(self) -> "_Matrices":
        """The transforms of a tile and of a kernel."""
        return _matrices(self.side, self.kernel)

    def multiply_adds(self, images: int, channels: int, out: int) -> int:
        """Multiply-adds of a convolution, transforms included."""
        n, v, half = self.side, self.valid, self.side // 2 + 1
        down, across = self.grid
        tiles = images * self.dilation**2 * down * across
        here = channels * (2 * half * n * n + half * 6 * n * n)
        back = out * (half * 6 * v * n + 2 * half * v * v)
        return tiles * (here + self.products * channels * out + back) + (
            self.products * self.kernel**2 * channels * out
        )


@cache
def best_tiling(image: tuple[int, ...], weight: tuple[int, ...], dilation: int) -> Tiling | None:
    """Return the tiling with the fewest multiply-adds; None if the direct form needs hardly more."""
    images, channels, height, width = image
    out, _, kernel, _ = weight
    rows, columns = (side - dilation * (kernel - 1) for side in (height, width))
    direct = images * rows * columns * channels * out * kernel**2
    known = [Tiling(n, kernel, dilation, rows, columns) for n in TILES if n >= 2 * kernel - 1]
    best = min(known, key=lambda tiling: tiling.multiply_adds(images, channels, out))
    return best if best.multiply_adds(images, channels, out) < WORTH * direct else None


@dataclass(frozen=True)
class _Matrices:
    """The transforms of a tile, as matrices; m = n // 2 + 1 frequencies along the rows, n along the columns."""

    rows: Tensor  # (2m, n)
    columns: Tensor  # (3n, 2n)
    kernels: Tensor  # (m, 3n, kk)
    columns_back: Tensor  # (2v, 3n)
    rows_back: Tensor  # (v, 2m)


@cache
def _matrices(n: int, k: int) -> _Matrices:
    v, half = n - k + 1, n // 2 + 1
    p, q, at = np.arange(half), np.arange(n), np.arange(n)

    def wave(frequency: Any, place: Any) -> Any:
        return np.exp(-2j * np.pi * np.outer(frequency, place) / n)

    rows = wave(p, at)
    rows = np.stack([rows.real, rows.imag], 1).reshape(2 * half, n)
    w = wave(q, at)
    re, im = np.hstack([w.real, -w.imag]), np.hstack([w.imag, w.real])
    columns = np.vstack([re + im, re, im])
    kernel = np.conj(np.einsum("pa,qb->pqab", wave(p, at[:k]), w[:, :k]))
    c, d = kernel.real, kernel.imag
    kernels = np.stack([c, d - c, c + d], 1).reshape(half, 3 * n, k * k)
    back = np.conj(w[:, :v]).T / n  # (v, n)
    cos, sin = back.real, back.imag
    columns_back = np.vstack([np.hstack([cos - sin, -sin, -cos]), np.hstack([sin + cos, cos, -sin])])
    twice = np.where((p == 0) | (2 * p == n), 1, 2)
    last = np.conj(wave(p, at[:v])).T * twice / n
    rows_back = np.stack([last.real, -last.imag], 2).reshape(v, 2 * half)
    made = (rows, columns, kernels, columns_back, rows_back)
    return _Matrices(*(torch.from_numpy(np.ascontiguousarray(each, np.float32)) for each in made))


class _Convolution(torch.autograd.Function):
    """The convolution in tiles, some frequencies after others, as all transformed kernels would take much memory."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, weight: Tensor, bias: Tensor, tiling: Tiling) -> Tensor:
        ctx.save_for_backward(image, weight)
        ctx.tiling = tiling
        matrices, kernels = tiling.matrices, weight.permute(2, 3, 1, 0).contiguous()
        shape = image.shape[0], weight.shape[0], tiling.rows, tiling.columns
        result = torch.empty(shape, memory_format=torch.channels_last)
        pixels = result.permute(0, 2, 3, 1)
        for band, seen, given in _bands(tiling, image.shape[0]):
            rows = _rows(image[..., seen, :], band)
            back = rows.new_empty(len(rows), 2 * tiling.valid, rows.shape[2], weight.shape[0])
            for p, spectra in enumerate(rows):
                products = torch.bmm(_columns(spectra, tiling), _kernels(kernels, tiling, p))
                torch.mm(matrices.columns_back, products.flatten(1), out=back[p].flatten(1))
            tiles = matrices.rows_back @ back.view(2 * len(rows), -1)
            pixels[:, given] = _joined(tiles.view(tiling.valid, tiling.valid, *back.shape[2:]), band)
        pixels += bias
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        image, weight = ctx.saved_tensors
        tiling: Tiling = ctx.tiling
        matrices, kernels = tiling.matrices, weight.permute(2, 3, 1, 0).contiguous()
        of_weight = torch.zeros_like(kernels)
        of_image = torch.zeros_like(image) if ctx.needs_input_grad[0] else None
        for band, seen, given in _bands(tiling, image.shape[0]):
            rows = _rows(image[..., seen, :], band)
            of_tiles = _cut(gradient[..., given, :], band)
            of_back = (matrices.rows_back.T @ of_tiles.flatten(1)).view(len(rows), 2 * tiling.valid, -1)
            for p, spectra in enumerate(rows):
                of_products = (matrices.columns_back.T @ of_back[p]).view(-1, spectra.shape[1], len(weight))
                of_kernels = torch.bmm(_columns(spectra, tiling).transpose(1, 2), of_products)
                of_weight += (matrices.kernels[p].T @ of_kernels.flatten(1)).view_as(of_weight)
                if of_image is not None:  # the spectra are not needed any more
                    of_spectra = torch.bmm(of_products, _kernels(kernels, tiling, p).transpose(1, 2))
                    torch.mm(matrices.columns.T, of_spectra.flatten(1), out=spectra.flatten(1))
            if of_image is not None:
                of_image[..., seen, :] += _rows_adjoint(rows, band, image.shape)
        return of_image, of_weight.permute(3, 2, 0, 1), gradient.sum((0, 2, 3)), None


def _bands(tiling: Tiling, images: int) -> Iterator[tuple[Tiling, slice, slice]]:
    """Yield the tiling of each band of the result, the rows of the image that it depends on, and its rows."""
    _, across = tiling.grid
    step, halo = tiling.valid * tiling.dilation, tiling.dilation * (tiling.kernel - 1)
    height = step * max(AT_ONCE // (images * tiling.dilation**2 * across), 1)
    for first in range(0, tiling.rows, height):
        last = min(first + height, tiling.rows)
        yield replace(tiling, rows=last - first), slice(first, last + halo), slice(first, last)


def _kernels(kernels: Tensor, tiling: Tiling, p: int) -> Tensor:
    """Transform kernels (k, k, C, D) to the frequencies with p along the rows: (3n, C, D)."""
    return (tiling.matrices.kernels[p] @ kernels.flatten(0, 1).flatten(1)).view(-1, *kernels.shape[2:])


def _columns(spectra: Tensor, tiling: Tiling) -> Tensor:
    """Transform the columns of (2n, T, C), which have been transformed along the rows: (3n, T, C)."""
    return (tiling.matrices.columns @ spectra.flatten(1)).view(-1, *spectra.shape[1:])


def _rows(image: Tensor, tiling: Tiling) -> Tensor:
    """Cut an image (B, C, h, w) into T tiles and transform their rows: (m, 2n, T, C)."""
    n, v, d = tiling.side, tiling.valid, tiling.dilation
    images, channels, height, width = image.shape
    down, across = tiling.grid
    # pixels of one grid are `d` apart, and tiles of one grid `v` of its pixels
    h, w = ((count * v + tiling.kernel - 1) * d for count in (down, across))
    padded = pad(image.permute(0, 2, 3, 1), (0, 0, 0, w - width, 0, h - height)).contiguous()
    row, pixel = w * channels, channels
    tiles = padded.as_strided(
        (n, n, images, d, d, down, across, channels),
        (d * row, d * pixel, h * row, row, pixel, v * d * row, v * d * pixel, 1),
    )
    return (tiling.matrices.rows @ tiles.reshape(n, -1)).view(n // 2 + 1, 2 * n, -1, channels)


def _rows_adjoint(gradient: Tensor, tiling: Tiling, image: Sequence[int]) -> Tensor:
    """Return the gradient of the band of an image (B, C, ., w) that the tiling covers."""
    n, v, d, halo = tiling.side, tiling.valid, tiling.dilation, tiling.kernel - 1
    images, channels, _, width = image
    down, across = tiling.grid
    flat = tiling.matrices.rows.T @ gradient.view(n + 2, -1)
    tiles = flat.view(n, n, images, d, d, down, across, channels)
    blocks = gradient.new_zeros(images, down + 1, v, d, across + 1, v, d, channels)
    target = blocks.permute(2, 5, 0, 3, 6, 1, 4, 7)
    # the last `halo` rows and columns of a tile are the first of the next one
    target[:, :, ..., :-1, :-1, :] = tiles[:v, :v]
    target[:halo, :, ..., 1:, :-1, :] += tiles[v:, :v]
    target[:, :halo, ..., :-1, 1:, :] += tiles[:v, v:]
    target[:halo, :halo, ..., 1:, 1:, :] += tiles[v:, v:]
    whole = blocks.view(images, (down + 1) * v * d, (across + 1) * v * d, channels)
    return whole[:, : tiling.rows + halo * d, :width].permute(0, 3, 1, 2)


def _joined(pixels: Tensor, tiling: Tiling) -> Tensor:
    """Join the pixels of all tiles (v, v, T, D): (B, rows, columns, D)."""
    v, d, (down, across) = tiling.valid, tiling.dilation, tiling.grid
    tiles = pixels.view(v, v, -1, d, d, down, across, pixels.shape[-1])
    rows = tiles.permute(2, 5, 0, 3, 6, 1, 4, 7).reshape(-1, down * v * d, across * v * d, pixels.shape[-1])
    return rows[:, : tiling.rows, : tiling.columns]


def _cut(gradient: Tensor, tiling: Tiling) -> Tensor:
    """Undo `_joined`, of (B, D, rows, columns): zeros where a tile reaches beyond the result."""
    v, d, (down, across) = tiling.valid, tiling.dilation, tiling.grid
    images, out, height, width = gradient.shape
    missing = (0, 0, 0, across * v * d - width, 0, down * v * d - height)
    blocks = pad(gradient.permute(0, 2, 3, 1), missing).reshape(images, down, v, d, across, v, d, out)
    return blocks.permute(2, 5, 0, 3, 6, 1, 4, 7).reshape(v, v, -1, out)
