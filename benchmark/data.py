"""The images of one split as batches of tensors, with the teacher's features beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from benchmark.arrays import Rows, place
from benchmark.features import TeacherFeatures, normalise
from benchmark.runtime import Runtime
from datasets.batch import Batch
from datasets.category import Sample
from datasets.store import StoredImages


@dataclass(frozen=True)
class Images:
    """Some of the stored images, in order; training is handed the defect-free ones alone."""

    stored: StoredImages
    at: Tensor
    rows: Rows
    features: TeacherFeatures | None
    runtime: Runtime
    depth: Rows | None = None
    foreground: Rows | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.at)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The images' files and labels."""
        return tuple(self.stored.samples[i] for i in self.at.tolist())

    def select(self, samples: Sequence[Sample]) -> "Images":
        """Return the view of some of the images."""
        at = torch.from_numpy(self.stored.positions(samples))
        return replace(self, at=at)

    def batch(self, positions: Tensor) -> Batch:
        """Return the images at (B,) int64 positions within this view."""
        at = self.at[positions]
        device = self.runtime.device
        samples = [self.stored.samples[i] for i in at.tolist()]
        image = normalise(_take(self.rows, at), self.runtime)
        masks = None
        if self.stored.masks is not None:
            masks = torch.from_numpy(np.asarray(self.stored.masks[at.numpy()]))[:, None].to(device)
        return Batch(
            image=image,
            label=torch.tensor([sample.label for sample in samples], device=device),
            mask=masks,
            depth=_take(self.depth, at)[:, None].to(device) if self.depth else None,
            foreground=_take(self.foreground, at)[:, None].to(device) if self.foreground else None,
            features=self.features.take(at, image) if self.features else {},
            paths=tuple(str(sample.image) for sample in samples),
        )

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield all images once: in order, or shuffled by the generator."""
        order = (
            torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        )
        for positions in order.split(size):
            yield self.batch(positions)


def open_images(
    stored: StoredImages, features: TeacherFeatures | None, runtime: Runtime, room_gb: float
) -> Images:
    """Return all images of a stored split; they are held on the device if they fit into `room_gb` there."""
    arrays = (stored.images, stored.depth, stored.foreground)
    fits = sum(array.nbytes for array in arrays if array is not None) / 1e9 <= room_gb
    images, depth, foreground = (
        None if array is None else place(array, runtime.device if fits else None) for array in arrays
    )
    assert images is not None
    return Images(stored, torch.arange(len(stored)), images, features, runtime, depth, foreground)


def _take(rows: Rows, at: Tensor) -> Tensor:
    return rows.take(at.to(rows.home))
