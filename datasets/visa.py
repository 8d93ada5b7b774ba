"""VisA (Zou et al., ECCV 2022): twelve objects as they are released, divided by the official split file."""

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

from datasets.category import GOOD, Category, Sample
from datasets.errors import DatasetError, counted
from datasets.listing import image_counts, is_folder
from datasets.names import check_dataset_name, choose, shortened
from datasets.official import OfficialSet
from datasets.options import root_folder

SPLIT_FILE = "split_csv/1cls.csv"
"""Which images are trained on and which are tested, below the root."""
COLUMNS = ("object", "split", "label", "image", "mask")
SPLITS, LABELS = ("train", "test"), ("normal", "anomaly")
NORMAL, ANOMALY = LABELS


class Row(NamedTuple):
    """A line of the split file: paths are relative to the root, and the mask is "" for a normal image."""

    object: str
    split: str
    label: str
    image: str
    mask: str


class VisA(OfficialSet):
    """The official dataset below `root`: `<category>/Data/{Images/{Normal,Anomaly}, Masks/Anomaly}` and `split_csv`.

    Nothing is copied or converted. The masks tell kinds of defects apart; here, every pixel that is not 0 is anomalous.

    Parameters
    ----------
    root
        The folder that holds `candle`, `capsules`, ... and `split_csv`.
    categories
        `all`, one name, or a list of names. A root that lacks a category is refused with `all`.
    name
        The dataset's name in tables, captions and files. None: `visa`.
    download
        Fetch and unpack the archive into `root` if `root` is not there yet, or empty.
    accept_license, url, checksum
        See `OfficialSet.download`.

    Raises
    ------
    DatasetError
        If the root, a category or the split file is missing, or the split file is not the official one.
    """

    own_name = "visa"
    title = "VisA"
    names = (
        *("candle", "capsules", "cashew", "chewinggum", "fryum", "macaroni1"),
        *("macaroni2", "pcb1", "pcb2", "pcb3", "pcb4", "pipe_fryum"),
    )
    homepage = "https://github.com/amazon-science/spot-diff"
    license = "CC BY 4.0"
    archive_suffix = ".tar"

    def __init__(
        self,
        root: str | None,
        categories: object = "all",
        name: str | None = None,
        download: bool = False,
        accept_license: bool = False,
        url: str | None = None,
        checksum: str = "",
    ) -> None:
        self.root = root_folder(root)
        if download:
            self.download(self.root, accept_license, url, checksum)
        self.check_root()
        found = tuple(each for each in self.names if is_folder(self.root / each))
        if not found:
            raise DatasetError(
                f"dataset.root={self.root}: found none of {self.title}'s categories; expected a folder that holds "
                f"{shortened(self.names)}"
            )
        self.categories = choose("dataset.categories", categories, found, f"below {self.root}")
        self.check_complete(categories, self.categories)
        self._rows = self._read_split()
        self.name = self.own_name if name is None else check_dataset_name(name)

    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            If the split file names no train or test images of the category, or files that do not exist.
        """
        rows = [row for row in self._rows if row.object == name]
        self._refuse_missing(rows, name)
        train, test = (self._samples([row for row in rows if row.split == split]) for split in SPLITS)
        return Category(name, train=train, test=test, mask_threshold=0)

    def unused(self, category: Category) -> tuple[str, ...]:
        """Name the folders with images that the split file does not list."""
        samples = (*category.train, *category.test)
        used = {path for sample in samples for path in (sample.image, sample.mask) if path is not None}
        counts = image_counts(self.root / category.name, skip=used)
        return tuple(
            f"{path.relative_to(self.root)}: {counted(count, 'image file', 'are')} not in {SPLIT_FILE}, so not used"
            for path, count in counts.items()
        )

    def _samples(self, rows: Sequence[Row]) -> tuple[Sample, ...]:
        return tuple(
            Sample(
                self.root / row.image,
                GOOD if row.label == NORMAL else row.label,
                self.root / row.mask if row.mask else None,
            )
            for row in sorted(rows, key=lambda row: row.image)
        )

    def _refuse_missing(self, rows: Sequence[Row], name: str) -> None:
        """Refuse a category of which the split file names too little, or what is not there."""
        faults = [
            f"{self.root / SPLIT_FILE}: found no {split} image of '{name}'; expected the official split file, see "
            f"{self.homepage}"
            for split in SPLITS
            if split not in {row.split for row in rows}
        ]
        named = {
            "image": [row.image for row in rows],
            "mask": [row.mask for row in rows if row.mask],
        }
        for what, paths in named.items():
            missing = [path for path in paths if not (self.root / path).is_file()]
            if missing:
                faults.append(
                    f"{self.root / missing[0]}: there is no such {what}, although {SPLIT_FILE} names it"
                    + (f" ({len(missing)} of {counted(len(paths), what)} are missing)" if missing[1:] else "")
                )
        if faults:
            raise DatasetError(*faults)

    def _read_split(self) -> list[Row]:
        """Read the split file."""
        path = self.root / SPLIT_FILE
        official = f"expected the official split file, {self.homepage}/blob/main/{SPLIT_FILE}"
        try:
            with path.open(encoding="utf-8", newline="") as file:
                lines = list(csv.reader(file))
        except FileNotFoundError:
            raise DatasetError(f"{path}: there is no such file; {official}") from None
        except (OSError, UnicodeError, csv.Error) as error:
            raise DatasetError(f"{path}: cannot be read ({error}); {official}") from None
        if not lines or tuple(lines[0]) != COLUMNS:
            found = ",".join(lines[0]) if lines else "nothing"
            raise DatasetError(f"{path}: found the columns {found}; expected {','.join(COLUMNS)}: {official}")
        faults = [
            f"{path}, line {number}: {fault}; {official}"
            for number, line in enumerate(lines[1:], 2)
            if (fault := self._fault(line))
        ]
        if faults:
            raise DatasetError(*faults)
        rows = [Row(*line) for line in lines[1:]]
        twice = [image for image, count in Counter(row.image for row in rows).items() if count > 1]
        if twice:
            raise DatasetError(f"{path}: names {twice[0]} in several lines; {official}")
        return rows

    def _fault(self, line: Sequence[str]) -> str:
        """Return what is wrong with a line of the split file, or the empty string."""
        if len(line) != len(COLUMNS):
            return f"found {len(line)} values for {len(COLUMNS)} columns"
        row = Row(*line)
        if row.object not in self.names:
            return f"found the unknown category '{row.object}'"
        if row.split not in SPLITS or row.label not in LABELS:
            return f"found the split '{row.split}' and the label '{row.label}'"
        if row.split == "train" and row.label == ANOMALY:
            return f"found {row.image}, an anomalous image, among the train images"
        if bool(row.mask) != (row.label == ANOMALY):
            return f"found {row.image} with the label '{row.label}' and the mask '{row.mask}'"
        for place in filter(None, (row.image, row.mask)):
            parts = PurePosixPath(place).parts
            if parts[0] != row.object or ".." in parts:
                return f"found {place}, which does not lie in the folder of {row.object}"
        return ""
