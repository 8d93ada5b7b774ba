"""Published numbers, `reports/published.csv`: the settings they stand for, and whether cells agree with them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from metrics import MEASURES
from reports.errors import ReportError
from reports.tables.captions import pretraining
from reports.teachers import UNTRAINED
from store.errors import first_line
from store.options import describe, training_set
from store.tags import OWN_IMAGES

PUBLISHED = Path(__file__).resolve().parent.parent / "published.csv"
"""The tracked table of published numbers, with the columns `COLUMNS`."""
AVERAGE = "average"
"""The row that holds a source's own average."""
COLUMNS = ("source", "method", "variant", "dataset", "category", "metric", "value", "freedom", "note")
NONE, EPOCH, AT_THRESHOLD = FREEDOMS = ("none", "epoch", "threshold")
"""What a number's source is documented to have chosen on test images, in the column `freedom`; several are joined by
`AND`, and "" is a source that does not say."""
AND = " and "
PROTOCOLS = ("paper", "paper_3d", "thesis")
"""The protocols that train methods as they were published."""
FPR_LIMIT, THRESHOLD = "0.3", "f1_image"
"""The limit of published PROs, and the threshold of published values of Dice and F1."""
OTHER_THRESHOLD = f"threshold {THRESHOLD}"
"""Why values at another threshold are not comparable with published ones."""

_TEACHER, _SIZE, _PATCHES, _MODE = (
    "backbone.name",
    "method.training.image_size",
    "method.patch_sizes",
    "method.mode",
)
_RESNET, _WIDE_RESNET, _WIDE_RESNET_101, _EFFICIENTNET = (
    "resnet18.tv_in1k",
    "wide_resnet50_2.tv_in1k",
    "wide_resnet101_2.tv_in1k",
    "tf_efficientnet_b5.aa_in1k",
)
_VIT = "vit_base_patch14_reg4_dinov2.lvd142m"
_ONE_MODEL, _CROP = "one model of all categories", "the middle 392 of 448 pixels"
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "rd": {
        **{_TEACHER: _WIDE_RESNET, _SIZE: 256, "method.ocbe": "mff_oce", "method.score_layers": None},
        **{"method.combine": "sum", "method.image_score": "max"},
    },
    "rd_plus_plus": {
        **{_TEACHER: _WIDE_RESNET, _SIZE: 256, "method.score_layers": None},
        **{"method.combine": "sum", "method.image_score": "max"},
    },
    "stfpm": {_TEACHER: _RESNET, _SIZE: 256},
    "efficient_ad": {_TEACHER: _WIDE_RESNET_101, _SIZE: 256, "method.size": "small"},
    "feature_variance": {_TEACHER: _RESNET, _SIZE: 224, "method.score": "e+v"},
    "simple_student": {_TEACHER: _RESNET, _SIZE: 224},
    "uninformed_students": {_TEACHER: _RESNET, _SIZE: 256, _PATCHES: [17, 33, 65], "method.score": "e+v"},
    "dinomaly": {_TEACHER: _VIT, _SIZE: 392, "method.groups": None, "method.map_size": 256},
    "ast": {
        **{_TEACHER: _EFFICIENTNET, _SIZE: 768, "method.student": "asymmetric", "method.student_blocks": 4},
        **{"method.score": "distance", "method.image_score": "auto", "method.score_size": "features"},
        **{"method.position_channels": 32, "method.masked": True},
    },
}
"""The settings in which published variants of a method differ, as the method was published."""
# ablations published under names of their own: the method here, and its options
_ABLATIONS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ast_teacher_nll": ("ast", {"method.score": "nll"}),
    "ast_symmetric": ("ast", {"method.student": "symmetric"}),
    "ast_deeper_flow_student": ("ast", {"method.student": "deeper_flow"}),
}
VARIANTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("rd", "wide_resnet50_2"): {},
    ("rd_plus_plus", "wide_resnet50_2"): {},
    ("stfpm", "resnet18"): {},
    ("stfpm", "resnet18_224"): {_SIZE: 224},
    ("stfpm", "wide_resnet50_2"): {_TEACHER: _WIDE_RESNET},
    ("efficient_ad", "small"): {},
    ("efficient_ad", "medium"): {"method.size": "medium"},
    ("feature_variance", "resnet18_224"): {},
    ("simple_student", "resnet18_224"): {},
    ("uninformed_students", "multi_scale"): {},
    **{("uninformed_students", f"p{size}"): {_PATCHES: [size]} for size in (17, 33, 65)},
    **{(name, mode): {_MODE: mode} for name in ("ast", *_ABLATIONS) for mode in ("rgb", "depth", "rgbd")},
    ("dinomaly", "vit_base"): {},
    ("dinomaly", "vit_large"): {_TEACHER: "vit_large_patch14_reg4_dinov2.lvd142m"},
    ("ast", "rgb_max"): {_MODE: "rgb", "method.image_score": "max"},
    **{("ast", f"rgbd_{n}_blocks"): {_MODE: "rgbd", "method.student_blocks": n} for n in (1, 2, 4, 8, 12)},
}
"""(method, variant) in the table of published numbers: the settings in which it differs from `SETTINGS`."""
FLAWS: Mapping[tuple[str, str, str], Sequence[str]] = {
    ("open-edge-platform/anomalib README", "stfpm", "wide_resnet50_2"): ["toothbrush diverged"],
    ("guojiajeremy/Dinomaly README", "dinomaly", "vit_base"): [_ONE_MODEL, _CROP],
    ("guojiajeremy/Dinomaly README", "dinomaly", "vit_large"): [_ONE_MODEL, _CROP],
    ("paper (Dinomaly)", "dinomaly", "vit_base"): [_CROP],
}
"""(source, method, variant): why its numbers are compared with none, in addition to an epoch chosen on test images."""


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Read the published numbers, a row per number; `freedom` and `note` are "" where there is none.

    Raises
    ------
    ReportError
        If there is no such table, it cannot be read, or it lacks columns.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise ReportError(f"{path}: not found; expected the table of published numbers") from None
    except (OSError, ValueError) as error:  # pandas' errors of parsing are ValueErrors
        raise ReportError(
            f"{path}: the table of published numbers cannot be read ({first_line(error)})"
        ) from None
    if missing := [name for name in COLUMNS if name not in table]:
        raise ReportError(f"{path}: lacks the columns {', '.join(missing)}; expected {', '.join(COLUMNS)}")
    values = pd.to_numeric(table["value"], errors="coerce")
    if values.isna().any():
        line = int(values.isna().to_numpy().argmax())
        raise ReportError(f"{path}, line {line + 2}: value={table['value'][line]}; expected a number")
    return table.assign(value=values)


