"""File names for any names."""

import hashlib
import re

LENGTH = 80
_LIKE_A_DIGEST = re.compile(r"(^|-)[0-9a-f]{8}$")


def slug(*parts: str) -> str:
    """Return names as one file name of lower-case letters, digits, `_` and `-`, at most `LENGTH` + 9 characters.

    Different names never give the same file name, not even on disks that ignore case. The first of several names is
    the kind of thing, without a hyphen.

    Examples
    --------
    >>> slug("curves", "metal_nut")
    'curves-metal_nut'
    >>> slug("../A b")
    'a_b-e3f8e011'
    >>> slug("pairs", "a-b", "c") == slug("pairs", "a", "b-c")
    False
    """
    name = "-".join(parts)
    plain = re.sub(r"[^a-z0-9_-]+", "_", name.lower())[:LENGTH].strip("_-")
    # with hyphens of their own, three names could be divided in several ways
    is_ambiguous = len(parts) > 2 and any("-" in part for part in parts)
    if plain and plain == name and not is_ambiguous and not _LIKE_A_DIGEST.search(name):
        return plain
    content = "\0".join(parts) if is_ambiguous else name
    digest = hashlib.sha256(content.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{plain}-{digest}".lstrip("-")
