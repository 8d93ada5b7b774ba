"""What teacher and student say at some locations of the test images: the pairs behind their distances."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from benchmark.data import Images
from methods.method import Method

IMAGES = 16  # of either kind
LOCATIONS = 1000  # of either kind


@dataclass(frozen=True)
class Outputs:
    """Teacher and student at N locations.

    Attributes
    ----------
    teacher, student
        (N, 2) float32: both in one random orthographic projection. Projections barely differ, as a flow's outputs
        are spread equally in all directions (Rudolph et al., "Asymmetric Student-Teacher Networks", figure 5).
    distance
        (N,) float32: squared distance, averaged over all channels.
    defective
        (N,) bool: whether the location shows a defective pixel.
    """

    teacher: NDArray[np.float32]
    student: NDArray[np.float32]
    distance: NDArray[np.float32]
    defective: NDArray[np.bool_]


def sample_outputs(method: Method, images: Images) -> Outputs | None:
    """Draw locations from some of the images, the same for every call; None if the method shows no outputs.

    There are up to `LOCATIONS` of either kind, from up to `IMAGES` defect-free and as many defective images.
    None, too, where there is no ground truth.
    """
    if type(method).outputs is Method.outputs or images.stored.masks is None:
        return None
    method.eval()
    labels = torch.tensor([sample.label for sample in images.samples])
    chosen = torch.cat([_spread(torch.nonzero(labels == label)[:, 0], IMAGES) for label in (0, 1)])
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad(), images.runtime.autocast():
        for positions in chosen.split(IMAGES):
            batch = images.batch(positions)
            found = method.outputs(batch)
            if found is None:
                return None
            teacher, student, counts = found
            assert batch.mask is not None
            hit = adaptive_max_pool2d(batch.mask.float(), teacher.shape[-2:])[:, 0] > 0
            parts.append((_rows(teacher, counts), _rows(student, counts), hit[counts].cpu()))
    teacher, student, defective = (torch.cat(part) for part in zip(*parts, strict=True))
    generator = torch.Generator().manual_seed(0)
    kept = torch.cat([_drawn(torch.nonzero(defective == kind)[:, 0], generator) for kind in (False, True)])
    teacher, student = teacher[kept], student[kept]
    plane = torch.linalg.qr(torch.randn(teacher.shape[1], 2, generator=generator)).Q
    return Outputs(
        (teacher @ plane).numpy(),
        (student @ plane).numpy(),
        (student - teacher).square().mean(1).numpy(),
        defective[kept].numpy(),
    )


def _rows(values: Tensor, counts: Tensor) -> Tensor:
    """Return the channels of the locations that count, (N, C), of values (B, C, h, w)."""
    return values.float().movedim(1, -1)[counts].cpu()


def _spread(positions: Tensor, count: int) -> Tensor:
    """Return up to so many of the positions, evenly spread."""
    return positions[torch.linspace(0, len(positions) - 1, min(count, len(positions))).long()]


def _drawn(positions: Tensor, generator: torch.Generator) -> Tensor:
    return positions[torch.randperm(len(positions), generator=generator)[:LOCATIONS]]
