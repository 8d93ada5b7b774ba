"""The table and the description of predictions come back as they were written, also after a crash."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from store.errors import StoreError
from store.predictions import (
    ABOUT,
    TABLE,
    About,
    ColourScale,
    Prediction,
    PredictionTable,
    Threshold,
    preview_of,
    read_about,
    read_predictions,
    repair_table,
    write_about,
)

SCORED = Prediction(
    file='photos/a, "b" <c>.png',
    score=0.1 + 0.2,
    threshold=1e-320,
    policy="f1_image",
    verdict="anomalous",
    seconds=1 / 3,
    label="normal",
    map_max=-1.5,
    heat_map="heat_maps/000001-größe.png",
    map="maps/000001-größe.npy",
)
SKIPPED = Prediction("photos/b.png", error="photos/b.png: the file is empty, or so")


def write(path: Path, *rows: Prediction) -> None:
    table = PredictionTable(path)
    for row in rows:
        table.add(row)
    table.close()


def test_rows_come_back_to_the_last_bit(tmp_path: Path) -> None:
    write(tmp_path / TABLE, SCORED, SKIPPED)
    assert list(read_predictions(tmp_path / TABLE)) == [SCORED, SKIPPED]


def test_pandas_reads_the_table(tmp_path: Path) -> None:
    write(tmp_path / TABLE, SCORED, SKIPPED)
    frame = pd.read_csv(tmp_path / TABLE)
    assert frame["score"].tolist()[0] == pytest.approx(SCORED.score)
    assert frame["file"].tolist() == [SCORED.file, SKIPPED.file]
    assert frame["score"].isna().tolist() == [False, True]


def test_rows_are_appended_under_one_header(tmp_path: Path) -> None:
    for row in (SCORED, SKIPPED):
        write(tmp_path / TABLE, row)
    assert list(read_predictions(tmp_path / TABLE)) == [SCORED, SKIPPED]


def test_a_row_is_one_line_whatever_a_file_is_called(tmp_path: Path) -> None:
    write(tmp_path / TABLE, Prediction("a\nb\r\udcff\u2028.png"))
    assert len((tmp_path / TABLE).read_bytes().splitlines()) == 2
    (row,) = read_predictions(tmp_path / TABLE)
    assert row.file == "a\\nb\\r\\udcff\\u2028.png"


def test_a_disk_that_takes_a_part_of_a_row_keeps_none_of_it(tmp_path: Path) -> None:
    class Full:
        """A disk with room for ten more bytes."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def write(self, content: bytes) -> int:
            return int(self.file.write(content[:10]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    table = PredictionTable(tmp_path / TABLE)
    table.add(SCORED)
    table._file = Full(table._file)  # type: ignore[assignment]
    with pytest.raises(OSError, match="No space left on device"):
        table.add(SKIPPED)
    table.close()
    assert list(read_predictions(tmp_path / TABLE)) == [SCORED]


@pytest.mark.parametrize("kept", [0, 5, -1, -10])
def test_what_a_crash_has_left_of_a_row_is_cut_off(tmp_path: Path, kept: int) -> None:
    path = tmp_path / TABLE
    write(path, SCORED, SKIPPED)
    os.truncate(path, path.stat().st_size + kept if kept < 0 else kept)
    repair_table(path)
    write(path, SKIPPED)
    expected = [SCORED, SKIPPED] if kept < 0 else [SKIPPED]
    assert list(read_predictions(path)) == expected


@pytest.mark.parametrize(
    "content",
    ["", "file,score\na.png,1\n", "not a table", "\ufffd"],
)
def test_another_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / TABLE).write_text(content)
    with pytest.raises(StoreError, match=f"{TABLE}: not a table of predictions"):
        list(read_predictions(tmp_path / TABLE))


def test_a_damaged_number_is_refused(tmp_path: Path) -> None:
    write(tmp_path / TABLE, SCORED)
    with (tmp_path / TABLE).open(newline="") as file:
        header, row = csv.reader(file)
    row[1] = "many"
    with (tmp_path / TABLE).open("w", newline="") as file:
        csv.writer(file).writerows([header, row])
    with pytest.raises(StoreError, match="could not convert string to float: 'many'"):
        list(read_predictions(tmp_path / TABLE))


@pytest.mark.parametrize(
    ("label", "verdict", "outcome"),
    [
        ("anomalous", "anomalous", "hit"),
        ("anomalous", "normal", "miss"),
        ("normal", "anomalous", "false alarm"),
        ("normal", "normal", "correct rejection"),
        ("", "normal", ""),
        ("normal", "", ""),
    ],
)
def test_a_verdict_is_compared_with_the_label(label: str, verdict: str, outcome: str) -> None:
    assert replace(SCORED, label=label, verdict=verdict).outcome == outcome


FULL = About(
    {"detector": "stfpm bottle"},
    Threshold("dice_max", 0.1, 0.1, "of the detector's cell", judges_maps=True, warning="An oracle."),
    ColourScale(-1.0, 1.0, 0.1),
)


@pytest.mark.parametrize("about", [FULL, About({}, None)])
def test_the_description_comes_back(tmp_path: Path, about: About) -> None:
    write_about(tmp_path, about)
    assert read_about(tmp_path) == about
    assert [path.name for path in tmp_path.iterdir()] == [ABOUT]


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", "[" * 100_000, '{"format": 2}', '{"format": 1, "threshold": {"a": 1}}']
)
def test_another_description_is_refused_by_name(tmp_path: Path, content: str) -> None:
    (tmp_path / ABOUT).write_text(content)
    with pytest.raises(StoreError, match=f"{ABOUT}: not a description of predictions"):
        read_about(tmp_path)


def test_places_on_the_colour_scale_end_where_it_ends() -> None:
    scale = ColourScale(1.0, 3.0)
    assert [scale.position(value) for value in (0.0, 1.0, 2.0, 3.0, 9.0)] == [0.0, 0.0, 0.5, 1.0, 1.0]


def test_a_preview_has_the_name_of_its_heat_map() -> None:
    assert preview_of("heat_maps/000001-a.b.png") == "previews/000001-a.b.jpg"
