"""Names of parameters and metrics as MLflow takes them: other characters are escaped, and read back as they were.

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
    if len(text) <= LENGTH:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()[:16]
    return f"{text[: LENGTH - 20].rstrip('/.')}...{digest}"


def original(name: str) -> str:
    """Return the name that `storable` has escaped."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), name)


def originals(values: Mapping[str, T]) -> dict[str, T]:
    """Return {name: value} by their names as they were."""
    return {original(name): value for name, value in values.items()}


def _escape(match: re.Match[str]) -> str:
    return f":{ord(match[0]):x}:"
