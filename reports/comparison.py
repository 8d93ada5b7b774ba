"""The comparison of methods over categories: on the console, and as CSV, Markdown and LaTeX."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow import MlflowClient
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from metrics import MEASURES, is_oracle
from reports.cells import find_sweep, read_cells

MEAN = "mean"
DASH = "–"
DIGITS = 3


@dataclass(frozen=True)
class Published:
    """What became of a sweep.

    Attributes
    ----------
    cells, failed
        How many cells there are, and how many of them failed.
    means
        {measure/method: mean over categories}.
    tags
        What the cells have in common or between them: methods, datasets, protocols, weights.
    """

    cells: int
    failed: int
    means: dict[str, float]
    tags: dict[str, str]


def publish(uri: str, sweep: str, metrics: Sequence[str]) -> Published:
    """Print a sweep's tables and lay them beside its parent run, in the folder `tables`.

    Parameters
    ----------
    uri
        Of the tracking store.
    sweep
        Name of the sweep.
    metrics
        Names of the measures, one table each.
    """
    cells = read_cells(uri, sweep)
    console = Console()
    means: dict[str, float] = {}
    parent = find_sweep(uri, sweep).info.run_id
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        cells.to_csv(folder / "cells.csv", index=False)
        for metric in metrics:
            table = comparison(cells, metric)
            if table.empty:
                continue
            averages = dict(zip(table.columns, table.loc[MEAN].to_numpy(float), strict=True))
            means |= {metric_name(f"{metric}/{label}"): value for label, value in averages.items()}
            text = caption(cells, metric)
            title, _, rest = text.partition("; ")
            console.print("", title, to_rich(table), sep="\n", style="bold", highlight=False)
            console.print(rest, style="dim", markup=False, highlight=False)
            (folder / f"{metric}.csv").write_text(table.to_csv())
            (folder / f"{metric}.md").write_text(to_markdown(table, text))
            (folder / f"{metric}.tex").write_text(to_latex(table, text, f"tab:{metric}"))
        if not cells.empty:
            MlflowClient(tracking_uri=uri).log_artifacts(parent, temporary, "tables")
    runs = cells.drop_duplicates("run_id")
    failed = runs[runs["status"] == "FAILED"]
    for method, category, reason in failed[["method", "category", "reason"]].itertuples(index=False):
        console.print(f"failed: {method} {category}: {reason}", style="red", markup=False, highlight=False)
    tags = {
        name: ", ".join(pd.unique(runs[name]))
        for name in ("method", "dataset", "protocol", "backbone", "weights")
    }
    return Published(len(runs), len(failed), means, tags)


def comparison(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of one measure: a row per category and their mean, a column per method.

    Seeds are averaged. A method's mean covers the categories that it has a value for.
    """
    chosen = cells[(cells["metric"] == metric) & (cells["status"] == "FINISHED")]
    if chosen.empty:
        return pd.DataFrame()
    chosen = chosen.assign(label=_labels(chosen), row=_rows(chosen))
    finished = cells[cells["status"].isin(["FINISHED", "FAILED"])]
    table = (
        chosen.pivot_table(index="row", columns="label", values="value", aggfunc="mean", sort=False)
        .reindex(index=pd.unique(_rows(finished)), columns=pd.unique(_labels(finished)))
        .rename_axis(index="category", columns=None)
    )
    table.loc[MEAN] = table.mean()
    return table


