"""Error messages for a user's mistakes: one line that names the option and what is expected."""

import sys

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, Node
from omegaconf.errors import OmegaConfBaseException

from benchmark.errors import BenchmarkError
from datasets.errors import DatasetError
from methods.errors import MethodError
from metrics import MetricError
from store.errors import StoreError, near

USER_ERRORS = (BenchmarkError, DatasetError, MethodError, MetricError, StoreError)
"""The errors that a user can mend, reported without a stack trace."""

NO_METHOD = "none"  # the choice of a command that names no method


def explain(error: BaseException) -> str | None:
    """Return the message for a user's mistake; None if the error is not one."""
    if isinstance(error, USER_ERRORS):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_choice(error)
    if isinstance(error, ConfigCompositionException) and isinstance(error.__cause__, OmegaConfBaseException):
        return _unknown_key(error.__cause__) or _first_lines(error)
    if isinstance(error, OverrideParseException):
        return f"{error.override}: not an override ({_first_lines(error)}); expected name=value"
    if isinstance(error, HydraException | OmegaConfBaseException):
        return _first_lines(error)
    if _is_of_store(error):
        return f"the tracking store cannot be used ({_first_lines(error)})"
    if type(error).__name__ in ("UncompletedJobError", "FailedJobError"):  # of submitit, an optional extra
        return f"a job of the launcher ended before it was done ({_first_lines(error)})"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return None


def _is_of_store(error: BaseException) -> bool:
    """Tell whether the libraries of the tracking store raised an error; a mistyped option need not wait for them."""
    if "mlflow" not in sys.modules:
        return False
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, MlflowException | SQLAlchemyError)


def _unknown_choice(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    options = [option for option in error.options or [] if (group, option) != ("method", NO_METHOD)]
    if not group:
        return _first_lines(error)
    return f"{group}={name}: there is no such {group}{near(name, options)}; known: {', '.join(options)}"


def _unknown_key(cause: OmegaConfBaseException) -> str | None:
    parent: Node | None = cause.parent_node
    if not isinstance(parent, DictConfig) or cause.full_key is None or cause.key in parent:
        return None
    known = [str(key) for key in parent if key != "hydra"]
    key = str(cause.key)
    return f"{cause.full_key}: there is no such option{near(key, known)}; known: {', '.join(known)}"


def _first_lines(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:4])
