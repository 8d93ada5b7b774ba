"""MVTec AD's layout below one folder, with error messages that name the missing file or the wrong option."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from datasets.category import GOOD, Category, Sample
from datasets.dataset import Dataset
from datasets.errors import DatasetError, counted
from datasets.images import IMAGE_SUFFIXES
from datasets.listing import dead_links, folders, image_counts, image_files, is_folder, refuse_dead_link
from datasets.matching import Faults, ask_whether_normal, match_masks
from datasets.names import check_dataset_name, check_file_name, choose, looks_normal, names_of
from datasets.options import bit_depth_of, check_folder, root_folder, thresholds_of


class MVTecLayout(Dataset):
    """`<root>/<category>/{train/good, test/<kind>, ground_truth/<kind>}`; root may be one category itself.

    A category without test images can be trained, not measured.

    Parameters
    ----------
    root
        The folder of the categories. A mask has the name of its image, or `<image>_mask`, with any image suffix.
        Hidden files and folders are ignored.
    categories
        `all`, one name, or a list of names.
    mask_threshold
        None: masks must have two values. A number: mask > threshold is anomalous. {category: number}: one for each
        of these categories.
    require_masks
        Whether an anomalous image without ground truth is an error. If not, pixel measures count only images whose
        anomalous pixels are known.
    normal_names
        The name or names of the folders of normal images below `train` and `test`.
    bit_depth
        How many bits the camera of 16-bit grey images uses, 8 to 16. None: all 16.
    name
        The dataset's name in tables, captions and files. None: that of the root's folder.

    Raises
    ------
    DatasetError
        If the root or a category is missing, or an option is out of range.
    """

    needs_test_images: ClassVar[bool] = False
    test_folder: ClassVar[str] = "test"
    """The folder of a category's test images."""
    set_apart: ClassVar[tuple[str, ...]] = ()
    """Folders of a category whose images are neither listed nor reported."""
    another_layout: ClassVar[str] = "; a folder of normal images alone is dataset.normal_dir"

    def __init__(
        self,
        root: str | None,
        categories: object = "all",
        mask_threshold: object = None,
        require_masks: bool = True,
        normal_names: object = GOOD,
        bit_depth: int | None = None,
        name: str | None = None,
    ) -> None:
        self.root = root_folder(root, self.another_layout)
        self.normal_names = names_of("dataset.normal_names", normal_names)
        self.bit_depth = bit_depth_of(bit_depth)
        self.require_masks = require_masks
        self.categories = self._select(categories)
        self._thresholds = thresholds_of(mask_threshold, self.available())
        self._check_normal_names()
        self.name = self._own_name() if name is None else check_dataset_name(name)

    def _check_normal_names(self) -> None:
        """Refuse a name of normal images, of several, that no chosen category has."""
        folders_of = [self._folder(name) / split for name in self.categories for split in self.splits]
        for name in self.normal_names if len(self.normal_names) > 1 else ():
            if not any(is_folder(folder / name) for folder in folders_of):
                raise DatasetError(
                    f"dataset.normal_names: no chosen category has a folder '{name}' of images; expected the names of "
                    "the folders of normal images"
                )

    @property
    def splits(self) -> tuple[str, str, str]:
        """The folders of a category's train, validation and test images."""
        return "train", "validation", self.test_folder

    def _own_name(self) -> str:
        """Return the name of a dataset to which none is given."""
        return check_dataset_name(self.root.resolve().name, f"dataset.root={self.root}: the folder's name")

    def available(self) -> tuple[str, ...]:
        """Names of the categories below the root, sorted; the root's own name if it is a category."""
        check_folder("dataset.root", self.root)
        if self._is_category():
            self._check_layout(self.root)
            return (check_file_name(self.root.resolve()).name,)
        names = folders(self.root, skip=dead_links(self.root))
        found = tuple(name for name in names if is_folder(self.root / name / "train"))
        if not found:
            raise DatasetError(
                f"dataset.root={self.root}: found no category; expected a folder with <category>/train/"
                f"{self.normal_names[0]} and, to measure, <category>/{self.test_folder}/<kind> below it"
                f"{self._hint_of_folder_above(names)}{self.another_layout}"
            )
        for name in found:
            self._check_layout(self.root / name)
        return found

    def _hint_of_folder_above(self, names: Sequence[str]) -> str:
        """Return what to set if the root, which has these folders, lies above the folder of the categories."""
        for inner in (self.root / name for name in names):
            if any(is_folder(inner / name / "train") for name in folders(inner, skip=dead_links(inner))):
                return f". Does {inner} hold the categories? Then set dataset.root={inner}"
        return ""

    def _is_category(self) -> bool:
        return is_folder(self.root / "train")

    def _check_layout(self, category: Path) -> None:
        """Refuse a category in the layout of MVTec 3D-AD."""
        for good in (category / "train" / name for name in self.normal_names):
            if is_folder(good / "xyz") or is_folder(good / "rgb"):
                raise DatasetError(
                    f"{good}: found the layout of MVTec 3D-AD (folders rgb and xyz); expected images in "
                    f"train/{good.name} itself, or dataset=mvtec_3d, or dataset=folder_3d"
                )

    def _select(self, categories: object) -> tuple[str, ...]:
        known = self.available()
        if not self._is_category():
            for link in dead_links(self.root):
                if self._is_chosen(link.name, categories):
                    refuse_dead_link(link)
        return choose("dataset.categories", categories, known, f"below {self.root}")

    def _is_chosen(self, entry: str, categories: object) -> bool:
        """Return whether an entry of the root is among the chosen categories."""
        return categories == "all" or entry in names_of("dataset.categories", categories)

    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            If train/good is missing, or a required mask; it has all faults of the category.
        """
        folder, faults = self._folder(name), Faults()
        category = Category(
            name=name,
            train=faults.collect(self._good_samples, folder, "train"),
            validation=faults.collect(self._validation_samples, folder),
            test=faults.collect(self._test_samples, folder),
            mask_threshold=self._thresholds.get(name),
            bit_depth=self.bit_depth,
            group=self.group(name),
        )
        faults.refuse()
        return category

    def unused(self, category: Category) -> tuple[str, ...]:
        """Name the folders with images that are not listed, and the kinds without images, below the category's."""
        folder = self._folder(category.name)
        samples = (*category.train, *category.validation, *category.test)
        used = {path for each in samples for path in (each.image, each.mask, each.xyz) if path is not None}
        # masks of normal images: MVTec 3D-AD has some, and they say nothing
        not_needed = {
            self._truth_folder(folder, good, split) for good in self.normal_names for split in self.splits
        }
        counts, set_apart = image_counts(folder, skip=used), [(name,) for name in self.set_apart]
        tested = {sample.image.parent for sample in category.test}
        kinds = [self._image_folder(folder / self.test_folder / kind) for kind in self._kinds(folder)]
        return (
            *(
                f"{path.relative_to(folder)}: {counted(count, 'image file', 'are')} not used"
                for path, count in counts.items()
                if path not in not_needed and path.relative_to(folder).parts[:1] not in set_apart
            ),
            *(f"{path.relative_to(folder)}: it holds no image" for path in kinds if path not in tested),
        )

    def _folder(self, name: str) -> Path:
        return self.root if self._is_category() else self.root / name

    def _good_samples(self, folder: Path, split: str) -> list[Sample]:
        parts = [folder / split / name for name in self.normal_names]
        found = [part.name for part in parts if is_folder(self._image_folder(part), folder)]
        first = self._image_folder(parts[0])
        if not found:
            others = folders(folder / split) if is_folder(folder / split, folder) else []
            likely = next((name for name in others if looks_normal(name)), None)
            question = (
                f". Does {folder / split / likely} hold them? Then set dataset.normal_names={likely}"
                if likely
                else ""
            )
            raise DatasetError(
                f"{first}: the folder is missing; expected the normal {split} images in it{question}"
            )
        samples = [sample for name in found for sample in self._samples_of(name, folder, split)]
        if not samples:
            raise DatasetError(f"{first}: found no image; expected {', '.join(sorted(IMAGE_SUFFIXES))} files")
        return samples

    def _validation_samples(self, folder: Path) -> list[Sample]:
        """Return the category's own validation images."""
        return self._good_samples(folder, "validation") if self.has_validation else []

    def _test_samples(self, folder: Path) -> list[Sample]:
        test, faults = folder / self.test_folder, Faults()
        samples = [
            sample
            for kind in self._kinds(folder)
            for sample in faults.collect(self._samples_of, kind, folder, self.test_folder)
        ]
        faults.refuse()
        others = sum(image_counts(test).values()) if not samples and is_folder(test, folder) else 0
        if not samples and (others or self.needs_test_images):
            good, anomalous = (
                self._image_folder(Path(self.test_folder, kind))
                for kind in (self.normal_names[0], "<name of the defect>")
            )
            found = (
                f"found {counted(others, 'image file')}, but no test images"
                if others
                else "found no test images"
            )
            raise DatasetError(f"{test}: {found}; expected image files in {good} and {anomalous}")
        return samples

    def _kinds(self, folder: Path) -> list[str]:
        """Return the names of the folders of test images; none without any."""
        test = folder / self.test_folder
        return folders(test) if is_folder(test, folder) else []

    def _samples_of(self, kind: str, folder: Path, split: str) -> list[Sample]:
        images = self._image_folder(folder / split / kind)
        files = image_files(images) if is_folder(images, folder) else []
        if kind == GOOD and kind not in self.normal_names and files:
            names = ",".join([*self.normal_names, GOOD])
            raise DatasetError(
                f"{folder / split / kind}: a kind of defect cannot be called '{GOOD}'; expected normal images in it "
                f"and 'dataset.normal_names=[{names}]', or another name"
            )
        faults = Faults()
        clouds = faults.collect(self._clouds_of, files, kind, folder, split)
        masks = (
            [None] * len(files)
            if kind in self.normal_names
            else faults.collect(self._masks_of, files, kind, folder)
        )
        faults.refuse()
        name = GOOD if kind in self.normal_names else kind
        return [Sample(*each) for each in zip(files, [name] * len(files), masks, clouds, strict=True)]

    def _clouds_of(
        self, images: Sequence[Path], kind: str, folder: Path, split: str
    ) -> Sequence[Path | None]:
        """Return the point clouds of images: this layout has none."""
        return [None] * len(images)

    def _image_folder(self, part: Path) -> Path:
        """Return the folder of the images of one split and kind."""
        return part

    def _truth_folder(self, folder: Path, kind: str, split: str = "test") -> Path:
        """Return the folder of the masks of one kind of a category's images."""
        return folder / "ground_truth" / kind

    def _masks_of(self, images: Sequence[Path], kind: str, folder: Path) -> Sequence[Path | None]:
        """Return the masks of the test images of one kind of defect."""
        truth = self._truth_folder(folder, kind)
        masks = image_files(truth) if is_folder(truth, folder) else []
        if images and not masks:
            ask_whether_normal(folder / self.test_folder / kind, len(images), self.normal_names)
        return match_masks(images, masks, truth, self.require_masks)
