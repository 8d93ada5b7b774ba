"""What was found in a category before anything trains: a record, its JSON form, and a line of text."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from datasets.errors import counted


@dataclass(frozen=True)
class CategoryFacts:
    """What was found in one category; all values can be written as JSON.

    Attributes
    ----------
    category, group
        Its name and that of its group; "": none.
    train, validation, good
        The number of train images, of validation images of its own, and of normal test images.
    kinds
        {kind of defect: number of test images}.
    masks
        The number of anomalous test images with ground truth.
    size, other_sizes
        The most common `WIDTHxHEIGHT`, pixels, and the number of images of other sizes.
    modes
        {Pillow's mode: number of images}: `RGB`, `L`, `I;16`; "16-bit RGB" for colours of 16 bits.
    mask_values
        The values of the masks' pixels, ascending, at most 8.
    mask_threshold
        The value above which a pixel is anomalous; None: masks have two values.
    median_share, largest_share
        The share of anomalous pixels of a mask, 0 to 1; None without masks.
    alpha
        The number of masks whose regions are read from the alpha channel.
    warnings
        Sentences on what a user may have to know of.
    """

    category: str
    group: str = ""
    train: int = 0
    validation: int = 0
    good: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)
    masks: int = 0
    size: str = ""
    other_sizes: int = 0
    modes: Mapping[str, int] = field(default_factory=dict)
    mask_values: tuple[float, ...] = ()
    mask_threshold: float | None = None
    median_share: float | None = None
    largest_share: float | None = None
    alpha: int = 0
    warnings: tuple[str, ...] = ()


def to_json(facts: Iterable[CategoryFacts]) -> list[dict[str, Any]]:
    """Return one JSON object per category, whose names are those of the attributes; lists for tuples."""
    return [
        {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(each).items()}
        for each in facts
    ]


def describe(facts: CategoryFacts) -> str:
    """Return the facts of a category in one line.

    >>> kinds, modes = {"bent": 8}, {"L": 80}
    >>> describe(CategoryFacts("bolt", train=60, good=12, kinds=kinds, masks=8, size="64x64", modes=modes))
    'bolt: 60 train, 12 good and 8 anomalous (bent 8), 64x64, L; 8 masks'
    """
    train = f"{facts.train} train" + (f", {facts.validation} validation" if facts.validation else "")
    others = f" and {facts.other_sizes} of other sizes" if facts.other_sizes else ""
    form = f"{facts.size}{others}, {' and '.join(facts.modes)}"
    total = sum(facts.kinds.values())
    if not facts.good and not total:
        return f"{facts.category}: {train}, {form}; no test images, so it is trained, not measured"
    kinds = ", ".join(f"{name} {count}" for name, count in facts.kinds.items())
    test = f"{facts.good} good and {total} anomalous" + (f" ({kinds})" if kinds else "")
    masks = counted(facts.masks, "mask")
    if facts.mask_values:
        masks += f" of {_values(facts)}"
    if facts.median_share is not None:
        masks += f", {_percent(facts.median_share)} of the image (largest {_percent(facts.largest_share)})"
    return f"{facts.category}: {train}, {test}, {form}; {masks}"


def _values(facts: CategoryFacts) -> str:
    values = ", ".join(f"{value:g}" for value in facts.mask_values)
    alpha = " (alpha)" if facts.alpha else ""
    return values + alpha + ("" if facts.mask_threshold is None else f" > {facts.mask_threshold:g}")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f} %"
