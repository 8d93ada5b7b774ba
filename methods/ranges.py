"""Ranges of options: which numbers are accepted, and how a message says so."""

import math
from dataclasses import dataclass

from methods.errors import MethodError


@dataclass(frozen=True, kw_only=True)
class Range:
    """The numbers that an option accepts; never NaN nor infinity.

    Attributes
    ----------
    at_least, above
        Lower bound that belongs to the range, or does not.
    at_most, below
        Upper bound that belongs to the range, or does not.
    note
        What else a message should say, e.g. the unit.

    Examples
    --------
    >>> str(Range(at_least=1)), str(Range(at_least=1, at_most=8))
    ('1 or more', '1 to 8')
    >>> str(Range(above=0, at_most=1, note="a fraction"))
    'more than 0 and at most 1 (a fraction)'
    >>> 0 in Range(above=0), float("nan") in Range(), 10**400 in Range()
    (False, False, True)
    """

    at_least: float = -math.inf
    above: float = -math.inf
    at_most: float = math.inf
    below: float = math.inf
    note: str = ""

    def __contains__(self, value: float) -> bool:
        """Tell whether the option accepts the number."""
        return self.at_least <= value <= self.at_most and self.above < value < self.below

    def __str__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        if math.isfinite(self.at_least) and math.isfinite(self.at_most):
            return f"{self.at_least} to {self.at_most}{note}"
        bounds = {
            f"{self.at_least} or more": self.at_least,
            f"more than {self.above}": self.above,
            f"at most {self.at_most}": self.at_most,
            f"below {self.below}": self.below,
        }
        return " and ".join(text for text, bound in bounds.items() if math.isfinite(bound)) + note


CHANNELS = Range(at_least=1, at_most=8192)
BLOCKS = Range(at_least=0, at_most=256)
SIDE = Range(at_least=1, at_most=8192, note="pixels")
SEED = Range(at_least=0, at_most=2**32 - 1)


def check_option(name: str, value: float | None, accepted: Range, group: str = "method") -> None:
    """Refuse an option out of range; None is an option that is not set.

    Raises
    ------
    MethodError
        If the range does not contain the value.
    """
    if value is not None and value not in accepted:
        raise MethodError(f"{group}.{name}: found {value}; expected {accepted}")