def base_method(name: str) -> str:
    """Return the method here that a published method is, or is an ablation of."""
    return _ABLATIONS.get(name, (name, {}))[0]


def settings_of(method: str, variant: str) -> dict[str, Any]:
    """Return the settings of a published variant, by option; an unknown variant has one that no cell has.

    Examples
    --------
    >>> settings_of("stfpm", "resnet18_224")
    {'backbone.name': 'resnet18.tv_in1k', 'method.training.image_size': 224}
    """
    base, options = _ABLATIONS.get(method, (method, {}))
    own = VARIANTS.get((method, variant), {"variant": variant})
    return {**SETTINGS.get(base, {}), **options, **own}


def published_options(method: str, params: Sequence[Mapping[str, str]]) -> set[str]:
    """Return the options in which a published variant of a method has the settings of all these cells."""
    variants = [settings_of(name, variant) for name, variant in _variants(method)]
    return {
        option
        for settings in variants
        if all(own.get(name) == str(wanted) for name, wanted in settings.items() for own in params)
        for option in settings
    }


def _variants(method: str) -> list[tuple[str, str]]:
    return [(name, variant) for name, variant in VARIANTS if base_method(name) == method]


def published_networks(method: str) -> list[str]:
    """Return the teacher networks of a method's published numbers; none for an unknown method.

    Examples
    --------
    >>> published_networks("stfpm")
    ['resnet18.tv_in1k', 'wide_resnet50_2.tv_in1k']
    """
    variants = (settings_of(name, variant) for name, variant in _variants(method))
    return list(dict.fromkeys(settings[_TEACHER] for settings in variants))


def mismatches(column: pd.DataFrame, cells: pd.DataFrame, metric: str) -> list[str]:
    """Return why a published column cannot be compared with measured cells; nothing if it can.

    The reasons are those of `other_settings`, and an epoch that was chosen on test images.
    """
    chosen = any(EPOCH in freedom.split(AND) for freedom in column["freedom"])
    return [*other_settings(column, cells, metric), *[f"{EPOCH} chosen on test images"] * chosen]


def other_settings(column: pd.DataFrame, cells: pd.DataFrame, metric: str) -> list[str]:
    """Return where the settings of measured cells are not those of a published column; nothing if all agree.

    Parameters
    ----------
    column
        The rows of one source, method, variant and metric.
    cells
        The rows of the tidy table with the compared measure, for one method and dataset.
    metric
        The compared measure.
    """
    first = column.iloc[0]
    reasons = []
    for option, wanted in settings_of(first["method"], first["variant"]).items():
        values = dict.fromkeys(params.get(option, "none") for params in cells["params"])
        if any(value != str(wanted) for value in values):
            reasons.append(f"{describe({option: str(wanted)})} (here {' and '.join(values)})")
    others = dict.fromkeys(describe(own) for params in cells["params"] if (own := training_set(params)))
    reasons += [f"all train images of the category, normal ones (here {other})" for other in others]
    if UNTRAINED in set(cells["weights"]):
        reasons.append(f"a trained teacher (here backbone.weights={UNTRAINED})")
    reasons += [
        f"teachers pretrained on ImageNet (here on {images})"
        for source, images in pretraining(cells, "pretraining_images")
        if source == OWN_IMAGES
    ]
    if first["metric"] == "pro":
        reasons.append("PRO, variant not stated")
    elif first["metric"] != metric:
        reasons.append(MEASURES[first["metric"]].label)
    if metric.startswith("pro") and set(cells["fpr_limit"]) - {FPR_LIMIT}:
        reasons.append(f"integrated to a false-positive rate of {FPR_LIMIT}")
    if MEASURES[metric].at_threshold and set(cells["threshold_policy"]) - {THRESHOLD}:
        reasons.append(OTHER_THRESHOLD)
    return [*reasons, *FLAWS.get((first["source"], first["method"], first["variant"]), [])]


def source_group(source: str) -> str:
    """Return the origin of a source's numbers: a paper's tables and copies of them are one source.

    Examples
    --------
    >>> source_group("paper (AST), as copied in CPMF README") == source_group("paper (AST), Table 5")
    True
    """
    return source.partition(",")[0] if source.startswith("paper") else source
