"""MVTec AD 2 (Heckler-Kram et al., 2025): eight scenarios with validation images and private test images."""

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from datasets.category import Category, Sample
from datasets.errors import DatasetError
from datasets.listing import folders, image_files, is_folder
from datasets.official import Official
from store.folders import digests_of

PRIVATE_COUNTS = MappingProxyType(
    {
        "can": 321,
        "fabric": 314,
        "fruit_jelly": 255,
        "rice": 277,
        "sheet_metal": 142,
        "vial": 276,
        "wallplugs": 232,
        "walnuts": 228,
    }
)
"""{category: number of images of each of its private splits}"""
PRIVATE_SPLITS = MappingProxyType({"test_private": "regular", "test_private_mixed": "mixed"})
"""{folder of a private split: what follows the number in the names of its images}"""
GROUND_TRUTH = "ground_truth"


class MVTecAD2(Official):
    """The official dataset below `root`; see `Official` for the parameters.

    A category has `train/good`, `validation/good` and `test_public/{good,bad,ground_truth/bad}`. It is measured on its
    public test images. The private ones, which have no labels, are listed by `private_images`; only the benchmark's
    server can measure them.
    """

    own_name = "mvtec_ad_2"
    title = "MVTec AD 2"
    names = tuple(PRIVATE_COUNTS)
    homepage = "https://www.mvtec.com/company/research/datasets/mvtec-ad-2"
    archive_suffix = ".tar.gz"
    any_folder = "folder"
    has_validation = True
    test_folder = "test_public"
    set_apart: ClassVar[tuple[str, ...]] = tuple(PRIVATE_SPLITS)

    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            See `MVTecLayout.category`; if validation images are missing, or a private test image is among those that
            are trained on.
        """
        category = super().category(name)
        self._refuse_private((*category.train, *category.validation), name)
        return category

    def private_images(self, name: str) -> dict[str, list[Path]]:
        """Return {private split: image files, sorted} of a category; a split that is not there has none.

        Raises
        ------
        DatasetError
            If a folder cannot be read, or a link in it leads nowhere.
        """
        places = {split: self._folder(name) / split for split in PRIVATE_SPLITS}
        return {split: image_files(place) if is_folder(place) else [] for split, place in places.items()}

    def _refuse_private(self, samples: Sequence[Sample], name: str) -> None:
        """Refuse train and validation images with the content of a private one; only files of equal size are read."""
        own, private = (
            {path: path.stat().st_size for path in paths}
            for paths in (
                [sample.image for sample in samples],
                [path for paths in self.private_images(name).values() for path in paths],
            )
        )
        shared = {*own.values()} & {*private.values()}
        alike = [path for path, size in (*own.items(), *private.items()) if size in shared]
        digests = dict(zip(alike, digests_of(alike), strict=True))
        known = {digests[path]: path for path in private if path in digests}
        faults = [
            f"{path}: has the content of {known[digests[path]]}, a private test image; expected images of its own"
            for path in own
            if digests.get(path) in known
        ]
        if faults:
            raise DatasetError(*faults)

    def _kinds(self, folder: Path) -> list[str]:
        test = folder / self.test_folder
        return folders(test, skip=[test / GROUND_TRUTH]) if is_folder(test, folder) else []

    def _truth_folder(self, folder: Path, kind: str, split: str = "test_public") -> Path:
        return folder / split / GROUND_TRUTH / kind
