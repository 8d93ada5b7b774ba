"""Any folder in MVTec 3D-AD's layout: images, point clouds and masks in parallel folders."""

from collections.abc import Sequence
from pathlib import Path

from datasets.category import Sample
from datasets.errors import DatasetError
from datasets.listing import image_files, is_folder
from datasets.matching import match
from datasets.mvtec_layout import MVTecLayout


class Folder3D(MVTecLayout):
    """`<root>/<category>/{train,validation,test}/<kind>/{rgb,xyz,gt}`; the files of an image share their name.

    `rgb` holds images, `xyz` TIFF files with the organised point clouds (see `datasets.point_clouds.read_z`), `gt` the
    masks of anomalous images. Without a folder `validation`, a part of the train images can be held out, as in
    MVTec AD. Parameters: see `MVTecLayout`.
    """

    has_depth = True
    another_layout = ""

    def _check_layout(self, category: Path) -> None:
        """Refuse a category in the layout of MVTec AD."""
        for good in (category / "train" / name for name in self.normal_names):
            if is_folder(good) and not is_folder(good / "rgb") and image_files(good):
                raise DatasetError(
                    f"{good}: found the layout of MVTec AD (images in the folder itself); expected folders rgb "
                    "and xyz in it, or dataset=mvtec_ad, or dataset=folder"
                )

    def _validation_samples(self, folder: Path) -> list[Sample]:
        is_there = self.has_validation or is_folder(folder / "validation")
        return self._good_samples(folder, "validation") if is_there else []

    def _image_folder(self, part: Path) -> Path:
        return part / "rgb"

    def _truth_folder(self, folder: Path, kind: str, split: str = "test") -> Path:
        return folder / split / kind / "gt"

    def _clouds_of(
        self, images: Sequence[Path], kind: str, folder: Path, split: str
    ) -> Sequence[Path | None]:
        """Return the point cloud of each image."""
        clouds = folder / split / kind / "xyz"
        files = image_files(clouds) if is_folder(clouds, folder) else []
        tiffs = [path for path in files if path.suffix.lower() in (".tif", ".tiff")]
        return match(images, tiffs, clouds, "point cloud", expected=".tiff", advice=" in metres")
