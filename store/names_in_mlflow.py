"""Names as MLflow takes them: other characters are escaped; those of parameters and metrics are read back as they were.

>>> storable("method.weights.layer1+layer2")
'method.weights.layer1:2b:layer2'
>>> original(storable("method.weights.layer1+layer2"))
'method.weights.layer1+layer2'
"""

import hashlib
import posixpath
import re
from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")

LENGTH = 250
_REFUSED = re.compile(r"[^\w.\- /]")  # colons are accepted, and escaped as they begin an escape
_ESCAPED = re.compile(r":([0-9a-f]{1,5}):")


def storable(name: str) -> str:
    """Return a name that MLflow takes; one of more than 250 characters ends with a digest of it."""
    text = _REFUSED.sub(_escape, name)
    if (
        posixpath.normpath(text) != text or text.startswith(("/", "..")) or text == "."
    ):  # names are paths, too
        text = re.sub(r"/|^\.", _escape, text)
    return _shortened(text, name)


def _shortened(text: str, name: str) -> str:
    """Return an escaped name of at most 250 characters; of a longer one the end is a digest of the name."""
    if len(text) <= LENGTH:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{text[: LENGTH - 20].rstrip('/.')}...{digest}"


def registrable(*parts: str) -> str:
    """Return the name of a registered model, different for different parts, without what MLflow or a URI refuses.

    >>> registrable("mvtec_ad", "bottle"), registrable("parts 2.0", "a/b")
    ('mvtec_ad.bottle', 'parts%202%2E0.a%2Fb')
    """
    escaped = [
        re.sub(r"[^\w-]", _percent, part.encode("utf-8", "backslashreplace").decode()) for part in parts
    ]
    return _shortened(".".join(escaped), "\0".join(parts))


def original(name: str) -> str:
    """Return the name that `storable` has escaped."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)


def originals(values: Mapping[str, T]) -> dict[str, T]:
    """Return {name: value} by their names as they were."""
    return {original(name): value for name, value in values.items()}


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _escape(match: re.Match[str]) -> str:
    return f":{ord(match[0]):x}:"
