"""File names for any names."""

import hashlib
import re

LENGTH = 80


def slug(*parts: str) -> str:
    """Return names as one file name of letters, digits, `_` and `-`; names that differ never become the same.

    Examples
    --------
    >>> slug("curves", "metal_nut")
    'curves-metal_nut'
    >>> slug("../A b")
    'A_b-e3f8e011'
    """
    name = "-".join(parts)
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:LENGTH].strip("_")
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
