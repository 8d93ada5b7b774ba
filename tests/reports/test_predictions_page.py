"""The page of predictions: one file, no request, what needs attention first, names harmless."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from PIL import Image

from reports.predictions import page
from reports.predictions.histogram import HEIGHT, WIDTH, histogram
from store.predictions import (
    PREVIEWS,
    TABLE,
    About,
    ColourScale,
    Prediction,
    PredictionTable,
    Threshold,
    preview_of,
    write_about,
)

EVIL = "<img src=x onerror=alert(1)>"
THRESHOLD = Threshold("train_quantile", 0.5, 0.25, "of the detector's cell")
ABOUT = About({"detector": "stfpm bottle"}, THRESHOLD, ColourScale(0.0, 0.5, 0.25))


def row(name: str, score: float, label: str = "", verdict: str | None = None) -> Prediction:
    judged = ("anomalous" if score >= 0.5 else "normal") if verdict is None else verdict
    heat_map = f"heat_maps/{abs(hash(name))}.png"
    return Prediction(
        f"photos/{name}", score, 0.5, "train_quantile", judged, 0.1, label, map_max=score, heat_map=heat_map
    )


def rendered(folder: Path, rows: Sequence[Prediction], about: About = ABOUT) -> str:
    """Write a folder of predictions and return its page."""
    (folder / PREVIEWS).mkdir(exist_ok=True)
    write_about(folder, about)
    table = PredictionTable(folder / TABLE)
    for each in rows:
        table.add(each)
        if each.heat_map:
            Image.new("RGB", (8, 4)).save(folder / preview_of(each.heat_map))
    table.close()
    return page.write(folder).read_text()


def text(html: str) -> str:
    """Return what a reader sees."""
    shown = re.sub(r"<(style|title)>.*?</\1>", "", html, flags=re.DOTALL)
    return unescape(" ".join(re.sub(r"<[^>]*>", " ", shown).split()))


def names(html: str) -> list[str]:
    """Return the names of the images, in the order of the page."""
    return [unescape(name) for name in re.findall(r'<p><a href="[^"]*">([^<]*)</a></p>', html)]


LABELLED = [
    row("hit.png", 0.9, "anomalous"),
    row("low miss.png", 0.1, "anomalous"),
    row("high miss.png", 0.4, "anomalous"),
    row("alarm.png", 0.6, "normal"),
    row("high alarm.png", 0.7, "normal"),
    row("rejected.png", 0.2, "normal"),
]


def test_misses_come_first_then_false_alarms_then_the_others(tmp_path: Path) -> None:
    html = rendered(tmp_path, LABELLED)
    assert names(html) == [
        *("low miss.png", "high miss.png"),
        *("high alarm.png", "alarm.png"),
        *("hit.png", "rejected.png"),
    ]
    assert re.findall(r"<h2>(\w+ ?\w*) <small>", html) == ["Misses", "False alarms", "Other images"]
    assert "6 images scored 2 misses 2 false alarms 1 hit 1 correct rejection" in text(html)


def test_without_labels_the_highest_scores_come_first(tmp_path: Path) -> None:
    html = rendered(tmp_path, [replace(each, label="") for each in LABELLED])
    assert names(html)[0] == "hit.png"
    assert names(html)[-1] == "low miss.png"
    assert re.findall(r"<h2>(\w+) <small>", html) == ["Anomalous", "Normal"]
    assert "6 images scored 3 anomalous 3 normal" in text(html)


def test_without_a_threshold_there_are_scores_alone(tmp_path: Path) -> None:
    html = rendered(tmp_path, [row("a.png", 0.9, verdict="")], replace(ABOUT, threshold=None))
    assert "There are no verdicts" in text(html)
    assert "× threshold" not in html
    assert names(html) == ["a.png"]


def test_thresholds_policy_and_a_warning_are_stated(tmp_path: Path) -> None:
    about = replace(ABOUT, threshold=replace(THRESHOLD, warning="An oracle, take care."))
    shown = text(rendered(tmp_path, LABELLED, about))
    assert "image threshold 0.5: an image is anomalous if its score reaches it" in shown
    assert "pixel threshold 0.25 policy train_quantile, of the detector's cell" in shown
    assert "An oracle, take care." in shown
    assert "The line encloses pixels that reach the pixel threshold, 0.25" in shown


@pytest.mark.parametrize(
    ("threshold", "score", "shown"),
    [
        (0.5, 0.75, "0.75, 1.50 × threshold"),
        (-2.0, -1.0, "-1, +1 from the threshold"),
        (0.0, 0.5, "+0.5 from"),
    ],
)
def test_the_distance_to_the_threshold_is_a_ratio_where_that_means_something(
    tmp_path: Path, threshold: float, score: float, shown: str
) -> None:
    about = replace(ABOUT, threshold=replace(THRESHOLD, image=threshold))
    assert shown in text(rendered(tmp_path, [row("a.png", score)], about))


def test_images_that_are_judged_by_their_maps_show_the_number_that_is_compared(tmp_path: Path) -> None:
    about = replace(ABOUT, threshold=replace(THRESHOLD, judges_maps=True))
    shown = text(rendered(tmp_path, [replace(row("a.png", 7.0), map_max=0.25)], about))
    assert "0.25, 0.50 × threshold" in shown
    assert "Largest pixels of the maps" in shown


def test_skipped_images_are_listed_unless_they_were_scored_later(tmp_path: Path) -> None:
    broken = [Prediction(f"photos/{name}", error=f"photos/{name}: empty") for name in ("a.png", "b.png")]
    shown = text(rendered(tmp_path, [*broken, row("a.png", 0.9)]))
    assert "1 image scored 1 anomalous 0 normal 1 skipped" in shown
    assert "photos/b.png: empty" in shown
    assert "photos/a.png: empty" not in shown


def test_many_images_are_cut_where_the_page_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST", 3)
    html = rendered(tmp_path, LABELLED)
    assert names(html) == ["low miss.png", "high miss.png", "high alarm.png"]
    assert "3 more images are not shown; all are in predictions.csv" in text(html)
    assert "6 images scored" in text(html)


def test_nothing_but_the_page_itself_is_loaded(tmp_path: Path) -> None:
    html = rendered(tmp_path, LABELLED)
    assert set(re.findall(r'(?:src|data)="(data:image/jpeg;base64,|[^"]*)', html)) == {
        "data:image/jpeg;base64,"
    }
    assert "<script" not in html
    assert "style=" not in html.replace("style-src", "")
    (style,) = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:" in html


def test_names_are_text_and_links_lead_to_the_files(tmp_path: Path) -> None:
    odd = [f"{EVIL}.png", "100%?#&\"'.png", "javascript:alert(1).png", "größe 日本.png"]
    about = About({"detector": EVIL, "teacher": "</style>"}, replace(THRESHOLD, warning=EVIL))
    html = rendered(tmp_path, [row(name, 0.9) for name in odd], about)
    assert "<img src=x" not in html
    assert html.count("</style>") == 1
    assert sorted(names(html)) == sorted(odd)
    links = re.findall(r'<p><a href="([^"]*)">', html)
    assert not any(re.match(r"\w+:", link) for link in links)
    assert any(link.endswith("photos/100%25%3F%23%26%22%27.png") for link in links)


def test_files_without_a_common_folder_keep_their_paths(tmp_path: Path) -> None:
    html = rendered(tmp_path, [replace(row("a.png", 0.9), file="/x/a.png"), row("b.png", 0.8)])
    assert names(html) == ["/x/a.png", "photos/b.png"]


def test_a_folder_without_images_has_a_page(tmp_path: Path) -> None:
    assert "0 images scored" in text(rendered(tmp_path, [], replace(ABOUT, colours=None)))


def test_bars_stand_on_each_other_and_the_threshold_lies_among_them() -> None:
    drawn = histogram({"normal": [0.0, 0.0, 1.0], "anomalous": [1.0, 2.0]}, threshold=1.0)
    assert drawn is not None
    assert (drawn.low, drawn.high) == (0.0, 2.0)
    assert drawn.threshold == WIDTH / 2
    tops = {(bar.group, bar.x): (bar.y, bar.height) for bar in drawn.bars}
    assert tops["normal", 0.0] == (0.0, HEIGHT)
    assert tops["normal", WIDTH / 2] == (HEIGHT / 2, HEIGHT / 2)
    assert tops["anomalous", WIDTH / 2] == (0.0, HEIGHT / 2)


@pytest.mark.parametrize("scores", [[], [3.0], [3.0, 3.0]])
def test_any_number_of_scores_can_be_drawn(scores: list[float]) -> None:
    drawn = histogram({"normal": scores}, None)
    assert (drawn is None) == (not scores)
