"""The main memory that scoring, measuring and recording a test set take.

    python -m tests.speed.memory [--images 64] [--side 1024] [--out JSON]

The maps are random numbers in place of a trained method's, and the images are blank and take no memory, so that the
figures show the maps, the masks and one batch of images. They are peaks of this process (`VmHWM`) up to the end of
each step, with glibc's setting that is the default of `runtime.malloc`: freed memory counts. Linux only.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmark.data.batches import as_batches
from benchmark.data.images import StoredImages
from benchmark.environment import peak_memory
from benchmark.measuring import measure
from benchmark.runtime import Runtime, keep_freed_memory
from benchmark.scoring import score
from benchmark.settings.evaluation import Evaluation
from datasets.batch import Batch
from datasets.category import Sample
from methods.method import Method
from store.files import write_maps
from tests.methods.samples import IMAGENET
from tests.speed.commands import positive
from tests.speed.pairs import Pair, write

SETTINGS = Evaluation(16, "f1_image", 0.995, 0.3, ("exact",))  # conf/evaluation/default.yaml
START = "imports and masks"


class RandomMaps(Method):
    """A method without networks or training."""

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Return random maps at image size."""
        return torch.rand(len(batch), *batch.image.shape[-2:])


def blank_images(count: int, side: int) -> StoredImages:
    """Return black images; every other one is anomalous, in a square of 1/36 of its area."""
    kinds = [("square", Path("mask.png")) if i % 2 else ("good", None) for i in range(count)]
    samples = tuple(Sample(Path(f"{i}.png"), kind, mask) for i, (kind, mask) in enumerate(kinds))
    masks = np.zeros((count, side, side), np.bool_)
    masks[1::2, : side // 6, : side // 6] = True
    images = np.broadcast_to(np.uint8(0), (count, side, side, 3))
    return StoredImages(samples, images, masks, key="")


def peaks(count: int, side: int, folder: Path) -> dict[str, float]:
    """Return the peak of this process in MB, up to the end of each step."""
    keep_freed_memory()
    torch.manual_seed(0)
    stored = blank_images(count, side)
    found = {START: 1000 * peak_memory()}
    images = as_batches(stored, None, IMAGENET, Runtime(torch.device("cpu"), "fp32", True), room_gb=0)
    scores = score(RandomMaps(), images, SETTINGS.batch_size, folder)
    found["scoring"] = 1000 * peak_memory()
    measure(SETTINGS, stored, scores, None)
    found["measuring"] = 1000 * peak_memory()
    write_maps(folder, scores.maps, [sample.image.name for sample in stored.samples])
    found["recording"] = 1000 * peak_memory()
    return found


def main() -> None:
    """Print the peak at the start, and the growth of the peak by each step."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.memory", description=__doc__)
    parser.add_argument("--images", type=positive, default=64)
    parser.add_argument("--side", type=positive, default=1024, help="of images and maps, pixels")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = peaks(given.images, given.side, Path(folder))
    start = found.pop(START)
    size = f"{given.images} maps of {given.side} px"
    pairs = [Pair(f"peak memory of {START}, {size}", "MB", [start])]
    pairs += [
        Pair(f"beyond that, up to the end of {step}, {size}", "MB", [value - start])
        for step, value in found.items()
    ]
    write(given.out, "memory", pairs)


if __name__ == "__main__":
    main()
