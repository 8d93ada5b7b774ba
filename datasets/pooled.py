"""Several categories together, on which one model for all of them is trained."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets.category import Category
from datasets.errors import DatasetError


@dataclass(frozen=True)
class PooledCategory(Category):
    """The train and validation images of several categories; it has no test images.

    Attributes
    ----------
    parts
        The categories, by name.
    """

    parts: tuple[Category, ...] = ()

    def hold_out(self, fraction: float, seed: int) -> Category:
        """Hold out the part of each category's train images that is held out where it is trained alone.

        Parameters and errors are those of `Category.hold_out`.
        """
        return pool([part.hold_out(fraction, seed) for part in self.parts])


def pool(categories: Sequence[Category]) -> PooledCategory:
    """Return the union of some categories; it does not depend on their order.

    Raises
    ------
    DatasetError
        If there is only one, they are read with different bit depths, or only some of them have validation images of
        their own.
    """
    parts = tuple(sorted(categories, key=lambda category: category.name))
    if len(parts) == 1:
        raise DatasetError(
            f"dataset.pool=all trains one model for all categories of the run, and '{parts[0].name}' is the only one; "
            "expected several categories, or dataset.pool=category"
        )
    bit_depths = {part.bit_depth for part in parts}
    if len(bit_depths) > 1:
        raise DatasetError(
            f"dataset.pool=all: the categories have the bit depths {sorted(map(str, bit_depths))}; expected one for all"
        )
    without = [part.name for part in parts if not part.validation]
    if 0 < len(without) < len(parts):
        raise DatasetError(
            f"dataset.pool=all: category '{without[0]}' has no validation images of its own, and others have; expected "
            "all of them to have some, or none"
        )
    return PooledCategory(
        name=pool_name([part.name for part in parts]),
        train=tuple(sample for part in parts for sample in part.train),
        validation=tuple(sample for part in parts for sample in part.validation),
        test=(),
        bit_depth=parts[0].bit_depth,
        parts=parts,
    )


def pool_name(categories: Sequence[str]) -> str:
    """Return what a model for some categories is for.

    >>> pool_name(["capsule", "washer"])
    'all 2 categories'
    """
    return f"all {len(categories)} categories"
