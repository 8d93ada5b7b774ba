"""Counts, lists and times in sentences; text in one line."""

import unicodedata
from collections.abc import Iterable, Sequence

_HISSING = ("s", "x", "z", "ch", "sh")


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun in the right form.

    Parameters
    ----------
    number
        How many.
    noun
        The noun in the singular; of several words, the last one takes the plural.
    plural
        The plural, if it is not regular.

    Examples
    --------
    >>> counted(1, "cell"), counted(2, "cell"), counted(0, "category"), counted(3, "day")
    ('1 cell', '2 cells', '0 categories', '3 days')
    """
    return f"{number} {noun if number == 1 else plural or _plural(noun)}"


def listed(items: Iterable[object], most: int | None = None) -> str:
    """Return items separated by commas; of more than `most`, the first and the number of the others.

    Examples
    --------
    >>> listed("abc"), listed("abcde", most=2)
    ('a, b, c', 'a, b and 3 more')
    """
    names = [str(item) for item in items]
    if most is None or len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def joined(items: Sequence[str]) -> str:
    """Return items as an enumeration in a sentence.

    Examples
    --------
    >>> joined(["RD"]), joined(["RD", "AST", "STFPM"])
    ('RD', 'RD, AST and STFPM')
    """
    *others, last = items
    return f"{', '.join(others)} and {last}" if others else last


def duration(seconds: float) -> str:
    """Return a time in words.

    Examples
    --------
    >>> duration(41.6), duration(190), duration(7500)
    ('42 s', '3 min', '2 h 5 min')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def one_line(text: str) -> str:
    r"""Return text in which whatever would end a line, control a terminal or cannot be UTF-8 is escaped.

    Examples
    --------
    >>> one_line("a\nb"), one_line("größe"), one_line("\udcff")
    ('a\\nb', 'größe', '\\udcff')
    """
    controls = ("Cc", "Cs", "Zl", "Zp")
    return "".join(
        each.encode("unicode_escape").decode() if unicodedata.category(each) in controls else each
        for each in text
    )


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(_HISSING) else f"{noun}s"
