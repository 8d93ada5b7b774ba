"""Sampled outputs of teacher and student: the pairs behind their distances."""

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d

from benchmark.data.batches import Images
from methods.method import Method
from store.files import Pairs

IMAGES = 16  # of each label
LOCATIONS = 1000  # of each label


def sample_pairs(method: Method, images: Images) -> Pairs | None:
    """Sample locations of some of the images, the same at every call.

    There are up to `LOCATIONS` normal and as many anomalous ones, from up to `IMAGES` images of each label that have
    ground truth. Both
    outputs are shown in one random orthographic projection: projections barely differ, as a flow's outputs are
    spread equally in all directions (Rudolph et al., "Asymmetric Student-Teacher Networks", figure 5).

    Returns
    -------
    None if the method has no `teacher_student_pairs`, or there is no ground truth.
    """
    if images.stored.masks is None:
        return None
    method.eval()
    labels = torch.tensor([sample.label for sample in images.samples])
    known = torch.from_numpy(images.stored.has_truth[images.indices.numpy()])
    chosen = torch.cat([_spread(torch.nonzero((labels == label) & known)[:, 0], IMAGES) for label in (0, 1)])
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    with torch.no_grad(), images.runtime.autocast():
        for positions in chosen.split(IMAGES):
            batch = images.batch(positions)
            pairs = method.teacher_student_pairs(batch)
            if pairs is None:
                return None
            teacher, student, counts = pairs
            assert batch.mask is not None
            hit = adaptive_max_pool2d(batch.mask.float(), teacher.shape[-2:])[:, 0] > 0
            parts.append((_rows(teacher, counts), _rows(student, counts), hit[counts].cpu()))
    teacher, student, anomalous = (torch.cat(part) for part in zip(*parts, strict=True))
    generator = torch.Generator().manual_seed(0)
    kept = torch.cat([_drawn(torch.nonzero(anomalous == label)[:, 0], generator) for label in (False, True)])
    teacher, student = teacher[kept], student[kept]
    plane = torch.linalg.qr(torch.randn(teacher.shape[1], 2, generator=generator)).Q
    return Pairs(
        (teacher @ plane).numpy(),
        (student @ plane).numpy(),
        (student - teacher).square().mean(1).numpy(),
        anomalous[kept].numpy(),
    )


def _rows(values: Tensor, counts: Tensor) -> Tensor:
    """Return the channels of the locations that count, (N, C), of values (B, C, h, w)."""
    return values.float().movedim(1, -1)[counts].cpu()


def _spread(positions: Tensor, count: int) -> Tensor:
    """Return up to so many of the positions, evenly spread."""
    return positions[torch.linspace(0, len(positions) - 1, min(count, len(positions))).long()]


def _drawn(positions: Tensor, generator: torch.Generator) -> Tensor:
    return positions[torch.randperm(len(positions), generator=generator)[:LOCATIONS]]
