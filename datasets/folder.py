"""Any folder in MVTec AD's layout, and the checks that tell a user what is wrong with one."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.category import GOOD, Category, Sample
from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES, image_files


class Folder:
    """`<root>/<category>/{train/good, test/<kind>, ground_truth/<kind>}`; root may be one category itself.

    Parameters
    ----------
    root
        The folder of the categories. A mask is named as its image, or `<image>_mask`, with any image suffix.
        Hidden files and folders are passed over.
    categories
        `all`, one name, or a list of names.
    mask_threshold
        None: masks must have two values. A number: mask > threshold is defective.
    require_masks
        Whether a defective image without ground truth is an error. Where it is not, the pixel measures of
        a category with such images are undefined.

    Raises
    ------
    DatasetError
        If the root or a category is not there.
    """

    def __init__(
        self,
        root: str | None,
        categories: str | Sequence[str] = "all",
        mask_threshold: int | None = None,
        require_masks: bool = True,
    ) -> None:
        if not root:
            raise DatasetError("dataset.root is not set: give the folder that holds the categories")
        self.root = Path(root).expanduser()
        self.mask_threshold = mask_threshold
        self.require_masks = require_masks
        self.categories = self._select(categories)

    def available(self) -> tuple[str, ...]:
        """Names of the categories below the root, sorted; the root's own name if it is a category."""
        if not self.root.is_dir():
            raise DatasetError(f"dataset.root={self.root}: there is no such folder")
        if (self.root / "train").is_dir():
            return (self.root.resolve().name,)
        found = tuple(name for name in _folders(self.root) if (self.root / name / "train").is_dir())
        if not found:
            raise DatasetError(
                f"dataset.root={self.root}: found no category; accepted: a folder with "
                "<category>/train/good and <category>/test/<kind> below it"
            )
        return found

    def _select(self, categories: str | Sequence[str]) -> tuple[str, ...]:
        known = self.available()
        chosen = (categories,) if isinstance(categories, str) else tuple(map(str, categories))
        if chosen == ("all",):
            return known
        for name in chosen:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" (did you mean '{near[0]}'?)" if near else ""
                raise DatasetError(
                    f"dataset.categories: '{name}' is not below {self.root}{hint}; found: {', '.join(known)}"
                )
        if not chosen:
            raise DatasetError(f"dataset.categories is empty; accepted: all, or some of {', '.join(known)}")
        return tuple(dict.fromkeys(chosen))

    def category(self, name: str) -> Category:
        """List the images of one category; nothing is decoded yet.

        Raises
        ------
        DatasetError
            If train/good or the test images are missing, or a required mask.
        """
        folder = self.root if (self.root / "train").is_dir() else self.root / name
        return Category(
            name=name,
            train=tuple(Sample(path) for path in self._images(folder / "train" / GOOD)),
            test=self._test_samples(folder),
            mask_threshold=self.mask_threshold,
        )

    def _images(self, folder: Path) -> list[Path]:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: the folder is missing; it holds the defect-free train images")
        images = image_files(folder)
        if not images:
            raise DatasetError(
                f"{folder}: found no image; accepted: {', '.join(sorted(IMAGE_SUFFIXES))} files"
            )
        return images

    def _test_samples(self, folder: Path) -> tuple[Sample, ...]:
        test = folder / "test"
        samples = [
            sample
            for kind in (_folders(test) if test.is_dir() else [])
            for sample in self._samples_of(kind, test / kind, folder / "ground_truth" / kind)
        ]
        if not samples:
            raise DatasetError(
                f"{test}: found no test images; accepted: image files in {test.name}/good and "
                f"{test.name}/<name of the defect>"
            )
        return tuple(samples)

    def _samples_of(self, kind: str, folder: Path, truth: Path) -> list[Sample]:
        images = image_files(folder)
        if kind == GOOD:
            return [Sample(image) for image in images]
        masks = {path.stem: path for path in image_files(truth)} if truth.is_dir() else {}
        return [Sample(image, kind, self._mask(image, truth, masks)) for image in images]

    def _mask(self, image: Path, truth: Path, masks: Mapping[str, Path]) -> Path | None:
        for stem in (f"{image.stem}_mask", image.stem):
            if stem in masks:
                return masks[stem]
        if self.require_masks:
            raise DatasetError(
                f"{image}: its ground truth is missing; expected {truth / image.stem}_mask.png or "
                f"{truth / image.stem}.png. Set dataset.require_masks=false to go without pixel measures"
            )
        return None


def _folders(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones are passed over."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
