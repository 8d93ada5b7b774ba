"""Configured values as typed Python values: one of the wrong kind is refused before any work starts."""

import inspect
import math
import pkgutil
import types
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from benchmark.errors import BenchmarkError
from methods.ranges import Range
from store.errors import near

T = TypeVar("T")

LONGEST = 120
"""Characters of a value that a message shows."""


class UnknownOptionError(BenchmarkError):
    """An option that does not exist.

    Attributes
    ----------
    path, name
        The group and the option.
    known
        The options of the group.
    """

    def __init__(self, path: str, name: str, known: Collection[str], hint: str | None = None) -> None:
        names = f"; known: {', '.join(known)}" if known else ""
        hint = near(name, known) if hint is None else hint
        super().__init__(f"{path}.{name}: there is no such option{hint}{names}")
        self.path, self.name, self.known = path, name, known


def one_of(path: str, values: Collection[str], known: Collection[str]) -> None:
    """Refuse a value that is not among the known ones, or comes twice."""
    for value, count in Counter(values).items():
        if value not in known:
            raise BenchmarkError(
                f"{path}: found '{shown(value)}'{near(value, known)}; expected {', '.join(known)}"
            )
        if count > 1:
            raise BenchmarkError(f"{path}: found '{value}' {count} times; expected each once")


def build(path: str, values: Mapping[str, Any], kind: type = object, **given: Any) -> Any:
    """Call what `_target_` names with the other values, each checked against its type hint.

    Parameters
    ----------
    path
        Name of the values in the configuration, for messages: `method`, `dataset`.
    values
        `_target_` and the arguments.
    kind
        The class of which the result must be.
    given
        Further arguments that do not come from the configuration.

    Raises
    ------
    BenchmarkError
        If the target cannot be imported, or builds something else, or an argument is unknown, missing or of the
        wrong type.
    """
    factory = target_of(path, values)
    if isinstance(factory, type) and not issubclass(factory, kind):
        raise BenchmarkError(
            f"{path}._target_={values['_target_']}: expected a subclass of {kind.__module__}.{kind.__name__}"
        )
    return typed(factory, {key: value for key, value in values.items() if key != "_target_"}, path, **given)


def target_of(path: str, values: Mapping[str, Any]) -> Any:
    """Import what `_target_` names, a class or function; see `build`."""
    check_group(path, values)
    target = values.get("_target_")
    if not isinstance(target, str):
        raise BenchmarkError(f"{path}._target_ is missing: it names the class, as module.Class")
    try:
        found = pkgutil.resolve_name(target)
    except Exception as error:  # whatever the import of a user's module raises
        raise BenchmarkError(f"{path}._target_={shown(target)}: cannot be imported ({error})") from error
    if not isinstance(found, type | types.FunctionType):
        raise BenchmarkError(f"{path}._target_={target}: expected a class")
    return found


def check_group(path: str, values: object) -> None:
    """Refuse anything but a group of options, such as the null of `runtime=null`."""
    if not isinstance(values, Mapping):
        raise BenchmarkError(f"{path}={shown(values)}: expected a group of options")


def typed(factory: Callable[..., T], values: Mapping[str, Any], path: str, **given: Any) -> T:
    """Call a class or function with configured values, each checked against its type hint.

    A hint may declare a range: ``Annotated[float, Range(above=0)]``.

    Raises
    ------
    BenchmarkError
        If an argument is unknown, missing, of the wrong type or out of range.
    """
    check_group(path, values)
    parameters, hints = _parameters_of(factory, path)
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {
        name: p
        for name, p in parameters.items()
        if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) and name not in given
    }
    for name in values:
        if name not in named and not (accepts_any and isinstance(name, str)):
            raise UnknownOptionError(path, shown(name), list(named))
    missing = [name for name, p in named.items() if p.default is p.empty and name not in values]
    if missing:
        raise BenchmarkError(f"{path}.{missing[0]} is missing; known: {', '.join(named)}")
    checked = {name: convert(value, hints.get(name, Any), f"{path}.{name}") for name, value in values.items()}
    return factory(**checked, **given)


