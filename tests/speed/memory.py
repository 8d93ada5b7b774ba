"""The main memory that scoring, measuring and recording a test set take, and whole cells.

    python -m tests.speed.memory [--images 64] [--side 1024] [--out JSON]
    python -m tests.speed.memory --cells stfpm rd ... [--set OPTION ...] [--out JSON]

The maps are random numbers in place of a trained method's, and the images are blank and take no memory, so that the
figures show the maps, the masks and one batch of images. They are peaks of this process (`VmHWM`) up to the end of
each step, with glibc's setting that is the default of `runtime.malloc`: freed memory counts. Linux only.

`--cells`: the command itself, on generated images with an untrained teacher of the published architecture, at published
sizes and batches, in one epoch on as many images as fill a batch; what the peak of the process grows by in each step.
More images add what docs/speed.md says. `--set` passes options on, such as `runtime.malloc=false`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
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
from tests.speed.commands import SpeedError, measured, positive
from tests.speed.pairs import Pair, write

SETTINGS = Evaluation(16, "f1_image", 0.995, 0.3, ("exact",))  # conf/evaluation/default.yaml
START = "imports and masks"
ONE_STEP = "method.training.stages.teacher.steps=1"
CELLS: dict[str, tuple[int, int, int, tuple[str, ...]]] = {
    "stfpm": (40, 12, 256, ()),
    "rd": (16, 12, 256, ()),
    "rd_plus_plus": (16, 12, 256, ()),
    "ast": (32, 12, 768, ()),
    "uninformed_students": (5, 1, 256, (ONE_STEP,)),
    "efficient_ad": (10, 12, 256, (ONE_STEP, "method.training.stages.student.steps=2")),
    "feature_variance": (40, 12, 224, ()),
    "simple_student": (40, 12, 224, ()),
}
"""Train images, normal test images, side of the images in pixels, and options of each method's cell: a batch of
training, next to the images that are held out, and one of scoring, whose other images are defective."""


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


def cell_pairs(method: str, options: Sequence[str], folder: Path) -> list[Pair]:
    """Return what each step of a method's cell adds to the peak, and their sum.

    Raises
    ------
    SpeedError
        If the cell does not finish.
    """
    train, test, side, own = CELLS[method]
    out = folder / f"{method}.json"
    measured(
        [
            *(sys.executable, "-m", "tests.speed.memory_worker", out),
            *(f"method={method}", "protocol=paper", "method.training.epochs=1", "backbone.weights=random"),
            *("dataset=synthetic", "dataset.categories=[weave]", f"dataset.image_size={side}"),
            *(f"dataset.train={train}", f"dataset.test_good={test}", "dataset.test_defective=1"),
            *(f"results_dir={folder / method}", "runtime.threads=1", "tracking.report=false", *own, *options),
        ]
    )
    found: dict[str, float] = json.loads(out.read_text())
    steps = [Pair(f"{method}: {step}", "MB", [value]) for step, value in found.items() if value]
    return [*steps, Pair(f"{method}: peak", "MB", [sum(found.values())])]


def main() -> None:
    """Print the peak at the start, and the growth of the peak by each step."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.memory", description=__doc__)
    parser.add_argument("--images", type=positive, default=64)
    parser.add_argument("--side", type=positive, default=1024, help="of images and maps, pixels")
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("--cells", nargs="+", choices=CELLS, help="whole cells of these methods instead")
    parser.add_argument("--set", nargs="+", default=[], dest="options", help="options of the cells")
    given = parser.parse_args()
    if given.cells:
        with TemporaryDirectory() as folder:
            try:
                pairs = [
                    pair for name in given.cells for pair in cell_pairs(name, given.options, Path(folder))
                ]
            except SpeedError as error:
                raise SystemExit(f"error: {error}") from None
        write(given.out, "memory", pairs)
        return
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
