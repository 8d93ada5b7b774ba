"""The values that a protocol gives to all options, to know which of them a command has changed."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.hydra_config import HydraConfig

from benchmark.configuration import compose_options, flat
from benchmark.settings.dataset import TrainingSet
from benchmark.settings.training import HOLD_OUT
from datasets.pooled import pool_name
from store.tags import POOL, PROTOCOL_VALUE

CHOICES = ("method", "dataset", "protocol")
NOT_RECORDED = ("sweep", "results_dir", "jobs", "tables")  # no result depends on them


def protocol_options() -> dict[str, Any]:
    """Return the options, {dotted name: value}, that method, dataset and protocol of this job give by themselves."""
    runtime = HydraConfig.get().runtime
    search_path = ConfigSearchPathImpl()
    for source in runtime.config_sources:
        search_path.append(source.provider, f"{source.schema}://{source.path}")
    overrides = [f"{group}={runtime.choices[group]}" for group in CHOICES]
    return compose_options(search_path, overrides)


def recorded_options(
    plain: Mapping[str, Any], has_validation: bool = False, pooled: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the options by their dotted names, and the protocol's values of those that were changed.

    Parameters
    ----------
    plain
        The options of a job.
    has_validation
        See `datasets.dataset.Dataset`: if so, how train images would be held out is no option of the job.
    pooled
        The categories for all of which one model is trained; they tell it from models for others.
    """
    options = flat({key: value for key, value in plain.items() if key not in NOT_RECORDED})
    if has_validation:
        for name in HOLD_OUT:
            options.pop(f"method.training.{name}", None)
    for name, usual in asdict(TrainingSet()).items():
        if options.get(f"dataset.{name}") == usual:  # as in cells of earlier versions, which do not have it
            del options[f"dataset.{name}"]
    if pooled:
        options[POOL] = f"{pool_name(pooled)} ({', '.join(sorted(pooled))})"
    base = protocol_options()
    changed = {name: base.get(name) for name in options if options[name] != base.get(name)}
    return {**options, **{PROTOCOL_VALUE + name: value for name, value in changed.items()}}
