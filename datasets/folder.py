"""Images of one's own: below one folder in MVTec AD's layout, or in folders that lie anywhere."""

from datasets.category import GOOD, Category
from datasets.dataset import Dataset
from datasets.errors import DatasetError
from datasets.loose_layout import TEST_FRACTION, TEST_SEED, LooseLayout
from datasets.mvtec_layout import MVTecLayout


class Folder(Dataset):
    """`root` in MVTec AD's layout, or `normal_dir` and the folders that go with it.

    Parameters
    ----------
    root, normal_names
        See `MVTecLayout`; not with `normal_dir`.
    normal_dir, abnormal_dir, normal_test_dir, mask_dir, test_fraction, test_seed
        See `LooseLayout`; not with `root`.
    categories, mask_threshold, require_masks, bit_depth, name
        See either.

    Raises
    ------
    DatasetError
        If options do not go together, and as the layouts say.
    """

    def __init__(
        self,
        root: str | None = None,
        categories: object = "all",
        mask_threshold: object = None,
        require_masks: bool = True,
        normal_names: object = GOOD,
        bit_depth: int | None = None,
        name: str | None = None,
        normal_dir: str | None = None,
        abnormal_dir: str | None = None,
        normal_test_dir: str | None = None,
        mask_dir: str | None = None,
        test_fraction: float = TEST_FRACTION,
        test_seed: int = TEST_SEED,
    ) -> None:
        common = (categories, mask_threshold, require_masks)
        folders = (abnormal_dir, normal_test_dir, mask_dir)
        if normal_dir is None:
            self._refuse_options_of_loose_folders(folders, test_fraction, test_seed)
            self.layout: Dataset = MVTecLayout(root, *common, normal_names, bit_depth, name)
        else:
            self._refuse_options_of_root(root, normal_names)
            self.layout = LooseLayout(
                normal_dir, *folders, test_fraction, test_seed, *common, bit_depth, name
            )
        self.name, self.categories = self.layout.name, self.layout.categories

    @staticmethod
    def _refuse_options_of_loose_folders(
        folders: tuple[str | None, ...], test_fraction: float, test_seed: int
    ) -> None:
        names = ("abnormal_dir", "normal_test_dir", "mask_dir", "test_fraction", "test_seed")
        usual = (None, None, None, TEST_FRACTION, TEST_SEED)
        values = (*folders, test_fraction, test_seed)
        for name, value, default in zip(names, values, usual, strict=True):
            if value != default:
                raise DatasetError(
                    f"dataset.{name}={value} goes with dataset.normal_dir, the folder of the normal images, which is "
                    "not set"
                )

    @staticmethod
    def _refuse_options_of_root(root: str | None, normal_names: object) -> None:
        if root is not None:
            raise DatasetError(
                "dataset.root and dataset.normal_dir are both set; expected one of them: root, a folder in MVTec AD's "
                "layout, or normal_dir, a folder of normal images"
            )
        if normal_names != GOOD:
            raise DatasetError(
                f"dataset.normal_names={normal_names} names folders below dataset.root; with dataset.normal_dir, all "
                "images in that folder are normal"
            )

    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            If train images are missing, or a required mask; it has all faults of the category.
        """
        return self.layout.category(name)

    def unused(self, category: Category) -> tuple[str, ...]:
        """Name the folders with images that are not listed, and the kinds without images."""
        return self.layout.unused(category)
