"""Keys of all kept data: a hash of the inputs, of the code that makes the data, and of library versions."""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence

from store.code import Maker, module_name, reach


def make_key(*makers: Maker, **parts: object) -> str:
    """Return the key of kept data: equal keys mean equal content.

    It depends on the parts, on the makers' names, on the code of every module that the makers' modules reach
    by imports (comments, docstrings and layout aside), and on the versions of the libraries that this code
    imports.

    Parameters
    ----------
    makers
        Functions, classes or partial functions that make the data. A class brings the modules of its bases.
    parts
        All inputs that determine the content: numbers, strings, None, and sequences, mappings and
        dataclasses of such. Name files by the digests of their contents.

    Returns
    -------
    32 hexadecimal digits.

    Raises
    ------
    TypeError
        If a part is of another type, such as a path, or a maker is neither a function nor a class.
    StoreError
        If the code of a maker is in no file (defined in a notebook or a shell), or cannot be parsed.
    """
    code = reach(makers)
    content = {
        "makers": [_plain(_describe(maker), "maker") for maker in makers],
        "parts": _plain(parts, ""),
        "code": code.modules,
        "versions": code.versions,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def code_of(*makers: Maker) -> dict[str, str]:
    """Return {module: digest of its code} for the modules that count in a key with these makers."""
    return dict(sorted(reach(makers).modules.items()))


def versions_of(*makers: Maker) -> dict[str, str]:
    """Return {top-level import name: version} for the libraries that count in a key with these makers."""
    return reach(makers).versions


def _plain(value: object, where: str) -> object:
    """Convert a part to the types of JSON; `where` is its position among the parts, for messages."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(
                    f"part {where or 'names'} of a key: found {key!r} as a name; expected a string"
                )
        return {key: _plain(item, f"{where}.{key}" if where else key) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise TypeError(
        f"part {where} of a key: found {value!r} of type {type(value).__name__}; expected a number, a string, None, "
        "or a sequence, mapping or dataclass of these (a file counts by the digest of its content)"
    )


def _describe(maker: Maker) -> list[object]:
    """Return a maker's name, and the arguments that a partial function holds."""
    if isinstance(maker, functools.partial):
        return [*_describe(maker.func), maker.args, maker.keywords]
    return [f"{module_name(maker.__module__)}.{maker.__qualname__}"]
