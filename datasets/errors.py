"""The errors of this package."""

import unicodedata

SHOWN = 5
"""How many faults a message lists before it only counts the others."""


class DatasetError(ValueError):
    r"""Data on disk, or a dataset option, that cannot be used; several faults can be reported together.

    The message names the file or the option at fault, what was found and what is expected. It is one line that any
    terminal can print: what a name holds of control characters and bytes that are not UTF-8 is escaped.

    Attributes
    ----------
    faults
        All faults; the message lists the first five.

    >>> print(DatasetError("a\nb.png: missing", "c.png: missing"))
    a\nb.png: missing; c.png: missing
    """

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(_in_one_line(fault) for fault in faults)
        hidden = len(faults) - SHOWN
        super().__init__("; ".join([*self.faults[:SHOWN], *([f"and {hidden} more"] if hidden > 0 else [])]))


def counted(count: int, noun: str, verb: str = "") -> str:
    """Write a number with its noun, and with a verb that is given in the plural.

    >>> counted(1, "image"), counted(2, "image", "are")
    ('1 image', '2 images are')
    """
    singular = {"are": "is", "have": "has", "come": "comes"}
    plural = "" if count == 1 else "s"
    return f"{count} {noun}{plural} {singular.get(verb, verb) if count == 1 else verb}".strip()


def is_control(character: str) -> bool:
    """Return whether a character ends a line, controls a terminal, or is a byte that is not UTF-8."""
    return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


def _in_one_line(text: str) -> str:
    return text if text.isprintable() else "".join(map(_printable, text))


def _printable(character: str) -> str:
    if not is_control(character):
        return character
    if "\udc80" <= character <= "\udcff":  # how Python keeps a byte of a file name that is not UTF-8
        return f"\\x{ord(character) - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
