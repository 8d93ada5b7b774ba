"""`evaluation`: what is measured, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.settings.values import at_least_one, one_of
from metrics import PRO_VARIANTS, THRESHOLD_POLICIES


@dataclass(frozen=True)
class Evaluation:
    """conf/evaluation/default.yaml."""

    batch_size: int
    threshold: str
    quantile: float
    fpr_limit: float
    pro_variants: Sequence[str]

    def __post_init__(self) -> None:
        one_of("evaluation.threshold", [self.threshold], THRESHOLD_POLICIES)
        one_of("evaluation.pro_variants", self.pro_variants, PRO_VARIANTS)
        at_least_one("evaluation", batch_size=self.batch_size)
