"""Random crops of natural images, for stages whose result belongs to no category."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.v2.functional import resize

from benchmark.arrays import to_tensor
from benchmark.features import TeacherFeatures, normalise
from benchmark.runtime import Runtime
from datasets.batch import Batch
from datasets.store import StoredImages
from methods.backbone import FeatureBackbone
from methods.method import Crops


@dataclass(frozen=True)
class CropSource:
    """Crops of stored images, each with the frozen network's features of the crop."""

    stored: StoredImages
    crops: Crops
    teacher: TeacherFeatures
    runtime: Runtime

    def __len__(self) -> int:
        """Return the number of images that are cropped."""
        return len(self.stored)

    def batches(self, size: int, generator: torch.Generator) -> Iterator[Batch]:
        """Yield as many full batches as one crop of every image gives, but at least one.

        Image, zoom and place of every crop are drawn independently.
        """
        for _ in range(max(len(self) // size, 1)):
            positions = torch.randint(len(self), (size,), generator=generator)
            crops = [self._crop(int(at), generator) for at in positions]
            yield self._batch(torch.stack(crops))

    def _crop(self, at: int, generator: torch.Generator) -> Tensor:
        """Return a crop (size, size, 3), uint8.

        To bring the image to a side of `zoom` crops and to cut a crop out is to cut out the `zoom`-th part
        of its side and to resize that.
        """
        side = self.stored.images.shape[1]
        least, largest = self.crops.zoom
        zoom = least + (largest - least) * torch.rand((), generator=generator).item()
        box = min(max(round(side / zoom), 1), side)
        top, left = torch.randint(side - box + 1, (2,), generator=generator).tolist()
        part = to_tensor(self.stored.images[at, top : top + box, left : left + box]).permute(2, 0, 1)
        return resize(part, [self.crops.size, self.crops.size], antialias=True).permute(1, 2, 0)

    def _batch(self, crops: Tensor) -> Batch:
        image = normalise(crops, self.runtime)
        features: dict[str, Tensor] = {}
        if self.crops.layers:
            size = (self.crops.feature_size, self.crops.feature_size)
            features = self.teacher.compute(interpolate(image, size, mode="bilinear"))
        return Batch(
            image, torch.zeros(len(image), dtype=torch.int64, device=image.device), features=features
        )


def open_crops(stored: StoredImages, crops: Crops, backbone: FeatureBackbone, runtime: Runtime) -> CropSource:
    """Return the source of a stage's crops."""
    teacher = runtime.move(backbone.teacher(crops.layers)) if crops.layers else torch.nn.Identity()
    return CropSource(stored, crops, TeacherFeatures(teacher, runtime), runtime)
