"""Folders as people have them: one of normal images, others of anomalous images and masks, anywhere on the disk."""

import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

from datasets.category import GOOD, Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError, counted
from datasets.images import IMAGE_SUFFIXES
from datasets.listing import folders, image_counts, image_files, images_below, is_folder
from datasets.matching import Faults, match_masks
from datasets.names import check_dataset_name, choose, looks_normal
from datasets.options import bit_depth_of, check_folder, folder_of, fraction_of, thresholds_of

TEST_FRACTION = 0.2
TEST_SEED = 0


class LooseLayout(Dataset):
    """One category, whose images lie in folders of their own; it can be measured if there are test images.

    Parameters
    ----------
    normal_dir
        The normal images, at any depth; hidden files and folders are ignored, links are followed.
    abnormal_dir
        The anomalous test images: those in a folder below it, at any depth, are of the kind that the folder names,
        those in the folder itself of the kind that it names itself. None: nothing is measured.
    normal_test_dir
        The normal test images, at any depth. None: a part of those in `normal_dir`, if there are anomalous ones.
    mask_dir
        The masks of the anomalous images, named as in `MVTecLayout`: those of a kind in the folder of its name if there
        is one, otherwise in the folder itself. None: no image has ground truth.
    test_fraction, test_seed
        The share of the normal images that are test images, 0 to 1, rounded up to whole images, and the seed of their
        choice. It depends on the names of the files, so that images that are added leave most others where they are.
    require_masks
        Whether, with `mask_dir`, an anomalous image without ground truth is an error.
    name
        The name of the dataset and of its category. None: that of the folder of normal images.
    categories, mask_threshold, bit_depth
        See `MVTecLayout`.

    Raises
    ------
    DatasetError
        If a folder is missing, or lies in another one, or an option is out of range.
    """

    def __init__(
        self,
        normal_dir: str,
        abnormal_dir: str | None = None,
        normal_test_dir: str | None = None,
        mask_dir: str | None = None,
        test_fraction: float = TEST_FRACTION,
        test_seed: int = TEST_SEED,
        categories: object = "all",
        mask_threshold: object = None,
        require_masks: bool = True,
        bit_depth: int | None = None,
        name: str | None = None,
    ) -> None:
        if mask_dir is not None and abnormal_dir is None:
            raise DatasetError(
                f"dataset.mask_dir={mask_dir} goes with dataset.abnormal_dir, the folder of the anomalous images, "
                "which is not set"
            )
        draws = abnormal_dir is not None and normal_test_dir is None
        if not draws and (test_fraction, test_seed) != (TEST_FRACTION, TEST_SEED):
            raise DatasetError(
                "dataset.test_fraction and dataset.test_seed choose test images among those in dataset.normal_dir, "
                "which needs dataset.abnormal_dir, and no dataset.normal_test_dir"
            )
        named = {
            "dataset.normal_dir": normal_dir,
            "dataset.abnormal_dir": abnormal_dir,
            "dataset.normal_test_dir": normal_test_dir,
            "dataset.mask_dir": mask_dir,
        }
        given = {option: folder_of(option, path) for option, path in named.items() if path is not None}
        for option, folder in given.items():
            check_folder(option, folder)
        _refuse_overlaps(given)
        self.normal = given["dataset.normal_dir"]
        self.abnormal, self.normal_test, self.masks = (given.get(option) for option in [*named][1:])
        _refuse_mixed(self.normal)
        self.test_fraction, self.test_seed = fraction_of("dataset.test_fraction", test_fraction), test_seed
        self.require_masks, self.bit_depth = require_masks, bit_depth_of(bit_depth)
        self.name = self._own_name() if name is None else check_dataset_name(name)
        self.categories = choose("dataset.categories", categories, (self.name,), f"in {self.normal}")
        self.mask_threshold = thresholds_of(mask_threshold, self.categories)[self.name]

    def _own_name(self) -> str:
        return check_dataset_name(
            self.normal.resolve().name, f"dataset.normal_dir={self.normal}: the folder's name"
        )

    def category(self, name: str) -> Category:
        """List the samples of the category; no image is decoded.

        Raises
        ------
        DatasetError
            If there are no images, or a required mask is missing; it has all faults.
        """
        faults = Faults()
        normal = faults.collect(_images_of, "dataset.normal_dir", self.normal)
        tested = self._drawn(normal)
        if self.normal_test is not None:
            tested = faults.collect(_images_of, "dataset.normal_test_dir", self.normal_test)
        anomalous = faults.collect(self._anomalous_samples)
        faults.collect(_refuse_shared, (*normal, *tested), [sample.image for sample in anomalous])
        faults.refuse()
        held_out = set(tested)
        return Category(
            name=name,
            train=tuple(Sample(path) for path in normal if path not in held_out),
            test=(*map(Sample, tested), *anomalous),
            mask_threshold=self.mask_threshold,
            bit_depth=self.bit_depth,
        )

    def unused(self, category: Category) -> tuple[str, ...]:
        """Name the folders with masks of no image, and the kinds without images."""
        used = {sample.mask for sample in category.test if sample.mask}
        masks = image_counts(self.masks, skip=used) if self.masks else {}
        kinds = {sample.kind for sample in category.test}
        empty = [name for name in folders(self.abnormal) if name not in kinds] if self.abnormal else []
        return (
            *(f"{path}: {counted(count, 'image file', 'are')} not used" for path, count in masks.items()),
            *(f"{self.abnormal}/{name}: it holds no image" for name in empty),
        )

    def _drawn(self, normal: Sequence[Path]) -> tuple[Path, ...]:
        """Return the normal images that are tested, none without anomalous ones."""
        if self.abnormal is None:
            return ()
        places = {path: path.relative_to(self.normal).as_posix() for path in normal}
        shuffled = sorted(
            normal, key=lambda path: hashlib.sha256(f"{self.test_seed} {places[path]}".encode()).digest()
        )
        return tuple(sorted(shuffled[: math.ceil(len(normal) * self.test_fraction)]))

    def _anomalous_samples(self) -> list[Sample]:
        kinds, faults = self._kinds(), Faults()
        masks: dict[Path, Path | None] = {}
        flat: list[Path] = []
        for kind, images in kinds.items():
            own = self.masks / kind if self.masks else None
            if own is not None and is_folder(own):
                found = faults.collect(
                    match_masks, images, sorted(images_below(own)), own, self.require_masks
                )
                masks |= dict(zip(images, found, strict=False))
            else:
                flat += images
        if self.masks and flat:
            found = faults.collect(match_masks, flat, image_files(self.masks), self.masks, self.require_masks)
            masks |= dict(zip(flat, found, strict=False))
        faults.refuse()
        return [Sample(image, kind, masks.get(image)) for kind, images in kinds.items() for image in images]

    def _kinds(self) -> dict[str, list[Path]]:
        """Return the anomalous images by kind."""
        if self.abnormal is None:
            return {}
        kinds = {self.abnormal.resolve().name: image_files(self.abnormal)}
        for name in folders(self.abnormal):
            kinds[name] = [*kinds.get(name, ()), *sorted(images_below(self.abnormal / name))]
        kinds = {name: images for name, images in kinds.items() if images}
        if not kinds:
            raise _no_image("dataset.abnormal_dir", self.abnormal)
        if GOOD in kinds:
            raise DatasetError(
                f"{kinds[GOOD][0].parent}: a kind of defect cannot be called '{GOOD}'; expected another name of the "
                "folder, or normal images in dataset.normal_dir"
            )
        return kinds


