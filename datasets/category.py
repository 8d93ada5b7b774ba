"""One category of a dataset: its images by split, and the held-out validation images."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

from sklearn.model_selection import train_test_split

from datasets.errors import DatasetError

GOOD = "good"


@dataclass(frozen=True)
class Sample:
    """One image file: its kind (`good`, or the name of the defect), its ground truth and its point cloud."""

    image: Path
    kind: str = GOOD
    mask: Path | None = None
    xyz: Path | None = None

    @property
    def label(self) -> int:
        """0 for a defect-free image, 1 for a defective one."""
        return int(self.kind != GOOD)


@dataclass(frozen=True)
class Category:
    """The three splits of one category; train and validation hold defect-free images only."""

    name: str
    train: tuple[Sample, ...]
    test: tuple[Sample, ...]
    validation: tuple[Sample, ...] = ()
    mask_threshold: int | None = None

    def hold_out(self, fraction: float, seed: int) -> "Category":
        """Move a seeded, random part of the train images to validation.

        The split is that of scikit-learn's `train_test_split`, as in STFPM's released code; each part stays in
        the order of the files. A category that comes with validation images of its own is returned as it is.

        Parameters
        ----------
        fraction
            Of the train images, 0 <= fraction < 1; rounded up to whole images.
        seed
            The split depends on it and on the number of train images alone.

        Raises
        ------
        DatasetError
            If an argument is out of range, or no image would be left for one of the two parts.
        """
        if self.validation or fraction == 0:
            return self
        if not 0 < fraction < 1 or math.ceil(len(self.train) * fraction) == len(self.train):
            raise DatasetError(
                f"method.training.validation_fraction={fraction} of the {len(self.train)} train images of "
                f"category '{self.name}' leaves no image on one side; accepted: 0, or a fraction below 1 that "
                "leaves at least one image to train on and one to validate on"
            )
        if not 0 <= seed < 2**32:
            raise DatasetError(f"method.training.validation_seed={seed}; accepted: 0 to {2**32 - 1}")
        parts = train_test_split(range(len(self.train)), test_size=fraction, random_state=seed)
        train, validation = (tuple(self.train[i] for i in sorted(part)) for part in parts)
        return replace(self, train=train, validation=validation)
