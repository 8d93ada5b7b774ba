"""Finds the files that belong to images by their names, and collects what is missing."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from datasets.errors import DatasetError
from datasets.names import looks_normal

T = TypeVar("T")


class Faults:
    """Faults of several steps, reported as one error."""

    def __init__(self) -> None:
        self._faults: list[str] = []

    def collect(self, step: Callable[..., Sequence[T]], *arguments: object) -> tuple[T, ...]:
        """Return what a step returns; nothing, if it raises a DatasetError, whose faults are kept."""
        try:
            return tuple(step(*arguments))
        except DatasetError as error:
            self._faults += error.faults
            return ()

    def refuse(self) -> None:
        """Raise a DatasetError with all faults, if there is one."""
        if self._faults:
            raise DatasetError(*self._faults)


def by_stem(files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return {name without suffix: files}."""
    found: dict[str, list[Path]] = {}
    for path in files:
        found.setdefault(path.stem, []).append(path)
    return found


def match(
    images: Sequence[Path],
    files: Sequence[Path],
    folder: Path,
    what: str,
    suffixes: Sequence[str] = ("",),
    expected: str = "",
    advice: str = "",
) -> list[Path | None]:
    """Return the file that belongs to each image: the one of the same name, or of the name and a suffix.

    Parameters
    ----------
    images
        The image files of one folder.
    files
        The files of the other folder.
    folder
        That folder.
    what
        What a file is, for messages: `ground truth`.
    suffixes
        What may follow the image's name.
    expected
        The suffixes and the file type that messages propose.
    advice
        What to do if there is none; empty: a missing file is None.

    Raises
    ------
    DatasetError
        If a file is missing and there is advice; if two files would belong to one image, or one to two images.
    """
    known, faults, missing = by_stem(files), [], []
    found: list[Path | None] = []
    for same in by_stem(images).values():
        if len(same) > 1:
            parts = 1 if len({path.parent for path in same}) == 1 else 2
            names = " and ".join("/".join(path.parts[-parts:]) for path in same)
            faults.append(
                f"{same[0].parents[parts - 1]}: {names} would have the same {what}; expected images of different names"
            )
    for image in images:
        own = [path for suffix in suffixes for path in known.get(image.stem + suffix, ())]
        if len(own) > 1:
            names = " and ".join(path.name for path in own)
            faults.append(f"{folder}: {names} both are the {what} of {image.name}; expected one of them")
        if not own:
            missing.append(image)
        found.append(own[0] if own else None)
    if missing and advice:
        others = f" (and that of {len(missing) - 1} more of the {len(images)} images)" if missing[1:] else ""
        names = " or ".join(f"{folder / missing[0].stem}{each}" for each in expected.split())
        faults.insert(0, f"{missing[0]}: its {what} is missing{others}; expected {names}{advice}")
    if faults:
        raise DatasetError(*faults)
    return found


def match_masks(
    images: Sequence[Path], masks: Sequence[Path], folder: Path, required: bool
) -> list[Path | None]:
    """Return the mask of each image, X.png or X_mask.png in `folder` for X.png; see `match`.

    Raises
    ------
    DatasetError
        See `match`; a mask may be missing unless it is required.
    """
    advice = ". Set dataset.require_masks=false to measure pixels without such images" if required else ""
    return match(images, masks, folder, "ground truth", ("_mask", ""), "_mask.png .png", advice)


def ask_whether_normal(kind: Path, count: int, normal_names: Sequence[str]) -> None:
    """Refuse a folder of test images without ground truth, if by its name its images are normal ones."""
    if looks_normal(kind.name):
        names = ",".join([*normal_names, kind.name])
        raise DatasetError(
            f"{kind}: found {count} images without ground truth, and a name as of normal images. Are they normal? "
            f"Then set dataset.normal_names={kind.name}, or 'dataset.normal_names=[{names}]' for several folders; if "
            "they are anomalous, expected their ground truth, or another name of the folder"
        )
