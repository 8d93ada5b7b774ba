"""The options at the top of the configuration, and where an option that is sought elsewhere stands."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from benchmark.errors import BenchmarkError
from benchmark.settings.values import UnknownOptionError, check_group
from store.errors import near

GROUPS = ("runtime", "evaluation", "tracking", "backbone", "method", "protocol", "dataset", "jobs")
VALUES = ("seed", "sweep", "tables", "results_dir")
"""The groups and the values of conf/config.yaml."""


def check_groups(options: Collection[str]) -> None:
    """Refuse a configuration with other options at its top than those of conf/config.yaml, or without one of them.

    Parameters
    ----------
    options
        Their names, or the configuration itself, of which the groups must be groups.

    Raises
    ------
    BenchmarkError
        Naming the option.
    """
    known = (*GROUPS, *VALUES)
    values = options if isinstance(options, Mapping) else {}
    for name in options:
        if name not in known:
            sought = next(_paths({name: values.get(name)}, deepest=True))
            others = {key: value for key, value in values.items() if key != name}
            hint = did_you_mean(sought, name, known, others)
            raise BenchmarkError(f"{sought}: there is no such option{hint}; known: {', '.join(known)}")
    for name in known:
        if name not in options:
            raise BenchmarkError(f"{name} is missing; known: {', '.join(known)}")
    for name in values:
        if name in GROUPS:
            check_group(name, values[name])


@contextmanager
def hints_from(options: Mapping[str, object]) -> Iterator[None]:
    """Let the message about an option that does not exist say where one of its name stands in the configuration."""
    try:
        yield
    except UnknownOptionError as error:
        name = f"{error.path}.{error.name}"
        hint = did_you_mean(name, error.name, error.known, options)
        raise UnknownOptionError(error.path, error.name, error.known, hint) from None


def elsewhere(name: str, options: Mapping[str, object]) -> list[str]:
    """Return where an option stands that was sought in another group.

    They are those that have as many of the last parts of the name as possible.

    Parameters
    ----------
    name
        The name with dots, as in `trainer.features.disk_gb`.
    options
        The configuration.

    Examples
    --------
    >>> options = {"runtime": {"threads": 1, "features": {"disk_gb": 1}}, "cache": {"disk_gb": 2}}
    >>> elsewhere("trainer.features.disk_gb", options), elsewhere("threads", options)
    (['runtime.features.disk_gb'], ['runtime.threads'])
    >>> elsewhere("trainer.disk_gb", options)
    ['runtime.features.disk_gb', 'cache.disk_gb']
    """
    parts = name.split(".")
    for start in range(len(parts)):
        end = ".".join(parts[start:])
        found = [path for path in _paths(options) if path == end or path.endswith(f".{end}")]
        if found := [path for path in found if path != name]:
            return found
    return []


def did_you_mean(name: str, key: str, known: Collection[str], options: Mapping[str, object]) -> str:
    """Return the hint for an unknown option, or an empty string.

    Parameters
    ----------
    name
        The name with dots.
    key
        The part of it that is unknown.
    known
        The names that could stand in its place. If none is a close match, the hint is where an option of that name
        stands in `options`.
    """
    typo = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
    found = typo or elsewhere(name, options)
    return f" (did you mean {' or '.join(map(repr, found))}?)" if found else near(key, known)


def _paths(options: Mapping[str, object], deepest: bool = False, prefix: str = "") -> Iterator[str]:
    """Yield the names of all options with dots; of groups as well, unless `deepest`."""
    for key, value in options.items():
        inside = value if isinstance(value, Mapping) else {}
        if not (deepest and inside):
            yield f"{prefix}{key}"
        yield from _paths(inside, deepest, f"{prefix}{key}.")