def _parameters_of(
    factory: Callable[..., Any], path: str
) -> tuple[Mapping[str, inspect.Parameter], dict[str, Any]]:
    """Return the parameters of a class or function, and their type hints."""
    called = getattr(factory, "__init__") if isinstance(factory, type) else factory
    try:
        return inspect.signature(factory).parameters, get_type_hints(called, include_extras=True)
    except ValueError:  # classes written in C
        raise BenchmarkError(f"{path}._target_: {factory} does not say which options it has") from None
    except NameError as error:  # a name that only type checkers import
        raise BenchmarkError(
            f"{path}._target_: the type hints of {factory} cannot be read ({error}); import what they name"
        ) from None


def convert(value: Any, hint: Any, path: str) -> Any:
    """Return the value as the type that the hint names, or refuse it; unknown kinds of hints accept anything.

    NaN and infinity are no numbers, nor are booleans; text and paths are not empty.
    """
    if not _matches(value, hint):
        raise BenchmarkError(f"{path}={shown(value)}: expected {_describe(hint)}{_remark(value, hint)}")
    if get_origin(hint) in (Union, types.UnionType):
        return convert(value, next(item for item in _alternatives(hint) if _matches(value, item)), path)
    if get_origin(hint) is Annotated:
        return convert(value, get_args(hint)[0], path)
    if hint is float:
        return float(value)
    if hint is Path:
        return _expanded(Path(value), path)
    if _is_dataclass(hint):
        return typed(hint, value, path)
    return value


def _expanded(value: Path, path: str) -> Path:
    try:
        return value.expanduser()
    except RuntimeError:
        raise BenchmarkError(f"{path}={value}: there is no such home folder") from None


def shown(value: object) -> str:
    """Return a value as one line, written as in YAML, for a message.

    >>> shown(None), shown(True), shown("a\\nb")
    ('null', 'true', 'a\\\\nb')
    """
    names: dict[object, str] = {None: "null", True: "true", False: "false"}
    text = names[value] if value is None or isinstance(value, bool) else str(value)
    line = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}..."


def _matches(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        ranges = [item for item in arguments[1:] if isinstance(item, Range)]
        return _matches(value, arguments[0]) and all(value in accepted for accepted in ranges)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_matches(value, item) for item in _alternatives(hint))
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return _is_number(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, bool)
    if hint is str:
        return _is_text(value)
    if hint is Path:
        return isinstance(value, Path) or (_is_text(value) and not any(ord(c) < 32 for c in value))
    if _is_dataclass(hint) or origin is Mapping:
        return isinstance(value, Mapping) and all(isinstance(name, str) for name in value)
    if origin in (Sequence, list, tuple):
        return isinstance(value, list | tuple) and _items_match(value, origin, arguments)
    return True


def _alternatives(union: Any) -> Sequence[Any]:
    """Return the members of a union that a configuration can express: of `float | Tensor`, float."""
    members = get_args(union)
    return [item for item in members if not isinstance(item, type) or _is_plain(item)] or members


def _is_plain(hint: type) -> bool:
    return hint in (bool, int, float, str, Path, type(None), dict, list, tuple) or _is_dataclass(hint)


def _items_match(value: Sequence[Any], origin: Any, arguments: tuple[Any, ...]) -> bool:
    if origin is tuple and Ellipsis not in arguments:
        return len(value) == len(arguments) and all(map(_matches, value, arguments))
    return all(_matches(item, arguments[0]) for item in value)


def _is_dataclass(hint: Any) -> bool:
    return isinstance(hint, type) and hasattr(hint, "__dataclass_fields__")


def _is_number(value: object) -> bool:
    """Tell whether a value is a finite number; a whole number may be too large to be one."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return ", ".join([_describe(arguments[0]), *(str(item) for item in arguments[1:])])
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        described = [_describe(item) for item in _alternatives(hint)]
        return (", or " if "," in described[0] else " or ").join(described)
    if origin is tuple and Ellipsis not in arguments:
        return f"a list of {len(arguments)}, each item {_describe(arguments[0])}"
    if origin in (Sequence, list, tuple):
        return f"a list, each item {_describe(arguments[0])}"
    if _is_dataclass(hint) or origin is Mapping:
        return "a group of options"
    names = {
        bool: "true, false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        type(None): "null",
    }
    return names.get(hint, str(hint))


def _remark(value: object, hint: Any) -> str:
    """Return why a value may have become what it is, or an empty string."""
    if value == "":
        return "; the value is empty (a shell variable that is not set?)"
    if isinstance(value, str) and hint is not str:
        try:
            number = float(value)
        except ValueError:
            return ""
        return (
            f"; this is text, the number would be {number!r} without quotes" if math.isfinite(number) else ""
        )
    return ""
