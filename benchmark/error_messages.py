"""Error messages for a user's mistakes: one line that names the option and what is expected."""

import re
import sys
import traceback

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, Node, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from benchmark.errors import BenchmarkError
from benchmark.settings.groups import did_you_mean
from datasets.errors import DatasetError
from methods.errors import MethodError
from metrics import MetricError
from store.errors import StoreError, near
from store.passwords import without_password

USER_ERRORS = (BenchmarkError, DatasetError, MethodError, MetricError, StoreError)
"""The errors that a user can mend, reported without a stack trace."""

NO_METHOD = "none"  # the choice of a command that names no method


def explain(error: BaseException) -> str | None:
    """Return the message for a user's mistake, in one line; None if the error is not one."""
    message = _message(error)
    return None if message is None else _one_line(message)


def print_error(error: BaseException, message: str | None) -> None:
    """Print an error: in one line if there is a message, see `explain`, otherwise with its stack trace."""
    text = "".join(traceback.format_exception(error)) if message is None else f"error: {message}"
    print(without_password(text), file=sys.stderr)


def _message(error: BaseException) -> str | None:
    if isinstance(error, USER_ERRORS):
        return str(error)
    if isinstance(error, MissingConfigException) and error.options is not None:
        return _unknown_choice(error)
    if isinstance(error, ConfigCompositionException) and isinstance(error.__cause__, OmegaConfBaseException):
        return (
            _unknown_key(error, error.__cause__)
            or f"{_first_lines(error)}: {_first_lines(error.__cause__, 1)}"
        )
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override}: not an override; expected name=value, with quotes around a value that has special "
            "characters: \"name='a=b'\""
        )
    if isinstance(error, OmegaConfBaseException):
        option = "" if error.full_key is None else f"{error.full_key}: "
        return f"{option}{_first_lines(error, 1)}"
    if isinstance(error, HydraException):
        return _first_lines(error)
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return f"{error}; expected the name of a choice, as in runtime=default"
    if isinstance(error, YAMLError):
        return f"not a YAML file ({_first_lines(error)})"
    if isinstance(error, OSError) and str(error).startswith("Invalid loaded object type"):  # of OmegaConf
        return f"a YAML file of --config-dir holds a single value ({error}); expected options, as name: value"
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
    file = error.missing_cfg_file or ""
    group, _, name = file.rpartition("/") if file.startswith("hydra/") else file.partition("/")
    options = [option for option in error.options or [] if (group, option) != ("method", NO_METHOD)]
    if not name:
        return _first_lines(error)
    return f"{group}={name}: there is no such {group}{near(name, options)}; known: {', '.join(options)}"


def _unknown_key(error: ConfigCompositionException, cause: OmegaConfBaseException) -> str | None:
    parent: Node | None = cause.parent_node
    if not isinstance(parent, DictConfig) or cause.full_key is None or cause.key in parent:
        return None
    known = [str(key) for key in parent if key != "hydra"]
    given = re.match(r"Could not override '([^']+)'", str(error))
    name = given[1] if given and given[1].startswith(cause.full_key) else cause.full_key
    if name.startswith("hydra."):
        hint = near(str(cause.key), known)
    else:
        options = OmegaConf.to_container(parent._get_root(), resolve=False)
        assert isinstance(options, dict)
        own = {str(key): value for key, value in options.items() if key != "hydra"}
        hint = did_you_mean(name, str(cause.key), known, own)
    return f"{name}: there is no such option{hint}" + (f"; known: {', '.join(known)}" if known else "")


def _first_lines(error: BaseException, count: int = 4) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:count])


def _one_line(message: str) -> str:
    """Return a message without line breaks and control characters, which a value or a library may bring."""
    lines = " ".join(line.strip() for line in message.splitlines() if line.strip())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in lines)
