"""The interface of a dataset."""

from abc import ABC, abstractmethod

from datasets.category import Category


class Dataset(ABC):
    """Categories of images, each with train, validation and test samples.

    A class of one's own can be named by `dataset._target_`; its arguments are the options of `dataset`.

    Attributes
    ----------
    categories
        The names of the categories to run, in the order of the tables.
    has_depth
        Whether every image comes with a point cloud.
    """

    categories: tuple[str, ...]
    has_depth: bool = False

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
