"""Measures of whole images: one label and one score each."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from metrics.checks import binary_array, finite_array


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC of image scores, ties counted half. NaN where one class is missing.

    Parameters
    ----------
    labels : bool or {0, 1} array (N,)
        True where an image is defective.
    scores : float array (N,)
        A higher score means more anomalous.

    Raises
    ------
    MetricError
        If the shapes differ, a label is not binary, or a score is NaN or infinite.

    Source: Hanley and McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.

    Examples
    --------
    >>> image_auroc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    labels, scores = _checked(labels, scores)
    if _one_class(labels):
        return np.nan
    from sklearn.metrics import roc_auc_score  # a second, for which no training need wait

    return float(roc_auc_score(labels, scores))


def image_roc(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ROC of image scores: false and true positive rates at its corners, ascending.

    Parameters, errors: as `image_auroc`.

    Examples
    --------
    >>> image_roc([0, 1], [0.1, 0.2])
    (array([0., 0., 1.]), array([0., 1., 1.]))

    Without images of either class, both are empty.
    """
    labels, scores = _checked(labels, scores)
    if _one_class(labels):
        return np.empty(0), np.empty(0)
    from sklearn.metrics import roc_curve  # here for the reason that `image_auroc` gives

    false, true, _ = roc_curve(labels, scores)
    return false, true


def image_ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision of image scores. NaN where one class is missing.

    Parameters, errors: as `image_auroc`.

    Examples
    --------
    >>> round(image_ap([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8]), 6)
    0.833333
    """
    labels, scores = _checked(labels, scores)
    if _one_class(labels):
        return np.nan
    from sklearn.metrics import average_precision_score  # here for the reason that `image_auroc` gives

    return float(average_precision_score(labels, scores))


def image_f1(labels: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """F1 of image predictions: ``2 TP / (2 TP + FP + FN)``, defective at or above the threshold.

    Parameters, errors: as `image_auroc`. NaN where one class is missing or the threshold is NaN.

    Examples
    --------
    >>> image_f1([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8], threshold=0.4)
    0.8
    """
    labels, scores = _checked(labels, scores)
    if _one_class(labels) or np.isnan(threshold):
        return np.nan
    predicted = scores >= np.float64(threshold)  # a Python float would be rounded to the scores' precision
    true = np.count_nonzero(predicted & labels)
    return float(2 * true / (np.count_nonzero(predicted) + np.count_nonzero(labels)))


def best_f1_threshold(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the image score that, used as threshold, maximises `image_f1`; an oracle.

    Only scores of the given images are candidates; among equally good ones the highest is taken, so that
    as few images as possible are predicted defective. NaN where one class is missing.

    Parameters, errors: as `image_auroc`.

    Examples
    --------
    >>> best_f1_threshold([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.4
    """
    labels, scores = _checked(labels, scores)
    if _one_class(labels):
        return np.nan
    candidates = np.unique(scores)
    defective = np.count_nonzero(labels)
    true = defective - np.searchsorted(np.sort(scores[labels]), candidates)
    predicted = scores.size - np.searchsorted(np.sort(scores), candidates)
    f1 = 2 * true / (predicted + defective)
    return float(candidates[f1.size - 1 - np.argmax(f1[::-1])])


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.floating]]:
    scores = finite_array("scores", scores, ndim=1)
    return binary_array("labels", labels, scores.shape), scores


def _one_class(labels: NDArray[np.bool_]) -> bool:
    return bool(labels.all() or not labels.any())
