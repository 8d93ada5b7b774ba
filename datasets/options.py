"""Values of a dataset's options: checked where they are read, before any file is."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets.errors import DatasetError, is_control
from datasets.listing import is_folder
from datasets.names import shortened
from store.errors import near

LARGEST_VALUE = 65535
"""The largest value of a mask's pixel."""

BIT_DEPTHS = range(8, 17)


def root_folder(root: str | Path | None, advice: str = "") -> Path:
    """Return `dataset.root`; `~` is the home folder; advice names another option.

    Raises
    ------
    DatasetError
        If it is not set, or cannot be a path.
    """
    if not root:
        raise DatasetError(f"dataset.root is not set: give the folder that holds the categories{advice}")
    return folder_of("dataset.root", root)


def folder_of(option: str, folder: str | Path) -> Path:
    """Return the value of an option as a path; `~` is the home folder.

    Raises
    ------
    DatasetError
        If it cannot be a path.
    """
    if any(map(is_control, str(folder))):
        raise DatasetError(
            f"{option}={folder}: found a control character or a byte that is not UTF-8 in the path"
        )
    try:
        return Path(folder).expanduser()
    except RuntimeError:
        raise DatasetError(
            f"{option}={folder}: there is no such user; expected the path of a folder"
        ) from None


def check_folder(option: str, folder: Path, advice: str = "") -> None:
    """Refuse the value of an option that is no folder; advice says where to get it."""
    if is_folder(folder):
        return
    if folder.exists():
        raise DatasetError(f"{option}={folder}: this is a file; expected a folder (unpack an archive first)")
    raise DatasetError(f"{option}={folder}: there is no such folder{advice}")


def fraction_of(option: str, value: float) -> float:
    """Return a share of the images; refuse what is not 0 to below 1."""
    if 0 <= value < 1:
        return value
    raise DatasetError(f"{option}={value:g}; expected 0, or a fraction below 1")


def bit_depth_of(bit_depth: int | None) -> int | None:
    """Return `dataset.bit_depth`; refuse what is not null or 8 to 16."""
    if bit_depth is None or (type(bit_depth) is int and bit_depth in BIT_DEPTHS):
        return bit_depth
    raise DatasetError(
        f"dataset.bit_depth={bit_depth}; expected null (16-bit files use all 16 bits), or {BIT_DEPTHS[0]} to "
        f"{BIT_DEPTHS[-1]}"
    )


def thresholds_of(mask_threshold: object, known: Sequence[str]) -> dict[str, float | None]:
    """Return {category: threshold} of `dataset.mask_threshold`: one for all, or one for each that is named.

    Raises
    ------
    DatasetError
        If a threshold is out of range or a category unknown.
    """
    if not isinstance(mask_threshold, Mapping):
        return dict.fromkeys(known, _threshold("dataset.mask_threshold", mask_threshold))
    named = {str(name): value for name, value in mask_threshold.items()}
    for name in named:
        if name not in known:
            raise DatasetError(
                f"dataset.mask_threshold: found the unknown category '{name}'{near(name, known)}; expected one of "
                f"{shortened(known)}"
            )
    return {name: _threshold(f"dataset.mask_threshold.{name}", named.get(name)) for name in known}


def _threshold(option: str, value: object) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LARGEST_VALUE:
        raise DatasetError(
            f"{option}={value}; expected null, a number from 0 to {LARGEST_VALUE}, or {{category: number}}"
        )
    return value
