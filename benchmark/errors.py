"""The errors that a user can mend, told without a stack trace."""

from datasets.errors import DatasetError
from methods.errors import MethodError
from metrics import MetricError


class BenchmarkError(ValueError):
    """An option, a store or a training that cannot go on; the message names it and what is accepted."""


USER_ERRORS = (BenchmarkError, DatasetError, MethodError, MetricError)
