"""MVTec AD (Bergmann et al., IJCV 2021): 5 textures and 10 objects, with an optional download."""

from collections.abc import Sequence
from pathlib import Path

from datasets.download import extract, fetch
from datasets.errors import DatasetError
from datasets.folder import Folder

TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    "bottle",
    "cable",
    "capsule",
    "hazelnut",
    "metal_nut",
    "pill",
    "screw",
    "toothbrush",
    "transistor",
    "zipper",
)
HOMEPAGE = "https://www.mvtec.com/company/research/datasets/mvtec-ad"
LICENSE = "CC BY-NC-SA 4.0 (no commercial use)"


class MVTecAD(Folder):
    """The official dataset below `root`; see `Folder` for its layout and the other parameters.

    `categories=all` means all fifteen: a root that lacks one is refused rather than averaged over.

    Parameters
    ----------
    download
        Fetch and unpack the archive into `root` if `root` is not there yet, or empty.
    accept_license
        The user's consent to the dataset's licence, without which nothing is downloaded.
    url, sha256
        Of the archive.
    """

    def __init__(
        self,
        root: str | None,
        categories: str | Sequence[str] = "all",
        mask_threshold: int | None = None,
        require_masks: bool = True,
        download: bool = False,
        accept_license: bool = False,
        url: str = "",
        sha256: str = "",
    ) -> None:
        if root and download:
            self._download(Path(root).expanduser(), accept_license, url, sha256)
        super().__init__(root, categories, mask_threshold, require_masks)

    @staticmethod
    def _download(root: Path, accept_license: bool, url: str, sha256: str) -> None:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            return
        if not accept_license:
            raise DatasetError(
                f"MVTec AD is under {LICENSE}: read {HOMEPAGE} and set dataset.accept_license=true to "
                "download it"
            )
        archive = fetch(url, root.with_name(root.name + ".tar.xz"), sha256=sha256, homepage=HOMEPAGE)
        extract(archive, root)

    def available(self) -> tuple[str, ...]:
        """Return the categories of the dataset that are below the root, textures first."""
        if not self.root.is_dir():
            raise DatasetError(
                f"dataset.root={self.root}: there is no such folder. Download MVTec AD from {HOMEPAGE}, or "
                "set dataset.download=true"
            )
        found = super().available()
        return tuple(name for name in TEXTURES + OBJECTS if name in found)

    def _select(self, categories: str | Sequence[str]) -> tuple[str, ...]:
        chosen = super()._select(categories)
        missing = [name for name in TEXTURES + OBJECTS if name not in chosen]
        if categories == "all" and missing:
            raise DatasetError(
                f"dataset.root={self.root} lacks {len(missing)} of MVTec AD's 15 categories: "
                f"{', '.join(missing)}. Name the ones to run with dataset.categories=[...], or use "
                "dataset=folder for a dataset of your own"
            )
        return chosen
