"""Names of datasets, categories, kinds and files: what is refused, and how options choose among them."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from datasets.errors import DatasetError, is_control
from store.errors import near

LONGEST = 100
"""The largest number of characters of a dataset's name."""

SHOWN = 20
"""How many of the known names a message lists."""

NORMAL = frozenset(
    {
        "good",
        "ok",
        "okay",
        "normal",
        "gut",
        "io",
        "i.o",
        "i.o.",
        "pass",
        "passed",
        "0",
        "nominal",
        "clean",
        "intact",
        "healthy",
        "flawless",
        "perfect",
        "fehlerfrei",
        "defect_free",
        "defect-free",
        "no_defect",
        "no_defects",
        "no-defect",
        "nondefective",
        "non_defective",
        "non-defective",
    }
)
"""Names that folders of normal images often have, in lower case."""


def looks_normal(folder: str) -> bool:
    """Return whether a folder's name says that its images are normal.

    >>> looks_normal("OK"), looks_normal("scratch")
    (True, False)
    """
    return folder.casefold() in NORMAL


def check_file_name(path: Path) -> Path:
    """Return a path; refuse one whose name a tag, a table or a CSV file could not hold.

    Raises
    ------
    DatasetError
        If the name is not UTF-8, or holds a newline or another control character.
    """
    if not path.name.isprintable():
        refused = next((each for each in path.name if is_control(each)), "")
        if "\ud800" <= refused <= "\udfff":
            raise DatasetError(
                f"{path}: the name is not UTF-8; expected another name (convmv -f gbk -t utf8 -r --notest FOLDER "
                "renames files from a Chinese system; give the encoding of yours)"
            )
        if refused:
            raise DatasetError(f"{path}: the name holds a control character; expected another name")
    return path


def check_category_name(name: object) -> None:
    """Refuse a category's name that cannot be that of a file, too; see `check_dataset_name`."""
    if not _is_usable(name, 255):
        raise DatasetError(
            f"category '{_shown(name)}': cannot be used as a name; expected 1 to 255 characters in one line, without /"
        )


def check_dataset_name(name: object, origin: str = "dataset.name") -> str:
    """Return a dataset's name, which tables, captions and files show.

    Parameters
    ----------
    name
        The name.
    origin
        Where it comes from, for the message.

    Raises
    ------
    DatasetError
        If it is no text of 1 to 100 characters, or holds a slash, a newline or another control character.
    """
    if not _is_usable(name, LONGEST):
        raise DatasetError(
            f"{origin}={_shown(name)}: cannot be the name of a dataset; expected dataset.name of 1 to {LONGEST} "
            "characters in one line, without /"
        )
    return str(name)


def _is_usable(name: object, longest: int) -> bool:
    return (
        isinstance(name, str)
        and 0 < len(name.strip()) <= len(name) <= longest
        and "/" not in name
        and name not in (".", "..")
        and not any(map(is_control, name))
    )


def names_of(option: str, value: object, expected: str = "one name or a list of names") -> tuple[str, ...]:
    """Return configured names as text, each once.

    Whole numbers are taken as written; YAML reads other names as numbers, booleans or null, unless they are quoted.

    Raises
    ------
    DatasetError
        If there is no name, or something else than a name; the message says `expected`.
    """
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    items = list(value) if is_list else [value]  # type: ignore[call-overload]
    for item in items:
        if isinstance(item, float | bool) or (item is None and is_list):
            raise DatasetError(
                f"{option}: found {_shown(item)}, which is no text; expected {expected}, with quotes around a name "
                f"""that reads as a number, true, false or null, as in '{option}=["1e3"]'"""
            )
        if not isinstance(item, str | int):
            raise DatasetError(f"{option}={_shown(value)}; expected {expected}")
        if item == "":
            raise DatasetError(f"{option}: found an empty name; expected {expected}")
    if not items:
        raise DatasetError(f"{option} is empty; expected {expected}")
    return tuple(dict.fromkeys(map(str, items)))


def choose(option: str, value: object, known: Sequence[str], where: str) -> tuple[str, ...]:
    """Return the chosen ones of the known names.

    Parameters
    ----------
    option
        The option, for messages.
    value
        `all`; one name; or a list of names, in which `all` is a name like others.
    known
        All names. The accents of a chosen name may be composed otherwise (macOS and Linux differ).
    where
        Where names are known from, for messages: `below /data`.

    Raises
    ------
    DatasetError
        If a name is unknown, or the value is none of these.
    """
    if value == "all":
        return tuple(known)
    composed = {unicodedata.normalize("NFC", name): name for name in known}
    found = []
    for name in names_of(option, value, f"all, or some of {shortened(known)}"):
        match = name if name in known else composed.get(unicodedata.normalize("NFC", name))
        if match is None:
            raise DatasetError(
                f"{option}: '{name}' is not {where}{_hint(option, value, known) or near(name, known)}; "
                f"found: {shortened(known)}"
            )
        found.append(match)
    return tuple(dict.fromkeys(found))


def shortened(names: Sequence[str]) -> str:
    """Join names by commas; many are counted.

    >>> shortened(["a", "b"])
    'a, b'
    """
    hidden = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {hidden} more" if hidden > 0 else "")


def _hint(option: str, value: object, known: Sequence[str]) -> str:
    """Say how to write what was probably meant."""
    if isinstance(value, str) and {part.strip() for part in value.split(",")} <= set(known):
        return f" (several names go into brackets: '{option}=[{value}]')"
    if not isinstance(value, str) and isinstance(value, Sequence) and list(value) == ["all"]:
        return f" ({option}=all, without brackets, chooses all)"
    return ""


def _shown(value: object) -> str:
    """Write a value as in YAML, cut to a readable length."""
    text = {"True": "true", "False": "false", "None": "null"}.get(str(value), str(value))
    return text if len(text) <= LONGEST else f"{text[:40]}... ({len(text)} characters)"
