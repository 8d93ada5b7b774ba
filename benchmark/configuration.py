"""Composed configurations: their choices, their plain values, and those of each job of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from benchmark.error_messages import NO_METHOD
from benchmark.errors import BenchmarkError
from store.errors import near

COMMON = ("sweep", "results_dir", "tracking", "tables")
"""Options that all jobs of a sweep share."""


def plain_values(config: DictConfig) -> dict[str, Any]:
    """Return the configuration, without Hydra's own, as plain values."""
    return {str(key): plain_value(config, str(key)) for key in config if key != "hydra"}


def plain_value(config: DictConfig, key: str) -> Any:
    """Return an option or a group of the configuration as a plain value; None if there is none.

    Raises
    ------
    OmegaConfBaseException
        If an interpolation cannot be resolved, or a value is missing.
    """
    if key not in config:
        return None
    value = config[key]
    if not OmegaConf.is_config(value):
        return value
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True)


def choices_of(hydra: HydraConf) -> dict[str, str]:
    """Return the choice of each group, {"method": "rd", "dataset": "mvtec_ad", ...}.

    Raises
    ------
    BenchmarkError
        If no method is chosen, or one that does not exist.
    """
    choices = {str(group): str(choice) for group, choice in hydra.runtime.choices.items()}
    name, known = choices["method"], _loader().get_group_options("method")
    if name in known:
        return choices
    if name == NO_METHOD:
        raise BenchmarkError(
            f"method is missing; expected method=<name>, or several with -m; known: {', '.join(known)}"
        )
    raise BenchmarkError(
        f"method={name}: there is no such method{near(name, known)}; known: {', '.join(known)}"
    )


def compose_jobs(config: DictConfig) -> list[DictConfig]:
    """Return the configuration of each job of a sweep, as Hydra's sweeper will compose it.

    Raises
    ------
    BenchmarkError
        If another sweeper is chosen: what it will run is not known before.
    HydraException
        If the configuration of a job cannot be composed.
    """
    sweeper = str(config.hydra.sweeper._target_)
    if not sweeper.endswith(".BasicSweeper"):
        raise BenchmarkError(
            f"hydra/sweeper: found {sweeper}; expected basic, as the jobs of a sweep are checked before the first runs"
        )
    loader = _loader()
    params: Mapping[str, Any] = config.hydra.sweeper.get("params") or {}
    arguments = [*(f"{name}={value}" for name, value in params.items()), *config.hydra.overrides.task]
    overrides = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    batches = BasicSweeper.split_arguments(overrides, None)
    jobs = []
    for number, own in enumerate(job for batch in batches for job in batch):
        job = loader.load_sweep_config(config, own)
        with open_dict(job):
            job.hydra.job.id = job.hydra.job.num = number
        jobs.append(job)
    if not jobs:
        raise BenchmarkError(
            "found a sweep without jobs; expected at least one value of each option that is swept"
        )
    _check_common(jobs)
    return jobs


def _check_common(jobs: Sequence[DictConfig]) -> None:
    first, *others = [flat({key: plain_value(job, key) for key in COMMON}) for job in jobs]
    for own in others:
        for name in first:
            if own.get(name) != first[name]:
                raise BenchmarkError(
                    f"{name}: found {first[name]} and {own.get(name)} for jobs of one sweep; expected one value for all"
                )


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings by their dotted names.

    >>> flat({"method": {"training": {"epochs": 5}}, "seed": 0})
    {'method.training.epochs': 5, 'seed': 0}
    """
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            leaves |= flat(value, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = value
    return leaves


def compose_options(search_path: ConfigSearchPath, overrides: Sequence[str]) -> dict[str, Any]:
    """Return the options, {dotted name: value}, that overrides alone give."""
    config = ConfigLoaderImpl(search_path).load_configuration("config", list(overrides), RunMode.RUN)
    return flat(plain_values(config))


def read_with_hydra(config: DictConfig) -> tuple[dict[str, str], dict[str, Any]]:
    """Return choices and plain values of a composed configuration, in which `${hydra:...}` may occur."""
    HydraConfig.instance().set_config(config)
    return choices_of(config.hydra), plain_values(config)


def _loader() -> ConfigLoader:
    return GlobalHydra.instance().config_loader()
