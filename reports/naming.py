"""File names for any names."""

import hashlib
import re

LENGTH = 80


def slug(*parts: str) -> str:
    """Return names as one file name of lower-case letters, digits, `_` and `-`.

    Different names never give the same file name, not even on disks that ignore case.

    Examples
    --------
    >>> slug("curves", "metal_nut")
    'curves-metal_nut'
    >>> slug("../A b")
    'a_b-e3f8e011'
    """
    name = "-".join(parts)
    plain = re.sub(r"[^a-z0-9_-]+", "_", name.lower())[:LENGTH].strip("_-")
    if plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
