"""The images of one split as batches of tensors, with the teacher's features beside them."""

import logging
from collections.abc import Callable, Iterator, Sequence
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

log = logging.getLogger(__name__)

GB = 1e9


@dataclass(frozen=True)
class Constants:
    """What does not change while a stage trains, and is found in its batches beside the teacher's features.

    Attributes
    ----------
    compute
        Batch -> {name: (B, ...)}.
    kept
        {name: (N, ...)} of the N images of a view, in their order; None: computed for each batch.
    """

    compute: Callable[[Batch], dict[str, Tensor]]
    kept: dict[str, Tensor] | None


@dataclass(frozen=True)
class Images:
    """Some of the stored images, in order; training is handed the defect-free ones alone.

    `room_gb` is what may be held on the device of what is computed from them.
    """

    stored: StoredImages
    at: Tensor
    rows: Rows
    features: TeacherFeatures | None
    runtime: Runtime
    depth: Rows | None = None
    foreground: Rows | None = None
    room_gb: float = 0.0
    constants: Constants | None = None

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
        return replace(self, at=at, constants=None)

    def with_constants(self, compute: Callable[[Batch], dict[str, Tensor]], size: int) -> "Images":
        """Return the same images, in whose batches what `compute` finds stands among the features.

        It is computed now, once per image and in batches of `size`, if it fits into `room_gb`, and for each
        batch otherwise; without gradients, in the precision of networks.
        """
        kept: dict[str, Tensor] = {}
        first = 0
        for batch in self.batches(size):
            found = self._computed(compute, batch)
            if not kept:
                taken = sum(value[0].nbytes for value in found.values()) * len(self) / GB
                if taken > self.room_gb:
                    log.info(
                        "%s: %.2f GB, no room in memory; computed at every step", ", ".join(found), taken
                    )
                    return replace(self, constants=Constants(compute, None))
                kept = {name: value.new_empty(len(self), *value.shape[1:]) for name, value in found.items()}
            for name, value in found.items():
                kept[name][first : first + len(batch)] = value
            first += len(batch)
        return replace(self, constants=Constants(compute, kept))

    def _constants(self, positions: Tensor, batch: Batch) -> dict[str, Tensor]:
        if self.constants is None:
            return {}
        if self.constants.kept is None:
            return self._computed(self.constants.compute, batch)
        at = positions.to(self.runtime.device)
        return {name: rows.index_select(0, at) for name, rows in self.constants.kept.items()}

    def _computed(self, compute: Callable[[Batch], dict[str, Tensor]], batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad(), self.runtime.autocast():
            return compute(batch)

    def batch(self, positions: Tensor) -> Batch:
        """Return the images at (B,) int64 positions within this view."""
        at = self.at[positions]
        device = self.runtime.device
        samples = [self.stored.samples[i] for i in at.tolist()]
        image = normalise(_take(self.rows, at), self.runtime)
        masks = None
        if self.stored.masks is not None:
            masks = torch.from_numpy(np.asarray(self.stored.masks[at.numpy()]))[:, None].to(device)
        batch = Batch(
            image=image,
            label=torch.tensor([sample.label for sample in samples], device=device),
            mask=masks,
            depth=_take(self.depth, at)[:, None].to(device) if self.depth else None,
            foreground=_take(self.foreground, at)[:, None].to(device) if self.foreground else None,
            features=self.features.take(at, image) if self.features else {},
            paths=tuple(str(sample.image) for sample in samples),
        )
        batch.features |= self._constants(positions, batch)
        return batch

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
    fits = sum(array.nbytes for array in arrays if array is not None) / GB <= room_gb
    images, depth, foreground = (
        None if array is None else place(array, runtime.device if fits else None) for array in arrays
    )
    assert images is not None
    everything = torch.arange(len(stored))
    return Images(stored, everything, images, features, runtime, depth, foreground, room_gb)


def _take(rows: Rows, at: Tensor) -> Tensor:
    return rows.take(at.to(rows.home))
