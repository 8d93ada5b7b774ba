"""The base of the official datasets: a fixed list of categories, a licence, and an archive to download."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from datasets.category import GOOD
from datasets.dataset import Dataset
from datasets.download import extract, fetch
from datasets.errors import DatasetError
from datasets.mvtec_layout import MVTecLayout
from datasets.options import check_folder, root_folder


class OfficialSet(Dataset):
    """An official dataset below a root, in whatever layout.

    Attributes
    ----------
    own_name, title
        Its name in files, and as its paper prints it.
    names
        All of its categories, in the order of its paper.
    homepage, license
        Where it is described, and on which terms it is given.
    archive_suffix
        That of the archive that holds it, with its dot.
    """

    own_name: ClassVar[str]
    title: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    homepage: ClassVar[str]
    license: ClassVar[str] = "CC BY-NC-SA 4.0 (no commercial use)"
    archive_suffix: ClassVar[str] = ".tar.xz"
    root: Path

    def download(self, root: Path, accept_license: bool, url: str | None, checksum: str) -> None:
        """Fetch and unpack the archive into `root`, unless something is there already.

        Parameters
        ----------
        root
            The folder of the dataset. The archive is kept next to it, by the name of the folder and its own suffix; one
            that lies there already is verified and not fetched.
        accept_license
            The user's consent to the dataset's licence, without which nothing is downloaded.
        url
            The address of the archive; None: it must lie there already.
        checksum
            See `datasets.download.fetch`.

        Raises
        ------
        DatasetError
            If the licence is not accepted, or the archive cannot be fetched.
        """
        if root.exists() and (not root.is_dir() or any(root.iterdir())):
            return
        if not accept_license:
            raise DatasetError(
                f"{self.title} is under {self.license}: read {self.homepage} and set dataset.accept_license=true "
                "to download it"
            )
        archive = root.with_name(root.name + self.archive_suffix)
        if not url and not archive.exists():
            raise DatasetError(
                f"{archive}: there is no such file, and dataset.url is not set; expected the archive of {self.title} "
                f"from {self.homepage} under this name, or its address in dataset.url"
            )
        extract(fetch(url or "", archive, checksum=checksum, homepage=self.homepage), root)

    def check_root(self) -> None:
        """Refuse a root that is no folder."""
        check_folder(
            "dataset.root",
            self.root,
            f". Download {self.title} from {self.homepage}, or set dataset.download=true",
        )

    def check_complete(self, categories: object, chosen: Sequence[str], others: str = "") -> None:
        """Refuse `all` of a root that lacks categories, as its average would not be that of the dataset.

        Parameters
        ----------
        categories
            The value of `dataset.categories`.
        chosen
            The categories that it stands for.
        others
            What the message adds for those who have other data.
        """
        missing = [name for name in self.names if name not in chosen]
        if categories == "all" and missing:
            raise DatasetError(
                f"dataset.root={self.root} lacks {len(missing)} of {self.title}'s {len(self.names)} categories: "
                f"{', '.join(missing)}. Name the ones to run with dataset.categories=[...]{others}"
            )


class Official(OfficialSet, MVTecLayout):
    """An official dataset in MVTec AD's layout; see `MVTecLayout` for the other parameters.

    `categories=all` means all categories of the dataset: a root that lacks one is refused.

    Parameters
    ----------
    download
        Fetch and unpack the archive into `root` if `root` is not there yet, or empty.
    accept_license, url, checksum
        See `OfficialSet.download`.
    """

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
        url: str | None = None,
        checksum: str = "",
    ) -> None:
        if root and download:
            self.download(root_folder(root), accept_license, url, checksum)
        super().__init__(root, categories, mask_threshold, require_masks, normal_names, bit_depth, name)

    def available(self) -> tuple[str, ...]:
        """Return the categories of the dataset that are below the root, in the order of its paper."""
        self.check_root()
        found = super().available()
        return tuple(name for name in self.names if name in found)

    def _own_name(self) -> str:
        return self.own_name

    def _is_chosen(self, entry: str, categories: object) -> bool:
        return entry in self.names and super()._is_chosen(entry, categories)

    def _select(self, categories: object) -> tuple[str, ...]:
        chosen = super()._select(categories)
        own = f", or use dataset={self.any_folder} for a dataset of your own"
        self.check_complete(categories, chosen, own)
        return chosen
