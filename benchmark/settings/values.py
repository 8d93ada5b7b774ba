"""Configured values as typed Python values: one of the wrong kind is refused before any work starts."""

import inspect
import pkgutil
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from benchmark.errors import BenchmarkError
from store.errors import near

T = TypeVar("T")


def at_least_one(path: str, **values: int | None) -> None:
    """Refuse numbers below 1; None is a number that is not set."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise BenchmarkError(f"{path}.{name}={value}: expected 1 or more")


def one_of(path: str, values: Collection[str], known: Collection[str]) -> None:
    """Refuse a value that is not among the known ones."""
    for value in values:
        if value not in known:
            raise BenchmarkError(f"{path}: found '{value}'{near(value, known)}; expected {', '.join(known)}")


def build(path: str, values: Mapping[str, Any], **given: Any) -> Any:
    """Call what `_target_` names with the other values, each checked against its type hint.

    Parameters
    ----------
    path
        Name of the values in the configuration, for messages: `method`, `dataset`.
    values
        `_target_` and the arguments.
    given
        Further arguments that do not come from the configuration.

    Raises
    ------
    BenchmarkError
        If the target cannot be imported, or an argument is unknown, missing or of the wrong type.
    """
    factory = target_of(path, values)
    return typed(factory, {key: value for key, value in values.items() if key != "_target_"}, path, **given)


def target_of(path: str, values: Mapping[str, Any]) -> Any:
    """Import what `_target_` names; see `build`."""
    target = values.get("_target_")
    if not isinstance(target, str):
        raise BenchmarkError(f"{path}._target_ is missing: it names the class, as module.Class")
    try:
        return pkgutil.resolve_name(target)
    except Exception as error:  # whatever the import of a user's module raises
        raise BenchmarkError(f"{path}._target_={target}: cannot be imported ({error})") from error


def typed(factory: Callable[..., T], values: Mapping[str, Any], path: str, **given: Any) -> T:
    """Call a class or function with configured values, each checked against its type hint."""
    parameters = inspect.signature(factory).parameters
    hints = get_type_hints(getattr(factory, "__init__") if isinstance(factory, type) else factory)
    accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    known = [name for name in parameters if name not in given]
    for name in values:
        if name not in known and not accepts_any:
            raise BenchmarkError(
                f"{path}.{name}: there is no such option{near(name, known)}; known: {', '.join(known)}"
            )
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and name not in values
        and name not in given
        and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if missing:
        raise BenchmarkError(f"{path}.{missing[0]} is missing; known: {', '.join(known)}")
    checked = {name: convert(value, hints.get(name, Any), f"{path}.{name}") for name, value in values.items()}
    return factory(**checked, **given)


def convert(value: Any, hint: Any, path: str) -> Any:
    """Return the value as the type that the hint names, or refuse it; unknown kinds of hints accept anything."""
    if _matches(value, hint):
        if get_origin(hint) in (Union, types.UnionType):
            return convert(value, next(item for item in get_args(hint) if _matches(value, item)), path)
        if hint is float:
            return float(value)
        if hint is Path:
            return Path(value).expanduser()
        if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
            return typed(hint, value, path)
        return value
    raise BenchmarkError(f"{path}={value}: expected {_describe(hint)}")


def _matches(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str | Path)
    if (isinstance(hint, type) and hasattr(hint, "__dataclass_fields__")) or origin is Mapping:
        return isinstance(value, Mapping)
    if origin in (Sequence, list, tuple):
        return isinstance(value, list | tuple) and all(
            _matches(item, arguments[0]) for item in value if arguments and arguments[0] is not Ellipsis
        )
    return True


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin in (Sequence, list, tuple):
        return f"a list, each item {_describe(arguments[0])}"
    names = {
        bool: "true, false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        type(None): "null",
    }
    return names.get(hint, "a group of options")
