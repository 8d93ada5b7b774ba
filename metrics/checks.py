"""Reject invalid input before any measure can turn it into a number."""

import difflib
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.errors import MetricError

_SHAPES = {1: "(N,)", 3: "(N, H, W)"}


def real_array(name: str, values: ArrayLike, ndim: int) -> NDArray[np.floating]:
    """Return the values as a floating array of ``ndim`` axes.

    float32 and float64 are kept without a copy, float16 widens to float32 and integers to float64: each of them
    exactly, so no two different scores ever become a tie.

    Raises
    ------
    MetricError
        If the values are not real numbers or have another number of axes.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise MetricError(f"{name}: found dtype {array.dtype}; expected real numbers")
    if array.ndim != ndim:
        raise MetricError(f"{name}: found shape {array.shape}; expected {_SHAPES[ndim]}")
    return array.astype(np.result_type(array.dtype, np.float32), copy=False)


def finite_array(name: str, values: ArrayLike, ndim: int) -> NDArray[np.floating]:
    """Return the values as `real_array` does, every one of them finite.

    Raises
    ------
    MetricError
        As `real_array`, and if a value is NaN or infinite.
    """
    array = real_array(name, values, ndim)
    bad = array.size - np.count_nonzero(np.isfinite(array))
    if bad:
        raise MetricError(
            f"{name}: found NaN or infinity in {bad} of {array.size} values; expected finite numbers"
        )
    return array


def binary_array(name: str, values: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return the values as a boolean array of this shape.

    Raises
    ------
    MetricError
        If the shape differs, or any value is neither 0 nor 1.
    """
    array = np.asarray(values)
    if array.shape != shape:
        raise MetricError(f"{name}: found shape {array.shape}; expected {shape}, one entry for each score")
    if array.dtype == np.bool_:
        return array
    binary = array == 1
    valid = binary | (array == 0)
    if not valid.all():
        raise MetricError(
            f"{name}: found the value {array[~valid].flat[0]!r}; expected booleans or the numbers 0 and 1"
        )
    return binary


def checked_images(
    labels: ArrayLike, scores: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.floating], bool]:
    """Return labels and scores of images as arrays (N,), and whether one class of images is missing.

    Raises
    ------
    MetricError
        If the shapes differ, a label is not binary, or a score is NaN or infinite.
    """
    values = finite_array("scores", scores, ndim=1)
    binary = binary_array("labels", labels, values.shape)
    return binary, values, bool(binary.all() or not binary.any())


def fraction(name: str, value: float) -> float:
    """Return a number in (0, 1], or raise `MetricError`."""
    if not 0 < value <= 1:
        raise MetricError(f"{name}: found {value}; expected a number above 0 and at most 1")
    return value


def known_name(name: str, value: str, known: Iterable[str]) -> str:
    """Return a value that is one of the known names, or raise `MetricError` with similar ones.

    Examples
    --------
    >>> known_name("pro_variants", "exakt", ("exact", "rescaled"))
    Traceback (most recent call last):
    metrics.errors.MetricError: pro_variants: found 'exakt' (did you mean 'exact'?); expected one of exact, rescaled
    """
    known = list(known)
    if value in known:
        return value
    similar = difflib.get_close_matches(str(value), known)
    hint = f" (did you mean {' or '.join(map(repr, similar))}?)" if similar else ""
    raise MetricError(f"{name}: found {value!r}{hint}; expected one of {', '.join(known)}")
