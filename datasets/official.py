"""The base of the official datasets: a fixed list of categories, a licence, and an archive to download."""

from pathlib import Path
from typing import ClassVar

from datasets.category import GOOD
from datasets.download import extract, fetch
from datasets.errors import DatasetError
from datasets.mvtec_layout import MVTecLayout
from datasets.options import check_folder, root_folder


class Official(MVTecLayout):
    """An official dataset below `root`; see `MVTecLayout` for the other parameters.

    `categories=all` means all categories of the dataset: a root that lacks one is refused, as its average would
    not be that of the dataset.

    Parameters
    ----------
    download
        Fetch and unpack the archive into `root` if `root` is not there yet, or empty.
    accept_license
        The user's consent to the dataset's licence, without which nothing is downloaded.
    url, checksum
        Address and checksum of the archive; see `datasets.download.fetch`.
    """

    own_name: ClassVar[str]
    title: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    homepage: ClassVar[str]
    license: ClassVar[str] = "CC BY-NC-SA 4.0 (no commercial use)"
    needs_test_images = True
    another_layout = ""
    any_folder: ClassVar[str]  # the `dataset` choice for other data in this layout

    def __init__(
        self,
        root: str | None,
        categories: object = "all",
        mask_threshold: object = None,
        require_masks: bool = True,
        normal_names: object = GOOD,
        bit_depth: int | None = None,
        name: str | None = None,
        download: bool = False,
        accept_license: bool = False,
        url: str = "",
        checksum: str = "",
    ) -> None:
        if root and download:
            self._download(root_folder(root), accept_license, url, checksum)
        super().__init__(root, categories, mask_threshold, require_masks, normal_names, bit_depth, name)

    def _download(self, root: Path, accept_license: bool, url: str, checksum: str) -> None:
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            return
        if not accept_license:
            raise DatasetError(
                f"{self.title} is under {self.license}: read {self.homepage} and set dataset.accept_license=true "
                "to download it"
            )
        archive = fetch(url, root.with_name(root.name + ".tar.xz"), checksum=checksum, homepage=self.homepage)
        extract(archive, root)

    def available(self) -> tuple[str, ...]:
        """Return the categories of the dataset that are below the root, in the order of its paper."""
        check_folder(
            "dataset.root",
            self.root,
            f". Download {self.title} from {self.homepage}, or set dataset.download=true",
        )
        found = super().available()
        return tuple(name for name in self.names if name in found)

    def _own_name(self) -> str:
        return self.own_name

    def _is_chosen(self, entry: str, categories: object) -> bool:
        return entry in self.names and super()._is_chosen(entry, categories)

    def _select(self, categories: object) -> tuple[str, ...]:
        chosen = super()._select(categories)
        missing = [name for name in self.names if name not in chosen]
        if categories == "all" and missing:
            raise DatasetError(
                f"dataset.root={self.root} lacks {len(missing)} of {self.title}'s {len(self.names)} categories: "
                f"{', '.join(missing)}. Name the ones to run with dataset.categories=[...], or use "
                f"dataset={self.any_folder} for a dataset of your own"
            )
        return chosen
