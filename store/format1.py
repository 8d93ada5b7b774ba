"""Runs of the first format: how their tags, parameters and metrics are read as those of the present one.

Such a run has no tag `format`. Its membership of a sweep and the plans of its jobs are JSON in tags, which MLflow
may have cut; the images of a pretraining are an English phrase; options of the runtime are named `trainer.<option>`.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from store.plan import Member, Plan
from store.tags import (
    CATEGORY,
    DATASET,
    GROUP,
    OWN_IMAGES,
    PRETRAINING_COUNT,
    PRETRAINING_IMAGES,
    PRETRAINING_SECONDS,
)

FINGERPRINT = "dataset_fingerprint"
"""Tag of finished cells of the first format only."""
JOB = "job."
"""Prefix of the tags of a parent run that hold the plans of its jobs."""

_PLACE = re.compile(r'\{"place": \[(\d+), (\d+)\]')
_IMAGES = re.compile(r"(\d+) (train )?images of (.*)", re.DOTALL)
_TEXTURES = ("carpet", "grid", "leather", "tile", "wood")  # of MVTec AD
_DETAILS = (
    "sweep=",
    "hydra",
    "results_dir=",
    "jobs.",
    "tracking.",
    "trainer.",
)  # overrides that do not distinguish jobs
_RENAMED = {"trainer.": "runtime.", "method.training.pretext.": "method.training.pretraining."}


def tags_of(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags under the names of the present format."""
    renamed = dict(tags)
    if images := _IMAGES.fullmatch(tags.get("pretext", "")):
        renamed |= {PRETRAINING_COUNT: images[1], PRETRAINING_IMAGES: OWN_IMAGES if images[2] else images[3]}
    if tags.get(DATASET) == "mvtec_ad":
        renamed[GROUP] = "textures" if tags.get(CATEGORY) in _TEXTURES else "objects"
    return renamed


def params_of(params: Mapping[str, str]) -> dict[str, str]:
    """Return parameters under the names of the present format."""
    return {_renamed(name): value for name, value in params.items()}


def metrics_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return metrics under the names of the present format."""
    return {PRETRAINING_SECONDS if name == "pretext_seconds" else name: v for name, v in metrics.items()}


def member_of(text: str) -> Member:
    """Return the position of a cell in a sweep; a cell whose position cannot be read comes first."""
    place = _PLACE.match(text)
    overrides = _json(text).get("overrides") or []
    return Member(int(place[1]) if place else 0, int(place[2]) if place else 0, _key(overrides))


def plan_of(text: str) -> Plan | None:
    """Return the plan of a job; None if the tag was cut."""
    stored = _json(text)
    try:
        overrides = tuple(stored["overrides"])
        return Plan(stored["title"], overrides, tuple(stored["categories"]), _key(overrides))
    except (KeyError, TypeError):
        return None


def _renamed(name: str) -> str:
    for old, new in _RENAMED.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _json(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _key(overrides: Sequence[str]) -> str:
    kept = sorted(item for item in overrides if not item.lstrip("+~").startswith(_DETAILS))
    return hashlib.sha256(json.dumps(kept).encode()).hexdigest()[:16]
