"""`evaluation`: what is measured, and how."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from benchmark.settings.ranges import BatchSize
from benchmark.settings.values import one_of
from methods.ranges import Range
from metrics import PRO_VARIANTS, THRESHOLD_POLICIES
from store.shifts import ALL, SHIFTS, names_in

Resamples = Annotated[int, Range(at_least=0, at_most=100_000)]
Fraction = Annotated[float, Range(above=0, at_most=1, note="a fraction, not percent")]


@dataclass(frozen=True)
class Evaluation:
    """conf/evaluation/default.yaml."""

    batch_size: BatchSize
    threshold: str
    quantile: Fraction
    fpr_limit: Fraction
    pro_variants: Sequence[str]
    bootstrap: Resamples = 0
    shifts: str | Sequence[str] = ()

    def __post_init__(self) -> None:
        one_of("evaluation.threshold", [self.threshold], THRESHOLD_POLICIES)
        one_of("evaluation.pro_variants", self.pro_variants, PRO_VARIANTS)
        one_of("evaluation.shifts", names_in(self.shifts), (*SHIFTS, ALL))
