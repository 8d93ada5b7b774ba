"""The frozen teacher at work: normalised images in, features out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from benchmark.data.arrays import RowArray, to_tensor
from benchmark.runtime import Runtime
from datasets.batch import Normalisation

CHUNK = 32  # images per forward pass of the teacher
PIXELS = 2**22
"""In one forward pass at most: 64 images of 256 pixels a side, 7 of 768, so that memory is bounded."""


def normalise(images: Tensor, normalisation: Normalisation, runtime: Runtime) -> Tensor:
    """Turn (B, H, W, 3) uint8 into (B, 3, H, W) float32 with the given mean and deviation, on the device."""
    mean = torch.tensor(normalisation.mean, device=runtime.device)
    std = torch.tensor(normalisation.std, device=runtime.device)
    scaled = images.to(runtime.device, non_blocking=True).float().div_(255).sub_(mean).div_(std)
    return scaled.permute(0, 3, 1, 2).contiguous(memory_format=runtime.memory_format)


@dataclass
class TeacherFeatures:
    """The teacher's features of stored images: read from `cached` arrays, or computed when asked for."""

    teacher: nn.Module
    normalisation: Normalisation
    runtime: Runtime
    cached: dict[str, RowArray] | None = None

    def take(self, positions: Tensor, image: Tensor) -> dict[str, Tensor]:
        """Return {layer: (B, C, h, w)} of the images at (B,) positions, whose normalised form is `image`."""
        if self.cached is None:
            return self.compute(image)
        return {
            layer: self._arrange(rows[positions].to(self.runtime.device))
            for layer, rows in self.cached.items()
        }

    def compute(self, image: Tensor) -> dict[str, Tensor]:
        """Run the teacher on normalised images (B, 3, H, W)."""
        at_once = max(PIXELS // image.shape[2:].numel(), 1)
        with torch.no_grad(), self.runtime.autocast():
            first, *others = (self.teacher(part) for part in image.split(at_once))
        if not others:
            return first
        return {
            layer: torch.cat([value, *(each[layer] for each in others)]) for layer, value in first.items()
        }

    def _arrange(self, stored: Tensor) -> Tensor:
        return stored.permute(0, 3, 1, 2) if self.runtime.channels_last else stored


def feature_chunks(
    images: NDArray[np.uint8], features: TeacherFeatures
) -> Iterator[tuple[slice, dict[str, NDArray[Any]]]]:
    """Yield the features of all images (N, H, W, 3) in the form in which they are kept, some images at a time.

    Yields
    ------
    The positions of the images, and {layer: (n, C, h, w)}, or (n, h, w, C) with channels last; float32, or the
    bits of bfloat16 as uint16.
    """
    for first in range(0, len(images), CHUNK):
        rows = slice(first, min(first + CHUNK, len(images)))
        image = normalise(to_tensor(images[rows]), features.normalisation, features.runtime)
        yield (
            rows,
            {layer: _kept(value, features.runtime) for layer, value in features.compute(image).items()},
        )


def _kept(value: Tensor, runtime: Runtime) -> NDArray[Any]:
    rows = value.permute(0, 2, 3, 1) if runtime.channels_last else value
    bits = rows.view(torch.uint16) if value.dtype is torch.bfloat16 else rows.float()
    return bits.cpu().numpy()
