"""The command line before Hydra reads it: flags first, then overrides, with a name for the sweep."""

import re
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from hydra._internal.utils import get_args_parser
from hydra.conf import HydraConf

from benchmark.errors import BenchmarkError
from store.errors import near
from store.passwords import hide_password


@dataclass(frozen=True)
class CommandLine:
    """The arguments of the command.

    Attributes
    ----------
    flags
        Hydra's flags, each with its value in one argument.
    overrides
        The arguments that change the configuration, without passwords; one of them names the sweep.
    config_dir
        The folder of `--config-dir`, in which a user's own methods may lie; None: there is none.
    source
        The file of `--from`, see `benchmark.recorded_config`; None: there is none.
    """

    flags: tuple[str, ...]
    overrides: tuple[str, ...]
    config_dir: Path | None
    source: Path | None = None

    @property
    def arguments(self) -> list[str]:
        """The arguments in the order that Hydra wants."""
        return [*self.flags, *self.overrides]

    @property
    def again(self) -> str:
        """The command that resumes the sweep: cells that have finished are not run again."""
        kept = [each for each in self.overrides if not each.lstrip("+").startswith("jobs.force=")]
        return shlex.join(["python", "run_benchmark.py", *self.flags, *kept])


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read the arguments of the command, flags and overrides in any order.

    Raises
    ------
    BenchmarkError
        If a flag is unknown or lacks its value.
    """
    parser = get_args_parser()
    source = parser.add_argument("--from", help="config.yaml of a recorded cell, whose options are taken")
    parser.error = _refuse  # type: ignore[method-assign]
    parsed, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        known = sorted(name for action in parser._actions for name in action.option_strings if name[1] == "-")
        _refuse(f"{unknown[0]}: there is no such flag{near(unknown[0], known)}")
    flags = []
    for action in parser._actions:
        value = getattr(parsed, action.dest, None)
        if not action.option_strings or value in (None, False):
            continue
        name = next(option for option in action.option_strings if option.startswith("--"))
        if value == "":
            _refuse(f"{name}=: the value is empty (a shell variable that is not set?)")
        if action is source:
            continue
        flags.append(name if value is True else f"{name}={value}")
    overrides = [hide_password(override) for override in parsed.overrides]
    if not any(override.lstrip("+").startswith("sweep=") for override in overrides):
        overrides.insert(0, f"sweep={datetime.now():%Y-%m-%d_%H-%M-%S}-{secrets.token_hex(2)}")
    folder, file = parsed.config_dir, getattr(parsed, source.dest)
    return CommandLine(
        tuple(flags),
        tuple(overrides),
        Path(folder).resolve() if folder else None,
        Path(file) if file else None,
    )


def _refuse(message: str) -> NoReturn:
    raise BenchmarkError(f"{message}; see python run_benchmark.py --hydra-help")


def command_of(hydra: HydraConf, categories: Sequence[str]) -> str:
    """Return the command for some categories of a job, with the overrides of the job that decide their numbers.

    Parameters
    ----------
    hydra
        Hydra's part of the job's configuration.
    """
    folders = [source.path for source in hydra.runtime.config_sources if source.provider == "command-line"]
    kept = [each for each in hydra.overrides.task if not each.lstrip("+").startswith(_NOT_OF_A_CELL)]
    chosen = ",".join(map(quoted, categories))
    flags = [f"--config-dir={folder}" for folder in folders]
    return shlex.join(["python", "run_benchmark.py", *flags, *kept, f"dataset.categories=[{chosen}]"])


_NO_TEXT = ("null", "true", "false", "nan", "inf")
_NOT_OF_A_CELL = ("sweep=", "jobs.", "dataset.categories=", "results_dir=", "tracking.", "tables=")


def literal(value: Any) -> str:
    """Return a plain value as the value of an override.

    >>> literal(None), literal(True), literal(1e-05), literal("a,b"), literal([1, "x"]), literal({"k": [0.5]})
    ('null', 'true', '1e-05', "'a,b'", '[1,x]', '{k:[0.5]}')
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(literal, value))}]"
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{literal(item)}' for key, item in value.items())}}}"
    return quoted(value) if isinstance(value, str) else repr(value)


def quoted(name: str) -> str:
    """Return a name as the value of an override, in quotes if Hydra would read something else.

    >>> quoted("bottle"), quoted("a,b"), quoted("it's"), quoted("1e3")
    ('bottle', "'a,b'", "'it\\\\'s'", "'1e3'")
    """
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name) and name.lower() not in _NO_TEXT:
        return name
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + found[2].replace("'", "\\'"), name)
    return f"'{escaped}'".replace("${", "\\${")