def caption(cells: pd.DataFrame, metric: str) -> str:
    """Return what a reader must know: measure, data, protocol, weights, threshold, seeds, code."""
    measure = MEASURES[metric].label if metric in MEASURES else metric
    parts = [measure]
    for name, title in (("dataset", "dataset"), ("protocol", "protocol"), ("weights", "teacher weights")):
        values = [Path(value).name for value in pd.unique(cells[name])]
        parts.append(f"{title} {', '.join(values)}")
    distilled = cells.loc[cells["pretext"] != "", ["method", "pretext"]].drop_duplicates()
    parts += [
        f"teachers of {name} distilled on {images}" for name, images in distilled.itertuples(index=False)
    ]
    if changes := cells["changes"].iloc[0]:
        parts.append(f"changed: {changes}")
    if metric.startswith("pro"):
        parts.append(f"integrated to a false-positive rate of {', '.join(pd.unique(cells['fpr_limit']))}")
    if metric in ("dice", "dice_image", "image_f1"):
        policies = pd.unique(cells["threshold_policy"])
        named = (
            f"{policy} (oracle: chosen on the test images)" if is_oracle(policy) else policy
            for policy in policies
        )
        parts.append(f"threshold {', '.join(named)}")
    seeds = pd.unique(cells["seed"])
    parts.append(f"seed {seeds[0]}" if len(seeds) == 1 else f"mean of {len(seeds)} seeds")
    commits = {
        (commit[:10] or "unknown") + (" with changes" if dirty == "true" else "")
        for commit, dirty in zip(cells["git_commit"], cells["git_dirty"], strict=True)
    }
    parts.append(f"code {', '.join(sorted(commits))}")
    return "; ".join(parts)


def to_rich(table: pd.DataFrame) -> Table:
    """Return the table for a terminal; the best of each row is bold and green."""
    drawn = Table()
    drawn.add_column(str(table.index.name))
    for label in table.columns:
        drawn.add_column(escape(str(label)), justify="right", overflow="fold")
    for name, values, best in _marked(table):
        if name == MEAN:
            drawn.add_section()
        cells = (Text(v, "bold green" if b else "") for v, b in zip(values, best, strict=True))
        drawn.add_row(Text(name), *cells)
    return drawn


def to_markdown(table: pd.DataFrame, text: str) -> str:
    """Return the table in Markdown; the best of each row is bold."""
    rows = {
        name: [f"**{v}**" if b else v for v, b in zip(values, best, strict=True)]
        for name, values, best in _marked(table)
    }
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=table.columns)
    frame.index.name = table.index.name
    return f"{frame.to_markdown(disable_numparse=True, colalign=('left', *['right'] * table.shape[1]))}\n\n{text}\n"


def to_latex(table: pd.DataFrame, text: str, label: str) -> str:
    """Return the table in LaTeX (booktabs); the best of each row is bold."""
    rows = _marked(table)
    shown = pd.DataFrame([values for _, values, _ in rows], index=table.index, columns=table.columns)
    bold = pd.DataFrame(
        [["textbf: --rwrap;" if b else "" for b in best] for *_, best in rows],
        index=table.index,
        columns=table.columns,
    )
    styler = shown.replace(DASH, "--").rename_axis(index=None).style.format(escape="latex")
    styler = styler.format_index(escape="latex", axis=0).format_index(escape="latex", axis=1)
    return styler.apply(lambda _: bold, axis=None).to_latex(
        hrules=True,
        caption=_escape_latex(text),
        label=label,
        position_float="centering",
        column_format="l" + "r" * table.shape[1],
    )


def _marked(table: pd.DataFrame) -> list[tuple[str, list[str], list[bool]]]:
    """Return each row as name, printed values, and which of them are the best as printed.

    A mean that covers fewer categories than the table has says so, and no mean of such a row is the best.
    """
    covered = table.drop(index=MEAN).notna().sum()
    total = len(table) - 1
    rows = []
    for name, values in table.round(DIGITS).iterrows():
        printed = [DASH if pd.isna(value) else f"{value:.{DIGITS}f}" for value in values]
        comparable = table.shape[1] > 1
        if name == MEAN and covered.min() < total:
            comparable = False
            printed = [
                f"{text} [{count} of {total}]" if 0 < count < total else text
                for text, count in zip(printed, covered, strict=True)
            ]
        rows.append((str(name), printed, [comparable and value == values.max() for value in values]))
    return rows


def _labels(cells: pd.DataFrame) -> "pd.Series[str]":
    return cells["method"].where(cells["variant"] == "", cells["method"] + " (" + cells["variant"] + ")")


def _rows(cells: pd.DataFrame) -> "pd.Series[str]":
    if cells["dataset"].nunique() == 1:
        return cells["category"]
    return cells["dataset"] + " " + cells["category"]


def metric_name(label: str) -> str:
    """Replace what MLflow does not accept in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in label)


def _escape_latex(text: str) -> str:
    return "".join(
        {"&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_", "$": r"\$", "{": r"\{", "}": r"\}"}.get(c, c)
        for c in text
    )
