"""Doubts about a category's data: faults, which end the sweep, and warnings, which do not."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from datasets.category import Category, Sample
from datasets.errors import counted
from datasets.images import LARGE, Header, largest_value
from datasets.matching import by_stem
from store.folders import digests_of

FEWEST = 2
"""The smallest number of train images."""

LOOKED_AT = 64
"""How many 16-bit images are decoded, at most, to find the bits in use."""

MOST_BITS = 14
"""The largest number of bits of a camera that stores 16; more are taken for 16."""

VALUES = 8
"""How many values of masks are listed."""


@dataclass
class Found:
    """What the files of one sample hold.

    Attributes
    ----------
    faults
        What makes them unusable.
    header
        That of the image; None if it cannot be read.
    values, share
        The values of the mask's pixels, and the share of anomalous ones, 0 to 1; none if there is no mask.
    from_alpha
        Whether they are those of the alpha channel.
    """

    faults: list[str] = field(default_factory=list)
    header: Header | None = None
    values: tuple[float, ...] = ()
    share: float | None = None
    from_alpha: bool = False


def shares_of(found: Sequence[Found]) -> list[float]:
    """Return the share of anomalous pixels of each mask, 0 to 1."""
    return [each.share for each in found if each.share is not None]


def values_of(found: Sequence[Found]) -> tuple[float, ...]:
    """Return the values of all masks' pixels, ascending."""
    return tuple(sorted({value for each in found for value in each.values}))


def faults_of(category: Category, samples: Sequence[Sample], found: Sequence[Found]) -> list[str]:
    """Return the faults of a category as a whole."""
    faults, values, threshold = [], values_of(found), category.mask_threshold
    if len(category.train) < FEWEST:
        faults.append(f"found {counted(len(category.train), 'train image')}; expected at least {FEWEST}")
    if values and threshold is not None and values[-1] <= threshold:
        faults.append(
            f"no pixel of its {len(shares_of(found))} masks is above dataset.mask_threshold={threshold:g}, found the "
            f"values {_listed_values(values)}; expected a threshold below the largest value"
        )
    if category.bit_depth is not None:
        highest, _ = _highest(_grey(samples, found), 2**category.bit_depth)
        if highest >= 2**category.bit_depth:
            faults.append(
                f"dataset.bit_depth={category.bit_depth}: found pixels of {highest} in 16-bit images; expected at most "
                f"{2**category.bit_depth - 1}, so a larger bit depth"
            )
    return faults


def _listed_values(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values[:VALUES]) + (", ..." if len(values) > VALUES else "")


def warnings_of(
    category: Category, samples: Sequence[Sample], found: Sequence[Found], expects_truth: bool = True
) -> list[str]:
    """Return sentences on what a user may have to know of; of missing ground truth only where it is expected."""
    return [
        *_warnings_of_counts(category, expects_truth),
        *_warnings_of_copies(category),
        *_warnings_of_masks(samples, found),
        *_warnings_of_images(category, samples, found),
    ]


def _warnings_of_counts(category: Category, expects_truth: bool) -> list[str]:
    labels = [sample.label for sample in category.test]
    warnings = []
    if labels and 0 not in labels:
        warnings.append("there are no normal test images, so image AUROC is undefined")
    if labels and 1 not in labels:
        warnings.append("there are no anomalous test images, so image AUROC and pixel measures are undefined")
    unknown = sum(sample.mask is None for sample in category.test if sample.label)
    if unknown and expects_truth:
        consequence = ", so pixel measures are undefined" if unknown == sum(labels) else ""
        warnings.append(f"{unknown} of {sum(labels)} anomalous test images have no ground truth{consequence}")
    twins = [same for same in by_stem([sample.image for sample in category.train]).values() if same[1:]]
    twins = [same for same in twins if len({path.parent for path in same}) < len(same)]
    if twins:
        names = " and ".join(path.name for path in twins[0])
        warnings.append(
            f"{counted(len(twins), 'train image', 'come')} in several files ({names}); each file counts as an image"
        )
    return warnings


