"""The folder of predictions that `python -m benchmark.predict` writes: its table and its description.

Each writer stands next to its reader.
"""

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from store.errors import StoreError
from store.folders import replace_text
from store.text import one_line

TABLE, ABOUT, PAGE = "predictions.csv", "about.json", "page.html"
HEAT_MAPS, MAPS, PREVIEWS = "heat_maps", "maps", "previews"
PARTS = (TABLE, PAGE, HEAT_MAPS, MAPS, PREVIEWS, ABOUT)
"""Contents of the folder."""
FORMAT = 1

COLOURS = "inferno"
"""matplotlib's name of the heat maps' colours."""
OPACITY = ((0.0, 0.5, 1.0), (0.0, 0.55, 0.75))
"""How strongly they cover the image: places on the scale and the opacity at each, linear in between."""

ANOMALOUS, NORMAL = "anomalous", "normal"
"""Verdicts, and labels."""
DETECTOR = "detector"
"""The fact of `About.detector` that names it."""
OUTCOMES = ("miss", "false alarm", "hit", "correct rejection")
"""Verdicts compared with labels."""
WRONG = {"miss": "missed", "false alarm": "false alarm"}
"""Those of them that are wrong, and what is written at an image."""


def outcome_of(is_anomalous: bool, is_judged_anomalous: bool) -> str:
    """Return one of `OUTCOMES`."""
    if is_anomalous:
        return "hit" if is_judged_anomalous else "miss"
    return "false alarm" if is_judged_anomalous else "correct rejection"


@dataclass(frozen=True)
class Prediction:
    """A row of the table: one image.

    Attributes
    ----------
    file
        The image.
    score
        Its image score; larger is more anomalous. None: the image could not be scored.
    threshold, policy
        The image threshold, and how it was chosen; None and empty: there is none.
    verdict
        `anomalous` or `normal`; empty without a score or a threshold.
    seconds
        From file to score, averaged over the images that were read and scored together.
    label
        `anomalous` or `normal`, where it is known.
    error
        Why the image was skipped; empty: it was not.
    map_max
        The largest pixel of its anomaly map.
    heat_map, map
        Its picture and its map, paths in the folder; empty where there is none.
    """

    file: str
    score: float | None = None
    threshold: float | None = None
    policy: str = ""
    verdict: str = ""
    seconds: float | None = None
    label: str = ""
    error: str = ""
    map_max: float | None = None
    heat_map: str = ""
    map: str = ""

    @property
    def outcome(self) -> str:
        """One of `OUTCOMES`; empty without a verdict or a label."""
        if not (self.verdict and self.label):
            return ""
        return outcome_of(self.label == ANOMALOUS, self.verdict == ANOMALOUS)


COLUMNS = tuple(field.name for field in fields(Prediction))
_NUMBERS = frozenset(field.name for field in fields(Prediction) if field.type == float | None)


class PredictionTable:
    """Appends rows to a table, which is made if there is none; whenever the process ends, every row is whole.

    Raises
    ------
    OSError
        If the file cannot be written; also by `add`, which then leaves no part of its row.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        if self._file.tell() == 0:
            self._write(COLUMNS)

    def add(self, prediction: Prediction) -> None:
        """Append a row."""
        self._write(astuple(prediction))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, values: tuple[Any, ...]) -> None:
        text = io.StringIO()
        csv.writer(text).writerow([one_line(value) if isinstance(value, str) else value for value in values])
        line, end = text.getvalue().encode(), self._file.tell()
        if self._file.write(line) != len(line):  # the disk took a part of it
            self._file.truncate(end)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def read_predictions(path: Path) -> Iterator[Prediction]:
    """Yield the rows of a table.

    Raises
    ------
    StoreError
        If it is not such a table.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file, strict=True)
            if tuple(next(rows, ())) != COLUMNS:
                raise ValueError(f"expected the columns {', '.join(COLUMNS)}")
            for row in rows:
                yield Prediction(
                    **{name: _parsed(name, text) for name, text in zip(COLUMNS, row, strict=True)}
                )
    except (OSError, ValueError, csv.Error) as error:
        raise StoreError(f"{path}: not a table of predictions ({error})") from None


def _parsed(name: str, text: str) -> Any:
    if name not in _NUMBERS:
        return text
    return float(text) if text else None


def repair_table(path: Path) -> None:
    """Cut a table after its last whole row, in case a power cut has left a part of one; a row is one line."""
    content = path.read_bytes()
    if not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


@dataclass(frozen=True)
class Threshold:
    """The thresholds that judge images and their pixels.

    Attributes
    ----------
    policy
        How they were chosen, one word.
    image, pixel
        An image is anomalous whose score reaches `image`, a pixel whose value in the map reaches `pixel`.
    origin
        Where they come from, the end of a sentence that begins with "thresholds".
    judges_maps
        Whether images are judged by the largest pixel of their maps instead of their scores.
    warning
        What makes the verdicts doubtful, a sentence; empty: nothing is known.
    """

    policy: str
    image: float
    pixel: float
    origin: str
    judges_maps: bool = False
    warning: str = ""

    def judged(self, score: float, map_max: float) -> float:
        """Return the number that is compared with the image threshold."""
        return map_max if self.judges_maps else score


@dataclass(frozen=True)
class ColourScale:
    """The colours of all heat maps of a folder: from transparent at `low` to the strongest colour at `high`.

    `contour` is the value at which a line is drawn, the pixel threshold; None: there is none.
    """

    low: float
    high: float
    contour: float | None = None

    def position(self, value: float) -> float:
        """Return the place of a value on the scale, 0 to 1."""
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class About:
    """What the predictions of a folder have in common.

    Attributes
    ----------
    detector
        Its facts by name: what it is, and its training key.
    threshold
        None: the detector has none, and there are no verdicts.
    colours
        None before the first image was scored.
    """

    detector: Mapping[str, str]
    threshold: Threshold | None
    colours: ColourScale | None = None


def preview_of(heat_map: str) -> str:
    """Return the path of the preview that belongs to a heat map, both in the folder."""
    return f"{PREVIEWS}/{Path(heat_map).stem}.jpg"


def write_about(folder: Path, about: About) -> None:
    """Write the description of a folder, whole or not at all."""
    text = json.dumps({"format": FORMAT, **asdict(about)}, indent=1)
    replace_text(folder / ABOUT, text)


def read_about(folder: Path) -> About:
    """Read the description of a folder.

    Raises
    ------
    StoreError
        If it is not such a description.
    """
    path = folder / ABOUT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"found format {content['format']}; expected {FORMAT}")
        threshold, colours = content["threshold"], content["colours"]
        return About(
            {str(name): str(value) for name, value in content["detector"].items()},
            Threshold(**threshold) if threshold else None,
            ColourScale(**colours) if colours else None,
        )
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError) as error:
        raise StoreError(f"{path}: not a description of predictions ({error})") from None
