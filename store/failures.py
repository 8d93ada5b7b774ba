"""Errors of writing to a store: those of one record, and those of a store that cannot be used at all."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from sqlite3 import Error as SQLiteError

from mlflow.exceptions import MlflowException, RestException
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from store.errors import StoreError, first_line
from store.passwords import without_password

# MLflow's codes of errors that concern a record or its run, and not the whole store
_CODES = (
    *("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE"),
    *("RESOURCE_CONFLICT", "MALFORMED_REQUEST"),
)
# ... and the numbers of such errors of the file system: names and kinds of files
_NUMBERS = (
    *(errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.ENOENT, errno.EEXIST, errno.ELOOP),
    *(errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY),
)
# ... and of values that the database, or Python on the way to it, refuses
_VALUES = (DataError, IntegrityError, ValueError, TypeError, ArithmeticError)


class StoreUnavailable(StoreError):  # noqa: N818 (a state, as in the messages)
    """The store cannot be reached, read or written: nothing can be recorded. The message names its URI."""


@contextmanager
def opening_errors(uri: str) -> Iterator[None]:
    """Turn errors of opening a store into `StoreUnavailable`."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, SQLiteError, ImportError, OSError) as error:
        raise _unavailable(uri, error) from None


@contextmanager
def writing_errors(uri: str) -> Iterator[None]:
    """Turn errors of writing into `StoreError`: `StoreUnavailable` if they concern the whole store, not one record."""
    try:
        yield
    except StoreError:
        raise
    except (MlflowException, SQLAlchemyError, SQLiteError, ImportError, OSError, *_VALUES) as error:
        if _is_of_a_record(error):
            raise StoreError(f"the store refuses a record: {without_password(first_line(error))}") from None
        raise _unavailable(uri, error) from None


def _is_of_a_record(error: BaseException) -> bool:
    if isinstance(error, MlflowException):
        cause = error.__cause__
        answered = isinstance(error, RestException) and error.error_code in (*_CODES, "BAD_REQUEST")
        return answered or error.error_code in _CODES or (cause is not None and _is_of_a_record(cause))
    if isinstance(error, DBAPIError):
        return isinstance(error, (DataError, IntegrityError))
    if isinstance(error, OSError):
        return error.errno in _NUMBERS
    return isinstance(error, _VALUES)


def _unavailable(uri: str, error: BaseException) -> StoreUnavailable:
    reason = without_password(first_line(error))
    return StoreUnavailable(f"tracking.uri={without_password(uri)}: the store cannot be used ({reason})")
