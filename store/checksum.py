"""A checksum of a cell's numbers: a database does not notice bits that change in it."""

import hashlib
import json
import math
import sys
from collections.abc import Mapping

from store.tags import CATEGORY, CHECKSUM, DATASET, IDENTITY, METHOD, SEED

_TAGS = (METHOD, DATASET, CATEGORY, SEED, IDENTITY)


def checksum(metrics: Mapping[str, float], tags: Mapping[str, str]) -> str:
    """Return the value of the tag `checksum`: a SHA-256, and the names of the metrics that it covers.

    It covers their values, and the tags that say whose they are. Metrics that are logged later do not count.

    Parameters
    ----------
    metrics
        {name: value}, by their names in MLflow.
    tags
        The tags of the run.
    """
    values = {name: _stored(value).hex() for name, value in metrics.items()}
    content = [values, {name: tags[name] for name in _TAGS if name in tags}]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return f"{digest} {'|'.join(sorted(metrics))}"


def is_intact(metrics: Mapping[str, float], tags: Mapping[str, str]) -> bool:
    """Return whether the numbers of a run are those that were recorded; true for a run without a checksum."""
    if CHECKSUM not in tags:
        return True
    covered = tags[CHECKSUM].partition(" ")[2]
    values = {name: metrics.get(name, math.nan) for name in covered.split("|") if covered}
    return checksum(values, tags) == tags[CHECKSUM]


def _stored(value: float) -> float:
    """Return a value as MLflow keeps it: infinity as the largest number."""
    return math.copysign(sys.float_info.max, value) if math.isinf(value) else float(value)
