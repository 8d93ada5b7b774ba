"""What the literature says: `results/published.csv`, and what of it may be compared with a cell."""

import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from metrics import MEASURES
from reports.cells import RESULTS, ReportError

PUBLISHED = RESULTS / "published.csv"
"""The tracked table of published numbers: source, method, variant, dataset, category, metric, value, note."""
AVERAGE = "average"
"""The row that holds a source's own average."""
COLUMNS = ("source", "method", "variant", "dataset", "category", "metric", "value", "note")

# what the methods' YAMLs print and published variants differ in
_DEFAULTS: Mapping[str, Mapping[str, str]] = {
    "rd": {"training.image_size": "256"},
    "stfpm": {"training.image_size": "256"},
    "feature_variance": {"training.image_size": "224"},
    "simple_student": {"training.image_size": "224"},
    "uninformed_students": {"patch_sizes": "[17,33,65]"},
    "ast": {"student": "asymmetric", "score": "distance", "image_score": "auto", "student_blocks": "4"},
}
# published under names of their own, here options of a method
_OPTIONS: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "ast_teacher_nll": ("ast", {"score": "nll"}),
    "ast_symmetric": ("ast", {"student": "symmetric"}),
    "ast_deeper_flow_student": ("ast", {"student": "deeper_flow"}),
}


def read_published(path: Path = PUBLISHED) -> pd.DataFrame:
    """Read the published numbers, a row per number; `note` is "" where there is none.

    Raises
    ------
    ReportError
        If there is no such table, or it lacks columns.
    """
    if not path.exists():
        raise ReportError(f"{path}: not found; it is the table of published numbers")
    table = pd.read_csv(path, dtype={"variant": str, "note": str}).fillna({"variant": "", "note": ""})
    if missing := [name for name in COLUMNS if name not in table]:
        raise ReportError(
            f"{path}: lacks the columns {', '.join(missing)}; expected are {', '.join(COLUMNS)}"
        )
    return table


def base_method(name: str) -> str:
    """Return the method here that a published method is an option of, or is."""
    return _OPTIONS.get(name, (name, {}))[0]


def settings_of(cells: pd.DataFrame) -> dict[str, str]:
    """Return by which settings the cells of one method can be told from published variants.

    Returns
    -------
    Options by name, as `training.image_size`; `backbone` without timm's tags, and `mode`.
    """
    first = cells.iloc[0]
    teacher = str(first["backbone"]).partition(".")[0].removeprefix("tf_")
    defaults = _DEFAULTS.get(first["method"], {})
    return {**defaults, **overrides_of(cells), "backbone": teacher, "mode": first.get("mode") or "rgb"}


def overrides_of(cells: pd.DataFrame) -> dict[str, str]:
    """Return what the command line changed for the cells of one method, by option."""
    text = f"{cells['variant'].iloc[0]} {cells['changes'].iloc[0]}"
    found = re.findall(r"([^\s=]+)=(\[[^\]]*\]|\S*)", text)
    return {key.lstrip("+~").removeprefix("method."): value.replace(" ", "") for key, value in found}


def needs(method: str, variant: str) -> dict[str, str]:
    """Return the settings that a published variant stands for; one that is unknown needs what no cell has.

    Examples
    --------
    >>> needs("stfpm", "resnet18_224")
    {'training.image_size': '224', 'backbone': 'resnet18'}
    """
    base, options = _OPTIONS.get(method, (method, {}))
    wanted = {**_DEFAULTS.get(base, {}), **options}
    if scale := re.fullmatch(r"p(\d+)|multi_scale", variant):
        return wanted | ({"patch_sizes": f"[{scale[1]}]"} if scale[1] else {})
    if look := re.fullmatch(r"(rgb|depth|rgbd)(?:_(max)|_(\d+)_blocks)?", variant):
        wanted |= {"mode": look[1], "backbone": "efficientnet_b5"}
        wanted |= {"image_score": "max"} if look[2] else {}
        return wanted | ({"student_blocks": look[3]} if look[3] else {})
    if teacher := re.fullmatch(r"((?:wide_)?resnet[\d_]*?\d+(?:_2)?)(?:_(\d{3}))?", variant):
        wanted |= {"training.image_size": teacher[2]} if teacher[2] else {}
        return wanted | {"backbone": teacher[1]}
    return wanted | {"variant": variant}


def obstacles(column: pd.DataFrame, notes: str, cells: pd.DataFrame, metric: str) -> list[str]:
    """Return why a published column cannot be compared with what was measured; nothing if it can.

    Parameters
    ----------
    column
        The rows of one source, method, variant and metric.
    notes
        All that the source says of its runs of this method, in whatever table.
    cells
        Those of one method and dataset.
    metric
        The measure that the cells are compared by.
    """
    first, measured = column.iloc[0], settings_of(cells)
    wanted = needs(first["method"], first["variant"])
    found = [f"{name} {value}" for name, value in wanted.items() if measured.get(name) != value]
    if first["metric"] == "pro":
        found.append("PRO, variant not stated")
    elif first["metric"] != metric:
        found.append(MEASURES[first["metric"]].label)
    if metric.startswith("pro") and set(cells["fpr_limit"]) != {"0.3"}:
        found.append("integrated to a false-positive rate of 0.3")
    if MEASURES[metric].at_threshold and set(cells["threshold_policy"]) != {"f1_image"}:
        found.append("threshold f1_image")
    if "early stop on the test split" in notes:
        found.append("epoch chosen on the test images")
    if diverged := re.search(r"\w+ diverged", " ".join(column["note"])):
        found.append(diverged[0])
    return found


def origin(source: str) -> str:
    """Return whose numbers a source prints: a paper's tables and copies of them are one source.

    Examples
    --------
    >>> origin("paper (AST), as copied in CPMF README") == origin("paper (AST), Table 5")
    True
    """
    return source.partition(",")[0] if source.startswith("paper") else source
