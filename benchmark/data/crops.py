"""Random crops of natural images, for stages that are independent of the category."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2.functional import resize, rgb_to_grayscale

from benchmark.data.arrays import to_tensor
from benchmark.data.teacher import TeacherFeatures, normalise
from benchmark.errors import BenchmarkError
from benchmark.runtime import Runtime
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Crops

if TYPE_CHECKING:
    from benchmark.data.images import StoredImages


@dataclass(frozen=True)
class CropSource:
    """Crops of stored images, each with the frozen network's features of the crop."""

    stored: "StoredImages"
    crops: Crops
    teacher: TeacherFeatures
    runtime: Runtime

    def __len__(self) -> int:
        """Return the number of images that are cropped."""
        return len(self.stored)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return the number of full batches that one crop of every image gives, but at least 1."""
        return max(len(self) // batch_size, 1)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield full batches without end; image, zoom and position of every crop are drawn independently."""
        while True:
            positions = torch.randint(len(self), (size,), generator=generator)
            crops = [self._crop(int(position), generator) for position in positions]
            yield self._batch(torch.stack(crops))

    def _crop(self, position: int, generator: torch.Generator) -> Tensor:
        """Return a crop (size, size, 3), uint8.

        Resizing the image to a side of `zoom` crops and cutting a crop out equals cutting out the `zoom`-th part
        of its side and resizing that.
        """
        side = self.stored.images.shape[1]
        smallest, largest = self.crops.zoom
        zoom = smallest + (largest - smallest) * torch.rand((), generator=generator).item()
        box = min(max(round(side / zoom), 1), side)
        top, left = torch.randint(side - box + 1, (2,), generator=generator).tolist()
        part = to_tensor(self.stored.images[position, top : top + box, left : left + box]).permute(2, 0, 1)
        if self.crops.grey and torch.rand((), generator=generator).item() < self.crops.grey:
            part = rgb_to_grayscale(part, num_output_channels=3)
        return resize(part, [self.crops.size, self.crops.size], antialias=True).permute(1, 2, 0)

    def _batch(self, crops: Tensor) -> Batch:
        image = normalise(crops, self.teacher.normalisation, self.runtime)
        features: dict[str, Tensor] = {}
        if self.crops.layers:
            size = (self.crops.feature_size, self.crops.feature_size)
            features = self.teacher.compute(interpolate(image, size, mode="bilinear"))
        return Batch(
            image, torch.zeros(len(image), dtype=torch.int64, device=image.device), features=features
        )


def open_crops(
    stored: "StoredImages", crops: Crops, backbone: FeatureBackbone, runtime: Runtime
) -> CropSource:
    """Return the source of a stage's crops.

    Raises
    ------
    BenchmarkError
        If crops would be larger than an image, or have less than a pixel of it.
    """
    side, (smallest, largest) = stored.images.shape[1], crops.zoom
    if smallest < 1:
        raise BenchmarkError(
            f"crops: found zoom {smallest:g}, a crop larger than its image; expected 1 or more"
        )
    if side < largest:
        raise BenchmarkError(
            f"method.training.pretraining.image_size: found {side}, of which a crop at zoom {largest:g} has less "
            f"than one pixel a side; expected {math.ceil(largest)} or more"
        )
    teacher = runtime.move(backbone.teacher(crops.layers)) if crops.layers else torch.nn.Identity()
    return CropSource(stored, crops, TeacherFeatures(teacher, backbone.normalisation, runtime), runtime)