def _images_of(option: str, folder: Path) -> list[Path]:
    images = sorted(images_below(folder))
    if not images:
        raise _no_image(option, folder)
    return images


def _no_image(option: str, folder: Path) -> DatasetError:
    return DatasetError(
        f"{option}={folder}: found no image at any depth; expected {', '.join(sorted(IMAGE_SUFFIXES))} files"
    )


def _refuse_overlaps(given: dict[str, Path]) -> None:
    """Refuse a folder that is another one, or lies in it: an image would count twice."""
    for (first, folder), (second, other) in itertools.permutations(given.items(), 2):
        inner, outer = folder.resolve(), other.resolve()
        if outer in (inner, *inner.parents):
            relation = "is the same folder as" if inner == outer else "lies in"
            raise DatasetError(
                f"{first}={folder} {relation} {second}={other}, so that its images would count as those of both; "
                "expected folders that do not overlap"
            )


def _refuse_mixed(normal: Path) -> None:
    """Refuse a folder of normal images that seems to hold other ones, too."""
    below = folders(normal)
    if "train" in below:
        raise DatasetError(
            f"dataset.normal_dir={normal}: found a folder train, as in MVTec AD's layout; expected normal images "
            f"alone, or dataset.root={normal}"
        )
    likely = [name for name in below if looks_normal(name) and not name.isdigit()]
    others = [name for name in below if not looks_normal(name)]
    if likely and others:
        raise DatasetError(
            f"dataset.normal_dir={normal}: found the folders {likely[0]} and {others[0]}, and the images of both would "
            f"be normal; are they in {likely[0]} alone? Then set dataset.normal_dir={normal / likely[0]}"
        )


def _refuse_shared(normal: Sequence[Path], anomalous: Sequence[Path]) -> list[Path]:
    """Refuse a file that links make both normal and anomalous."""
    files = {path.resolve(): path for path in normal}
    for path in anomalous:
        if path.resolve() in files:
            raise DatasetError(
                f"{path}: the same file as {files[path.resolve()]}, which is normal; expected it in one of the folders"
            )
    return []
