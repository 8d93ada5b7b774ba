"""`tracking`, `jobs` and the options at the top: where a sweep is recorded, and how its cells are run."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Annotated

from benchmark.errors import BenchmarkError
from benchmark.packages import check_packages
from benchmark.settings.ranges import Seed
from benchmark.settings.values import convert, one_of, shown
from methods.ranges import Range
from metrics import MEASURES, PRO_VARIANTS

CellSeconds = Annotated[float, Range(above=0, at_most=366 * 24 * 3600, note="seconds, at most a year")]

Epochs = Annotated[int, Range(at_least=0, note="epochs")]

LONGEST_NAME = 100
"""Bytes of a sweep's name: files and folders have it in their names, which may have 255."""


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
    model: bool = False
    register: str | None = None


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
    audit
        Number of epochs between two looks at the test images in an audit of each cell; 0: no audit.
    """

    force: bool
    fail_fast: bool
    cell_seconds: CellSeconds | None
    audit: Epochs


@dataclass(frozen=True)
class Protocol:
    """`protocol`, which conf/protocol/<name>.yaml names."""

    name: str


def check_sweep_name(name: object) -> str:
    """Return the name of a sweep as text.

    Raises
    ------
    BenchmarkError
        If it cannot name a folder everywhere, or would name another folder than its own, as `..` does.
    """
    text = shown(name)
    known = isinstance(name, str | int | float) and not isinstance(name, bool)
    if not known or not re.fullmatch(r"\w[\w.:-]*", str(name)) or len(str(name).encode()) > LONGEST_NAME:
        raise BenchmarkError(
            f"sweep={text}: expected letters, digits and . : - _, as it names a folder; the first no . : - and at most "
            f"{LONGEST_NAME} bytes"
        )
    return str(name)


def read_seed(seed: object) -> int:
    """Return the seed of a run."""
    return convert(seed, Seed, "seed")


def read_tables(tables: object, pro_variants: Collection[str] = PRO_VARIANTS) -> tuple[str, ...]:
    """Return the measures that the tables show.

    Parameters
    ----------
    pro_variants
        `evaluation.pro_variants`.

    Raises
    ------
    BenchmarkError
        If they are no list, none, or the same twice, or a measure is unknown or will not be computed.
    """
    names = convert(tables, Sequence[str], "tables")
    if not names:
        raise BenchmarkError(f"tables=[]: expected some of {', '.join(MEASURES)}")
    _check_computed("tables", names, pro_variants)
    return tuple(names)


def check_models(tracking: Tracking, pro_variants: Collection[str] = PRO_VARIANTS) -> None:
    """Check the options of logged models.

    Raises
    ------
    BenchmarkError
        If the measure to register by is unknown or will not be computed, or no model is logged that could be
        registered; or if a package that models need is not installed.
    """
    if tracking.register is not None:
        _check_computed("tracking.register", [tracking.register], pro_variants)
        if not tracking.model:
            raise BenchmarkError(
                f"tracking.register={tracking.register}: registers logged models, and tracking.model=false logs none; "
                "expected tracking.model=true"
            )
    if tracking.model:
        check_packages("tracking.model=true")


def _check_computed(path: str, names: Sequence[str], pro_variants: Collection[str]) -> None:
    """Refuse measures that are unknown, named twice or will not be computed."""
    one_of(path, names, MEASURES)
    for name in names:
        variant = MEASURES[name].pro_variant
        if variant and variant not in pro_variants:
            raise BenchmarkError(
                f"{path}: found {name}, which is not computed; add {variant} to evaluation.pro_variants"
            )
