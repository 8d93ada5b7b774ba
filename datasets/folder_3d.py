"""Any folder in MVTec 3D-AD's layout: images, point clouds and masks in parallel folders."""

from dataclasses import replace
from pathlib import Path

from datasets.category import GOOD, Category, Sample
from datasets.errors import DatasetError
from datasets.folder import Folder
from datasets.images import image_files


class Folder3D(Folder):
    """`<root>/<category>/{train,validation,test}/<kind>/{rgb,xyz,gt}`; the files of an image share their name.

    `rgb` holds images, `xyz` TIFF files with the organised point clouds (see `datasets.depth.read_z`), `gt` the
    masks of anomalous images. Without a folder `validation`, a part of the train images can be held out, as in
    MVTec AD. Parameters: see `Folder`.
    """

    has_depth = True

    def category(self, name: str) -> Category:
        """List the samples of one category with their point clouds; no file is decoded.

        Raises
        ------
        DatasetError
            If train/good or the test images are missing, a point cloud, or a required mask.
        """
        folder = self._folder(name)
        has_validation = (folder / "validation").is_dir()
        return replace(
            super().category(name),
            validation=self._good_samples(folder, "validation") if has_validation else (),
        )

    def _check_layout(self, category: Path) -> None:
        """Refuse a category in the layout of MVTec AD."""
        good = category / "train" / GOOD
        if good.is_dir() and not (good / "rgb").is_dir() and image_files(good):
            raise DatasetError(
                f"{good}: found the layout of MVTec AD (images in the folder itself); expected folders rgb and "
                "xyz in it, or dataset=mvtec_ad, or dataset=folder"
            )

    def _image_folder(self, part: Path) -> Path:
        return part / "rgb"

    def _truth_folder(self, folder: Path, kind: str) -> Path:
        return folder / "test" / kind / "gt"

    def _samples_of(self, kind: str, folder: Path, split: str) -> list[Sample]:
        clouds = folder / split / kind / "xyz"
        files = image_files(clouds) if clouds.is_dir() else []
        by_name = {path.stem: path for path in files if path.suffix.lower() in (".tif", ".tiff")}
        samples = super()._samples_of(kind, folder, split)
        for sample in samples:
            if sample.image.stem not in by_name:
                raise DatasetError(
                    f"{sample.image}: its point cloud is missing; expected {clouds / sample.image.stem}.tiff"
                )
        return [replace(sample, xyz=by_name[sample.image.stem]) for sample in samples]
