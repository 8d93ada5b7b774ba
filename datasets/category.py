"""One category of a dataset: its images by split, and the held-out validation images."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from datasets.errors import DatasetError

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image and the files that belong to it.

    Attributes
    ----------
    image
        The image file.
    kind
        `good`, or the name of the defect.
    mask
        The image file with the ground truth; None if there is none.
    xyz
        The TIFF file with the organised point cloud; None if there is none.
    """

    image: Path
    kind: str = GOOD
    mask: Path | None = None
    xyz: Path | None = None

    @property
    def label(self) -> int:
        """0 for a normal image, 1 for an anomalous one."""
        return int(self.kind != GOOD)


@dataclass(frozen=True)
class Category:
    """The three splits of one category.

    Attributes
    ----------
    name
        The category's name, unique in its dataset.
    train, validation
        Normal images only, or what counts as such (`datasets.training_sets`); none of them is a test image. Images in
        `validation` are the dataset's own, and nothing else is held out; without them, `validation` is empty until a
        part of the train images is held out.
    test
        Normal and anomalous images; empty for a category that can be trained but not measured.
    mask_threshold
        See `datasets.images.read_mask`.
    bit_depth
        See `datasets.images.read_image`.
    group
        See `datasets.dataset.Dataset.group`.
    """

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    validation: tuple[Sample, ...] = ()
    mask_threshold: float | None = None
    bit_depth: int | None = None
    group: str = ""

    def hold_out(self, fraction: float, seed: int) -> "Category":
        """Move a seeded, random part of the train images to validation.

        The split is that of scikit-learn's `train_test_split`, as in STFPM's released code; each part keeps the
        order of the files. A category that has validation images is returned unchanged.

        Parameters
        ----------
        fraction
            The share of the train images to hold out, 0 <= fraction < 1; rounded up to whole images.
        seed
            The split depends only on the seed and on the number of train images.

        Raises
        ------
        DatasetError
            If an argument is out of range, or no image would be left for one of the two parts.
        """
        if self.validation or fraction == 0:
            return self
        if not 0 < fraction < 1 or (count := math.ceil(fraction * len(self.train))) == len(self.train):
            raise DatasetError(
                f"method.training.validation_fraction={fraction} of the {len(self.train)} train images of "
                f"category '{self.name}' leaves no image on one side; expected 0, or a fraction below 1 that "
                "leaves at least one image to train on and one to validate on"
            )
        if not 0 <= seed < 2**32:
            raise DatasetError(f"method.training.validation_seed={seed}; expected 0 to {2**32 - 1}")
        # as in scikit-learn, whose import would take a second of every run's start
        order = np.random.RandomState(seed).permutation(len(self.train))
        parts = order[count:], order[:count]
        train, validation = (tuple(self.train[i] for i in sorted(part)) for part in parts)
        return replace(self, train=train, validation=validation)
