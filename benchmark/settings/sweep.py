"""`tracking`, `jobs` and `tables`: where a sweep is recorded, how its cells are run, and which tables it prints."""

from dataclasses import dataclass

from benchmark.errors import BenchmarkError


@dataclass(frozen=True)
class Tracking:
    """conf/tracking/mlflow.yaml."""

    uri: str
    experiment: str
    maps: bool = True
    pictures: bool = True
    detector: bool = True
    figure: bool = True
    report: bool = True


@dataclass(frozen=True)
class Jobs:
    """`jobs` in conf/config.yaml.

    Attributes
    ----------
    force
        Train and measure cells again that have finished before.
    fail_fast
        End the sweep with the first cell that fails.
    cell_seconds
        A cell that trains and scores longer fails; None: no limit.
    """

    force: bool
    fail_fast: bool
    cell_seconds: float | None

    def __post_init__(self) -> None:
        if self.cell_seconds is not None and not self.cell_seconds > 0:
            raise BenchmarkError(f"jobs.cell_seconds={self.cell_seconds:g}: expected more than 0, or null")
