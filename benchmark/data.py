"""The images of one split as batches of tensors, with the teacher's features beside them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
        return Images(self.stored, at, self.rows, self.features, self.runtime)

    def batch(self, positions: Tensor) -> Batch:
        """Return the images at (B,) int64 positions within this view."""
        at = self.at[positions]
        device = self.runtime.device
        samples = [self.stored.samples[i] for i in at.tolist()]
        image = normalise(self.rows.take(at.to(self.rows.home)), self.runtime)
        masks = None
        if self.stored.masks is not None:
            masks = torch.from_numpy(np.asarray(self.stored.masks[at.numpy()]))[:, None].to(device)
        return Batch(
            image=image,
            label=torch.tensor([sample.label for sample in samples], device=device),
            mask=masks,
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
    fits = stored.images.nbytes / 1e9 <= room_gb
    rows = place(stored.images, runtime.device if fits else None)
    return Images(stored, torch.arange(len(stored)), rows, features, runtime)
