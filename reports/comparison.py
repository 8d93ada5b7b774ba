"""The comparison of methods over categories: what a sweep's tables hold and say, and where they go."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from mlflow import MlflowClient
from rich.console import Console

from metrics import MEASURES, is_oracle
from reports.cells import find_sweep, read_cells
from reports.rendering import to_latex, to_markdown, to_rich
from reports.seeds import MEAN, Spread, describe_seeds, seeds_of, spread_of, tidy, values_by_seed


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
            text, spread = caption(cells, metric), spread_of(cells, metric)
            title, _, rest = text.partition("; ")
            console.print("", title, to_rich(table, spread), sep="\n", style="bold", highlight=False)
            console.print(rest, style="dim", markup=False, highlight=False)
            _write(folder, metric, table, spread, text)
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


def _write(folder: Path, metric: str, table: pd.DataFrame, spread: Spread, text: str) -> None:
    """Write one measure's table in every format, and with several seeds its entries one by one."""
    (folder / f"{metric}.csv").write_text(table.to_csv())
    (folder / f"{metric}.md").write_text(to_markdown(table, text, spread))
    (folder / f"{metric}.tex").write_text(to_latex(table, text, f"tab:{metric}", spread))
    if len(spread.seeds) > 1:
        (folder / f"{metric}_seeds.csv").write_text(tidy(table, spread).to_csv(index=False))


def comparison(cells: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the table of one measure: a row per category and their mean, a column per method.

    An entry is the mean over the seeds that have a value. In the row of means, it is the mean over
    categories of each seed, averaged over the seeds that have a value for every category; where no seed
    does, the mean over the categories that the method has a value for.
    """
    values = values_by_seed(cells, metric)
    if values.empty:
        return values
    table = values.T.groupby(level="label", sort=False).mean().T.rename_axis(columns=None)
    table.loc[MEAN] = table.loc[MEAN].fillna(table.drop(index=MEAN).mean())
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
    parts.append(describe_seeds(seeds_of(cells), metric))
    commits = {
        (commit[:10] or "unknown") + (" with changes" if dirty == "true" else "")
        for commit, dirty in zip(cells["git_commit"], cells["git_dirty"], strict=True)
    }
    parts.append(f"code {', '.join(sorted(commits))}")
    return "; ".join(parts)


def metric_name(label: str) -> str:
    """Replace what MLflow does not accept in the name of a metric."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "_" for c in label)