def _warnings_of_copies(category: Category) -> list[str]:
    """Warn of test images that are train images, too; only files of equal size are read."""
    train, test = (
        {sample.image: sample.image.stat().st_size for sample in samples}
        for samples in ((*category.train, *category.validation), category.test)
    )
    shared = {*train.values()} & {*test.values()}
    alike = [path for path, size in (*train.items(), *test.items()) if size in shared]
    digests = dict(zip(alike, digests_of(alike), strict=True))
    known = {digests[path]: path for path in reversed(train) if path in digests}
    copies = [path for path in test if digests.get(path) in known]
    if not copies:
        return []
    return [
        f"{len(copies)} of {counted(len(test), 'test image', 'have')} the content of a train image (the first is "
        f"{_short(copies[0])}, a copy of {_short(known[digests[copies[0]]])}), so that measures are too good"
    ]


def _warnings_of_masks(samples: Sequence[Sample], found: Sequence[Found]) -> list[str]:
    masks = [(sample.mask, each) for sample, each in zip(samples, found, strict=True) if sample.mask]
    from_alpha = [path for path, each in masks if each.from_alpha]
    empty = [path for path, each in masks if each.share == 0]
    large = [(each.share or 0, path) for path, each in masks if (each.share or 0) > 0.5]
    warnings = []
    if from_alpha:
        warnings.append(
            f"the regions of {len(from_alpha)} of {len(masks)} masks are read from the alpha channel, as their colours "
            f"are constant (the first is {_short(from_alpha[0])})"
        )
    if empty:
        warnings.append(
            f"{len(empty)} of {len(masks)} masks have no anomalous pixel (the first is {_short(empty[0])})"
        )
    if large:
        share, path = max(large)
        warnings.append(
            f"{len(large)} of {len(masks)} masks mark more than half of the image as anomalous (the largest: "
            f"{100 * share:.0f} % in {_short(path)}); are they inverted?"
        )
    return warnings


def _short(path: Path) -> str:
    return "/".join(path.parts[-2:])


def _warnings_of_images(category: Category, samples: Sequence[Sample], found: Sequence[Found]) -> list[str]:
    pairs = [(sample.image, each.header) for sample, each in zip(samples, found, strict=True) if each.header]
    large = [path for path, header in pairs if header.size[0] * header.size[1] > LARGE]
    grey = _grey(samples, found)
    colour = [path for path, header in pairs if header.is_deep_colour]
    warnings = []
    if large:
        warnings.append(
            f"{counted(len(large), 'image', 'have')} more than {LARGE} pixels (the first is {_short(large[0])}), which "
            "costs memory and time; make the files smaller, as each is resized to method.training.image_size"
        )
    if category.bit_depth is not None and not grey:
        warnings.append(
            f"dataset.bit_depth={category.bit_depth} changes nothing, as no image has 16-bit grey values"
        )
    highest, count = _highest(grey if category.bit_depth is None else [], 2**MOST_BITS)
    if count and highest < 2**MOST_BITS:
        bits = max(8, highest.bit_length())
        warnings.append(
            f"the 16-bit images reach only {highest} of 65535 (in {count} of {len(grey)}), so that "
            f"{round(highest / 257) + 1} of 256 grey levels are left; dataset.bit_depth={bits} uses the {bits} bits of "
            "the camera"
        )
    highest, count = _highest(colour, 2 ** (MOST_BITS - 8))
    if count and highest < 2 ** (MOST_BITS - 8):
        warnings.append(
            f"the 16-bit colours reach only {highest + 1} of 256 levels (in {count} of {len(colour)}), as their upper "
            "8 bits are read; save them as 8-bit images"
        )
    return warnings


def _grey(samples: Sequence[Sample], found: Sequence[Found]) -> list[Path]:
    """Return the images of 16-bit grey values."""
    pairs = zip(samples, found, strict=True)
    return [sample.image for sample, each in pairs if each.header and each.header.mode.startswith("I")]


def _highest(paths: Sequence[Path], enough: int) -> tuple[int, int]:
    """Return the largest value of some images spread over all, and how many were read until it was enough."""
    chosen = paths[:: max(1, -(-len(paths) // LOOKED_AT))]
    highest = count = 0
    for path in chosen:
        highest, count = max(highest, largest_value(path)), count + 1
        if highest >= enough:
            break
    return highest, count
