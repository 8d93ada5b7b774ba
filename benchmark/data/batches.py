"""The images of one split as batches of tensors, with the teacher's features and the targets of a stage."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from benchmark.data.arrays import RowArray, to_device
from benchmark.data.teacher import TeacherFeatures, normalise
from benchmark.runtime import Runtime
from datasets.batch import Batch, Normalisation
from datasets.category import Sample

if TYPE_CHECKING:  # the code that decodes is a part of the images' own key
    from benchmark.data.images import StoredImages

log = logging.getLogger(__name__)

GB = 1e9


@dataclass(frozen=True)
class CachedTargets:
    """Targets of a training stage.

    Attributes
    ----------
    compute
        Batch -> {name: (B, ...)}.
    cached
        {name: (N, ...)} of the N images of a view, in their order; None: computed for each batch.
    """

    compute: Callable[[Batch], dict[str, Tensor]]
    cached: dict[str, Tensor] | None


@dataclass(frozen=True)
class Images:
    """Some of the stored images, in order; training only receives the normal ones.

    `room_gb` bounds what is held on the device in addition to the images.
    """

    stored: "StoredImages"
    indices: Tensor
    rows: RowArray
    features: TeacherFeatures | None
    normalisation: Normalisation
    runtime: Runtime
    depth: RowArray | None = None
    foreground: RowArray | None = None
    room_gb: float = 0.0
    targets: CachedTargets | None = None

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.indices)

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The images' files and labels."""
        return tuple(self.stored.samples[i] for i in self.indices.tolist())

    def select(self, samples: Sequence[Sample]) -> "Images":
        """Return the view of some of the images."""
        return replace(self, indices=torch.from_numpy(self.stored.positions(samples)), targets=None)

    def with_targets(self, compute: Callable[[Batch], dict[str, Tensor]], batch_size: int) -> "Images":
        """Return the same images, whose batches carry what `compute` returns as `targets`.

        They are computed now, once per image, if they fit into `room_gb`, and for each batch otherwise; without
        gradients, in the precision of networks. No targets: these images are returned.
        """
        cached: dict[str, Tensor] = {}
        first = 0
        for batch in self.batches(batch_size):
            targets = self._computed(compute, batch)
            if not targets:
                return self
            if not cached:
                size = sum(value[0].nbytes for value in targets.values()) * len(self) / GB
                if size > self.room_gb:
                    names = ", ".join(targets)
                    log.info("targets %s: %.2f GB, no room in memory; computed at every step", names, size)
                    return replace(self, targets=CachedTargets(compute, None))
                cached = {
                    name: value.new_empty(len(self), *value.shape[1:]) for name, value in targets.items()
                }
            for name, value in targets.items():
                cached[name][first : first + len(batch)] = value
            first += len(batch)
        return replace(self, targets=CachedTargets(compute, cached))

    def batch(self, positions: Tensor) -> Batch:
        """Return the images at (B,) int64 positions within this view."""
        indices = self.indices[positions]
        device = self.runtime.device
        samples = [self.stored.samples[i] for i in indices.tolist()]
        image = normalise(self.rows[indices], self.normalisation, self.runtime)
        rows, masks = indices.numpy(), None
        if self.stored.masks is not None and self.stored.has_truth[rows].all():
            masks = torch.from_numpy(np.asarray(self.stored.masks[rows]))[:, None].to(device)
        batch = Batch(
            image=image,
            label=torch.tensor([sample.label for sample in samples], device=device),
            mask=masks,
            depth=self.depth[indices][:, None].to(device) if self.depth else None,
            foreground=self.foreground[indices][:, None].to(device) if self.foreground else None,
            features=self.features.take(indices, image) if self.features else {},
            paths=tuple(str(sample.image) for sample in samples),
        )
        return replace(batch, targets=self._targets_of(positions, batch)) if self.targets else batch

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of batches that `batches` yields."""
        return -(-len(self) // batch_size)

    def batches(self, size: int, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """Yield all images once: in order, or shuffled by the generator."""
        order = (
            torch.arange(len(self)) if generator is None else torch.randperm(len(self), generator=generator)
        )
        for positions in order.split(size):
            yield self.batch(positions)

    def _targets_of(self, positions: Tensor, batch: Batch) -> dict[str, Tensor]:
        assert self.targets is not None
        if self.targets.cached is None:
            return self._computed(self.targets.compute, batch)
        rows = positions.to(self.runtime.device)
        return {name: values.index_select(0, rows) for name, values in self.targets.cached.items()}

    def _computed(self, compute: Callable[[Batch], dict[str, Tensor]], batch: Batch) -> dict[str, Tensor]:
        with torch.no_grad(), self.runtime.autocast():
            return compute(batch)


def as_batches(
    stored: "StoredImages",
    features: TeacherFeatures | None,
    normalisation: Normalisation,
    runtime: Runtime,
    room_gb: float,
) -> Images:
    """Return all images of a stored split; they are held on the device if they fit into `room_gb` there."""
    arrays = (stored.images, stored.depth, stored.foreground)
    fits = sum(array.nbytes for array in arrays if array is not None) / GB <= room_gb
    device = runtime.device if fits else None
    images, depth, foreground = (None if array is None else to_device(array, device) for array in arrays)
    assert images is not None
    positions = torch.arange(len(stored))
    return Images(stored, positions, images, features, normalisation, runtime, depth, foreground, room_gb)
