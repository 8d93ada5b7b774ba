"""The page of a folder of predictions: one self-contained HTML file, which makes no requests and opens from disk."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from reports.page.embedding import data_uri, policy_digest, templates
from reports.predictions.histogram import HEIGHT, WIDTH, histogram
from store.folders import replace_text
from store.predictions import (
    ANOMALOUS,
    COLOURS,
    DETECTOR,
    NORMAL,
    OPACITY,
    OUTCOMES,
    PAGE,
    TABLE,
    WRONG,
    About,
    Prediction,
    Threshold,
    preview_of,
    read_about,
    read_predictions,
)
from store.text import counted

FOLDER = Path(__file__).parent
STYLES = (FOLDER.parent / "page" / "page.css", FOLDER / "page.css")
MOST = 1000
"""So many images are shown."""
STOPS = 16
"""The number of steps of the colours of the legend."""
NO_THRESHOLD = (
    "There are no verdicts, as the detector has no thresholds. "
    "--threshold-from FOLDER takes some from normal images."
)


def write(folder: Path) -> Path:
    """Write the page of a folder of predictions and return its path.

    Raises
    ------
    StoreError
        If the table or the description of the folder cannot be read.
    """
    replace_text(folder / PAGE, render(folder))
    return folder / PAGE


def render(folder: Path) -> str:
    """Return the page: HTML that contains its styles and small pictures."""
    about, rows = read_about(folder), list(read_predictions(folder / TABLE))
    threshold, scored = about.threshold, [row for row in rows if not row.error]
    skipped = _skipped(rows)
    style = "".join(path.read_text("utf-8") for path in STYLES)
    groups = _groups(scored, threshold)
    common = _common_folder(rows)
    template = templates(FOLDER).get_template("page.html")
    return template.render(
        title=f"Predictions of {about.detector.get(DETECTOR, 'a detector')}",
        table=TABLE,
        style=Markup(style),
        digest=policy_digest(style),
        counts=_counts(scored, len(skipped)),
        warning=threshold.warning if threshold else NO_THRESHOLD,
        facts=_facts(about, common),
        scores="Largest pixels of the maps" if threshold and threshold.judges_maps else "Image scores",
        histogram=histogram(groups, threshold.image if threshold else None),
        groups=groups,
        grouped="labelled" if any(row.label for row in scored) else "judged",
        size=(WIDTH, HEIGHT),
        legend=_legend(about),
        skipped=skipped,
        sections=[
            Section(title, note, [_card(row, threshold, folder, common) for row in part])
            for title, note, part in _shown(_sections(scored, threshold))
        ],
        left_out=max(len(scored) - MOST, 0),
    )


@dataclass(frozen=True)
class Card:
    """An image as the template needs it."""

    name: str
    file: str
    heat_map: str
    source: str
    badge: str
    kind: str
    numbers: str


@dataclass(frozen=True)
class Section:
    """Some of the images, under a title."""

    title: str
    note: str
    cards: Sequence[Card]


@dataclass(frozen=True)
class Legend:
    """The colours of the heat maps, (place, colour, opacity) each, numbers below them, and a sentence."""

    stops: Sequence[tuple[float, str, float]]
    numbers: Sequence[str]
    note: str


def _counts(scored: Sequence[Prediction], skipped: int) -> list[tuple[str, str]]:
    """Return (class, text) of the counts that open the page."""
    outcomes = [row.outcome for row in scored if row.outcome]
    verdicts = [row.verdict for row in scored if row.verdict and not row.outcome]
    parts = [("", f"{counted(len(scored), 'image')} scored")]
    if outcomes:
        parts += [(name, counted(outcomes.count(name), name)) for name in OUTCOMES]
    if verdicts:
        note = ", unlabelled" if outcomes else ""
        parts += [(name, f"{verdicts.count(name)} {name}{note}") for name in (ANOMALOUS, NORMAL)]
    if skipped:
        parts.append(("skipped", f"{skipped} skipped"))
    return [("" if text.startswith("0 ") else _as_class(name), text) for name, text in parts]


def _skipped(rows: Sequence[Prediction]) -> list[str]:
    """Return the errors of images that have not been scored later, one for each."""
    errors: dict[str, str] = {}
    for row in rows:
        errors[row.file] = row.error
    return [error for error in errors.values() if error]


def _facts(about: About, common: str) -> list[tuple[str, str]]:
    facts = [*about.detector.items(), *([("folder", common)] if common else [])]
    if (threshold := about.threshold) is None:
        return facts
    judged = "the largest pixel of its map" if threshold.judges_maps else "its score"
    return [
        ("image threshold", f"{threshold.image:.6g}: an image is anomalous if {judged} reaches it"),
        ("pixel threshold", f"{threshold.pixel:.6g}"),
        ("policy", f"{threshold.policy}, {threshold.origin}"),
        *facts,
    ]


def _groups(scored: Sequence[Prediction], threshold: Threshold | None) -> dict[str, list[float]]:
    """Return the judged numbers by label, or by verdict where no label is known."""
    has_labels = any(row.label for row in scored)
    groups: dict[str, list[float]] = {NORMAL: [], ANOMALOUS: [], "": []}
    for row in scored:
        groups[row.label if has_labels else row.verdict].append(_judged(row, threshold))
    return {name: values for name, values in groups.items() if values}


def _sections(
    scored: Sequence[Prediction], threshold: Threshold | None
) -> list[tuple[str, str, list[Prediction]]]:
    """Return the images by what a reader looks for first: title, order and rows of each part."""
    ordered = sorted(scored, key=lambda row: _judged(row, threshold), reverse=True)
    if threshold is None:
        return [("Images", "highest score first", ordered)]
    if not any(row.outcome for row in scored):
        return [
            (name.capitalize(), "highest score first", [row for row in ordered if row.verdict == name])
            for name in (ANOMALOUS, NORMAL)
        ]
    misses = [row for row in reversed(ordered) if row.outcome == "miss"]
    alarms = [row for row in ordered if row.outcome == "false alarm"]
    others = [row for row in ordered if row.outcome not in WRONG]
    return [
        ("Misses", "lowest score first", misses),
        ("False alarms", "highest score first", alarms),
        ("Other images" if misses or alarms else "Images", "highest score first", others),
    ]


def _shown(
    sections: Sequence[tuple[str, str, list[Prediction]]],
) -> Iterator[tuple[str, str, list[Prediction]]]:
    """Yield the parts that hold images, as far as the page shows them."""
    room = MOST
    for title, note, rows in sections:
        if rows[:room]:
            yield title, f"{len(rows)}, {note}", rows[:room]
            room -= len(rows[:room])


def _card(row: Prediction, threshold: Threshold | None, folder: Path, common: str) -> Card:
    preview = folder / preview_of(row.heat_map)
    badge = row.outcome or row.verdict
    label = f"labelled {row.label}" if row.label and not row.outcome else ""
    number = f"{_judged(row, threshold):.4g}"
    return Card(
        name=os.path.relpath(row.file, common) if common else row.file,
        file=quote(os.path.relpath(row.file, folder)),
        heat_map=quote(row.heat_map),
        source=data_uri(preview.read_bytes(), "image/jpeg") if preview.is_file() else "",
        badge=badge,
        kind=_as_class(badge),
        numbers=", ".join(filter(None, [number, _distance(row, threshold), label])),
    )


def _judged(row: Prediction, threshold: Threshold | None) -> float:
    score, map_max = row.score or 0.0, row.map_max or 0.0
    return threshold.judged(score, map_max) if threshold else score


def _distance(row: Prediction, threshold: Threshold | None) -> str:
    """Return how far an image is from the threshold: a ratio, or a difference where one number is not positive."""
    if threshold is None:
        return ""
    judged = _judged(row, threshold)
    if threshold.image > 0 and judged >= 0:
        return f"{judged / threshold.image:.2f} × threshold"
    return f"{judged - threshold.image:+.3g} from the threshold"


def _legend(about: About) -> Legend | None:
    if (scale := about.colours) is None:
        return None
    places = [i / STOPS for i in range(STOPS + 1)]
    stops = [
        (place, to_hex(colormaps[COLOURS](place)), round(float(np.interp(place, *OPACITY)), 3))
        for place in places
    ]
    numbers, note = [f"{scale.low:.4g}", f"{scale.high:.4g}"], "One scale for all images."
    if scale.contour is not None:
        note += f" The line encloses pixels that reach the pixel threshold, {scale.contour:.4g}."
        if scale.position(scale.contour) == 0.5:
            numbers.insert(1, f"{scale.contour:.4g}")
    return Legend(stops, numbers, note)


def _common_folder(rows: Sequence[Prediction]) -> str:
    """Return the folder that holds all files; empty if there is none."""
    try:
        return os.path.commonpath([Path(row.file).parent for row in rows])
    except ValueError:  # of no files, or of relative and absolute paths
        return ""


def _as_class(name: str) -> str:
    return name.replace(" ", "-")
