"""The interface of a dataset."""

from abc import ABC, abstractmethod

from datasets.category import Category


class Dataset(ABC):
    """Categories of images, each with train, validation and test samples.

    A class of one's own can be named by `dataset._target_`; its arguments are the options of `dataset`.

    Attributes
    ----------
    name
        The dataset's name in tables, captions and files; by default that of the class, in lower case.
    categories
        The names of the categories to run, in the order of the tables.
    has_depth
        Whether every image comes with a point cloud.
    has_ground_truth
        Whether anomalous images usually come with masks; if not, nobody is warned that they are missing.
    has_validation
        Whether every category has validation images of its own, so that no train images are held out.
    """

    name: str
    categories: tuple[str, ...]
    has_depth: bool = False
    has_ground_truth: bool = True
    has_validation: bool = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" not in cls.__dict__:
            cls.name = cls.__name__.lower()

    @abstractmethod
    def category(self, name: str) -> Category:
        """List the samples of one category; no image is decoded.

        Raises
        ------
        DatasetError
            If files are missing; the message names them.
        """

    def group(self, name: str) -> str:
        """Return the name of the group of categories (`textures`) over which tables average; "": none."""
        return ""

    def unused(self, category: Category) -> tuple[str, ...]:
        """Return a sentence for each part of a category's files that `category` passes over without an error."""
        return ()
