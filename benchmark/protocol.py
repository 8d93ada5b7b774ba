"""The values that a protocol gives to all options, to know which of them a command has changed."""

from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

from benchmark.configuration import flat, plain_values

CHOICES = ("method", "dataset", "protocol")


def protocol_options() -> dict[str, Any]:
    """Return the options, {dotted name: value}, that method, dataset and protocol of this job give by themselves."""
    runtime = HydraConfig.get().runtime
    search_path = ConfigSearchPathImpl()
    for source in runtime.config_sources:
        search_path.append(source.provider, f"{source.schema}://{source.path}")
    overrides = [f"{group}={runtime.choices[group]}" for group in CHOICES]
    config = ConfigLoaderImpl(search_path).load_configuration("config", overrides, RunMode.RUN)
    return flat(plain_values(config))
