"""`config.yaml`, the options of a cell as its run records them, and the overrides that give these options again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from omegaconf import OmegaConf

from benchmark.command_line import CommandLine, literal
from benchmark.configuration import compose_options, flat
from benchmark.errors import BenchmarkError

CONF = Path(__file__).resolve().parent.parent / "conf"
CHOICES = ("method", "dataset", "backbone", "protocol", "runtime", "evaluation")
"""Groups whose choices are recorded: all that decide numbers."""
OWN = ("sweep", "results_dir", "tracking", "tables", "jobs", "runtime.cache_dir")
"""Options that are not taken from the file: where a cell is kept and shown is up to the command that runs it."""
HEADER = "# All options of this cell; run it again: python run_benchmark.py --from config.yaml\n"


def recorded_config(choices: Mapping[str, str], plain: Mapping[str, Any], categories: Sequence[str]) -> str:
    """Return the content of `config.yaml`.

    Parameters
    ----------
    choices, plain
        See `benchmark.job_values.JobValues`.
    categories
        The cell's category, or all that its training needs.
    """
    chosen = {group: choices[group] for group in CHOICES}
    dataset = {**plain["dataset"], "categories": list(categories)}
    return HEADER + OmegaConf.to_yaml(OmegaConf.create({"choices": chosen, **plain, "dataset": dataset}))


def with_recorded(command: CommandLine) -> CommandLine:
    """Return a command with the options of its file `--from` as overrides, which its own overrides replace.

    Raises
    ------
    BenchmarkError
        If the file is no record of a cell, or this version cannot give all of its options.
    HydraException
        If this version lacks one of the choices.
    """
    if command.source is None:
        return command
    own = {_name(override) for override in command.overrides}
    recorded = _overrides(command.source, command.config_dir)
    kept = [override for override in recorded if _name(override) not in own]
    return replace(command, overrides=(*kept, *command.overrides), source=None)


def _name(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _overrides(path: Path, config_dir: Path | None) -> list[str]:
    """Return the overrides that give the options of a file: the choices, and what the choices do not give."""
    choices, wanted, results_dir = _read(path)
    chosen = [f"{group}={literal(name)}" for group, name in choices.items()]
    # options that follow from the results folder have the values of the cell's, unless they were set
    place = f"results_dir={literal(results_dir)}"
    given = _compose([*chosen, place], config_dir)
    added = [
        f"{'' if name in given else '++'}{name}={literal(value)}"
        for name, value in wanted.items()
        if name not in given or given[name] != value
    ]
    # Hydra cannot delete an option without a value, nor is that needed to replace it by a group
    deleted = [f"~{name}" for name, value in given.items() if name not in wanted and value is not None]
    overrides = [*chosen, *deleted, *added]
    found = _compose([*overrides, place], config_dir)
    for name in {**wanted, **found}:
        if name not in wanted and found[name] is None:  # an option without a value, newer than the file
            continue
        if (name in wanted, wanted.get(name)) != (name in found, found.get(name)):
            kept = f"holds {wanted[name]}" if name in wanted else "holds no such option"
            raise BenchmarkError(
                f"--from={path}: {name}: the file {kept}, which this version cannot be given; run the cell's command "
                "(its tag `command`) in the version that recorded it (its tag `git_commit`)"
            )
    return overrides


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any], str]:
    """Return the choices, the options by their dotted names, and the results folder of a recorded cell."""
    try:
        stored = OmegaConf.to_container(OmegaConf.load(path))
    except OSError as error:
        raise BenchmarkError(f"--from={path}: cannot be read ({error.strerror})") from None
    except Exception as error:  # any that a file of another kind leads to
        reason = " ".join(str(error).split())
        raise BenchmarkError(f"--from={path}: not a YAML file of options ({reason})") from None
    choices = stored.get("choices") if isinstance(stored, dict) else None
    if not isinstance(stored, dict) or not isinstance(choices, dict) or {*choices} != {*CHOICES}:
        raise BenchmarkError(
            f"--from={path}: found no choices of {', '.join(CHOICES)}; expected config.yaml of a cell that this "
            "version has recorded (the command in the tag `command` of a cell runs it again, too)"
        )
    options = flat({str(name): value for name, value in stored.items() if name != "choices"})
    return (
        {group: str(choices[group]) for group in CHOICES},
        {name: value for name, value in options.items() if not _is_own(name)},
        str(stored.get("results_dir")),
    )


def _compose(overrides: Sequence[str], config_dir: Path | None) -> dict[str, Any]:
    """Return the options that overrides give, by their dotted names."""
    search_path = create_config_search_path(f"file://{CONF}")
    if config_dir is not None:
        search_path.prepend("command-line", f"file://{config_dir}", SearchPathQuery(provider="schema"))
    options = compose_options(search_path, overrides)
    return {name: value for name, value in options.items() if not _is_own(name)}


def _is_own(name: str) -> bool:
    return any(name == own or name.startswith(f"{own}.") for own in OWN)
