"""Groups of settings refuse values that no run can use."""

from typing import Any

import pytest

from benchmark.errors import BenchmarkError
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.runtime import FeatureLimits
from benchmark.settings.sweep import Jobs

EVALUATION: dict[str, Any] = {
    "batch_size": 4,
    "threshold": "f1_image",
    "quantile": 0.995,
    "fpr_limit": 0.3,
    "pro_variants": ["exact"],
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": "best"}, r"evaluation\.threshold: found 'best'; expected f1_image, "),
        ({"pro_variants": ["exact", "rescale"]}, r"evaluation\.pro_variants: .*did you mean 'rescaled'"),
        ({"batch_size": 0}, r"evaluation\.batch_size=0: expected 1 or more"),
    ],
    ids=lambda changes: " ".join(changes) if isinstance(changes, dict) else "",
)
def test_an_evaluation_that_is_not_possible_is_refused(changes: dict[str, Any], message: str) -> None:
    Evaluation(**EVALUATION)
    with pytest.raises(BenchmarkError, match=message):
        Evaluation(**(EVALUATION | changes))


@pytest.mark.parametrize("seconds", [0, -1.0, float("nan")])
def test_a_time_limit_that_no_cell_can_keep_is_refused(seconds: float) -> None:
    with pytest.raises(BenchmarkError, match=r"jobs\.cell_seconds=.*: expected more than 0, or null"):
        Jobs(force=False, fail_fast=False, cell_seconds=seconds)


def test_features_are_held_on_the_gpu_or_in_main_memory() -> None:
    limits = FeatureLimits(device_gb=8, memory_gb=4, disk_gb=50)
    assert (limits.resident_gb("cuda"), limits.resident_gb("cpu")) == (8, 4)
