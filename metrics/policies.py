"""The threshold policies: how a run's thresholds are chosen."""

from metrics.checks import known_name

#: How a run's thresholds are chosen, and whether that looks at the test labels or masks.
_POLICIES = {"f1_image": True, "dice_max": True, "train_quantile": False, "mean_3std": False}

THRESHOLD_POLICIES: tuple[str, ...] = tuple(_POLICIES)

#: The policy whose image threshold was found on pixels: it judges an image by the largest pixel of its map.
JUDGES_MAPS = "dice_max"

#: The policies that take their thresholds from held-out normal images, and so need no test images.
HELD_OUT_POLICIES: tuple[str, ...] = tuple(name for name, is_oracle in _POLICIES.items() if not is_oracle)

#: The one of them that is used where none of them is asked for.
FROM_HELD_OUT = "train_quantile"


def is_oracle(policy: str) -> bool:
    """Whether a threshold policy uses the ground truth of the test set, which production does not have.

    Raises
    ------
    MetricError
        If the policy is unknown.

    Examples
    --------
    >>> is_oracle("f1_image"), is_oracle("train_quantile")
    (True, False)
    """
    return _POLICIES[known_name("threshold_policy", policy, _POLICIES)]
