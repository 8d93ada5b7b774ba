"""Any folder in MVTec AD's layout, with error messages that name the missing file or the wrong option."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.category import GOOD, Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES, image_files
from store.errors import near


class Folder(Dataset):
    """`<root>/<category>/{train/good, test/<kind>, ground_truth/<kind>}`; root may be one category itself.

    Parameters
    ----------
    root
        The folder of the categories. A mask has the name of its image, or `<image>_mask`, with any image suffix.
        Hidden files and folders are ignored.
    categories
        `all`, one name, or a list of names.
    mask_threshold
        None: masks must have two values. A number: mask > threshold is anomalous.
    require_masks
        Whether an anomalous image without ground truth is an error. If not, the pixel measures of a category
        with such images are undefined.

    Raises
    ------
    DatasetError
        If the root or a category is missing.
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
            self._check_layout(self.root)
            return (self.root.resolve().name,)
        found = tuple(name for name in _folders(self.root) if (self.root / name / "train").is_dir())
        if not found:
            raise DatasetError(
                f"dataset.root={self.root}: found no category; expected a folder with "
                "<category>/train/good and <category>/test/<kind> below it"
            )
        for name in found:
            self._check_layout(self.root / name)
        return found

    def _check_layout(self, category: Path) -> None:
        """Refuse a category in the layout of MVTec 3D-AD."""
        good = category / "train" / GOOD
        if (good / "xyz").is_dir() or (good / "rgb").is_dir():
            raise DatasetError(
                f"{good}: found the layout of MVTec 3D-AD (folders rgb and xyz); expected images in "
                f"train/{GOOD} itself, or dataset=mvtec_3d, or dataset=folder_3d"
            )

    def _select(self, categories: str | Sequence[str]) -> tuple[str, ...]:
        known = self.available()
        chosen = (categories,) if isinstance(categories, str) else tuple(map(str, categories))
        if chosen == ("all",):
            return known
        for name in chosen:
            if name not in known:
                raise DatasetError(
                    f"dataset.categories: '{name}' is not below {self.root}{near(name, known)}; "
                    f"found: {', '.join(known)}"
                )
        if not chosen:
            raise DatasetError(f"dataset.categories is empty; expected all, or some of {', '.join(known)}")
        return tuple(dict.fromkeys(chosen))

    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            If train/good or the test images are missing, or a required mask.
        """
        folder = self._folder(name)
        return Category(
            name=name,
            train=self._good_samples(folder, "train"),
            test=self._test_samples(folder),
            mask_threshold=self.mask_threshold,
            group=self.group(name),
        )

    def _folder(self, name: str) -> Path:
        return self.root if (self.root / "train").is_dir() else self.root / name

    def _good_samples(self, folder: Path, split: str) -> tuple[Sample, ...]:
        images = self._image_folder(folder / split / GOOD)
        if not images.is_dir():
            raise DatasetError(f"{images}: the folder is missing; expected the normal {split} images in it")
        samples = self._samples_of(GOOD, folder, split)
        if not samples:
            raise DatasetError(
                f"{images}: found no image; expected {', '.join(sorted(IMAGE_SUFFIXES))} files"
            )
        return tuple(samples)

    def _test_samples(self, folder: Path) -> tuple[Sample, ...]:
        test = folder / "test"
        kinds = _folders(test) if test.is_dir() else []
        samples = [sample for kind in kinds for sample in self._samples_of(kind, folder, "test")]
        if not samples:
            good, anomalous = (
                self._image_folder(Path("test", kind)) for kind in (GOOD, "<name of the defect>")
            )
            raise DatasetError(
                f"{test}: found no test images; expected image files in {good} and {anomalous}"
            )
        return tuple(samples)

    def _samples_of(self, kind: str, folder: Path, split: str) -> list[Sample]:
        images = self._image_folder(folder / split / kind)
        files = image_files(images) if images.is_dir() else []
        if kind == GOOD:
            return [Sample(image) for image in files]
        truth = self._truth_folder(folder, kind)
        masks = {path.stem: path for path in image_files(truth)} if truth.is_dir() else {}
        return [Sample(image, kind, self._mask(image, truth, masks)) for image in files]

    def _image_folder(self, part: Path) -> Path:
        """Return the folder of the images of one split and kind."""
        return part

    def _truth_folder(self, folder: Path, kind: str) -> Path:
        """Return the folder of the masks of one kind of a category's test images."""
        return folder / "ground_truth" / kind

    def _mask(self, image: Path, truth: Path, masks: Mapping[str, Path]) -> Path | None:
        for stem in (f"{image.stem}_mask", image.stem):
            if stem in masks:
                return masks[stem]
        if self.require_masks:
            raise DatasetError(
                f"{image}: its ground truth is missing; expected {truth / image.stem}_mask.png or "
                f"{truth / image.stem}.png. Set dataset.require_masks=false to run without pixel measures"
            )
        return None


def _folders(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones are ignored."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
