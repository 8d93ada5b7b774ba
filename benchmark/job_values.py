"""The values of a job's options, checked before anything that takes seconds to import."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmark.settings.dataset import TrainingSet, read_training_set
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.groups import check_groups, hints_from
from benchmark.settings.runtime import RuntimeSettings
from benchmark.settings.sweep import (
    Jobs,
    Protocol,
    Tracking,
    check_models,
    check_sweep_name,
    read_seed,
    read_tables,
)
from benchmark.settings.training import Training
from benchmark.settings.values import typed


@dataclass(frozen=True)
class JobValues:
    """The typed options of one job, but for its dataset and its networks.

    Attributes
    ----------
    choices
        The choice of each group: {"method": "rd", "dataset": "mvtec_ad", ...}.
    plain
        The resolved configuration as plain values.
    """

    choices: Mapping[str, str]
    plain: Mapping[str, Any]
    tracking: Tracking
    jobs: Jobs
    tables: tuple[str, ...]
    seed: int
    runtime: RuntimeSettings
    evaluation: Evaluation
    training: Training
    training_set: TrainingSet


def read_values(choices: Mapping[str, str], plain: Mapping[str, Any]) -> JobValues:
    """Read and check the options of a job.

    Parameters
    ----------
    choices, plain
        As in `JobValues`; see `benchmark.configuration`.

    Raises
    ------
    BenchmarkError
        If an option is unknown, of the wrong type or out of range; the message names it.
    """
    check_groups(plain)
    check_sweep_name(plain["sweep"])
    with hints_from(plain):
        typed(Protocol, plain["protocol"], "protocol")
        evaluation = typed(Evaluation, plain["evaluation"], "evaluation")
        tracking = typed(Tracking, plain["tracking"], "tracking")
        check_models(tracking, evaluation.pro_variants)
        return JobValues(
            choices=choices,
            plain=plain,
            tracking=tracking,
            jobs=typed(Jobs, plain["jobs"], "jobs"),
            tables=read_tables(plain["tables"], evaluation.pro_variants),
            seed=read_seed(plain["seed"]),
            runtime=typed(RuntimeSettings, plain["runtime"], "runtime"),
            evaluation=evaluation,
            training=typed(Training, plain["method"].get("training", {}), "method.training"),
            training_set=read_training_set(plain["dataset"]),
        )
