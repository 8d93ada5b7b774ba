"""Scores, overlaps and measures: kinds of anomaly, sizes of regions, heat maps and boxes."""

import numpy as np
import pandas as pd
import pytest

from reports.figures.distributions import auroc_of_kinds, draw_histograms, draw_kinds, score_figures
from reports.figures.sizes import by_size, quartiles, size_figures
from reports.figures.summaries import draw_boxes, summary_figures
from tests.reports.made import NAN, cells
from tests.reports.pictured import (
    CATEGORIES,
    CELLS,
    FILES,
    METHODS,
    Made,
    dots,
    files,
    heights,
    pictured_cells,
    texts,
    xs,
    ys,
)

FIGURES = {figure.name: figure for make in (score_figures, size_figures) for figure in make(CELLS, FILES)}


SCORES = pd.DataFrame(
    [("good", 0, 0.0), ("good", 0, 1.0), ("crack", 1, 2.0), ("crack", 1, 3.0), ("hole", 1, 0.5)],
    columns=["kind", "label", "score"],
)


def test_the_auroc_of_a_kind_is_against_all_normal_images() -> None:
    kinds, counts = auroc_of_kinds({"rd": {"0": SCORES}, "ast": {}})
    assert kinds["rd"].to_dict() == {"crack": 1.0, "hole": 0.5}
    assert counts.to_dict() == {"crack": 2, "hole": 1}


def test_the_auroc_of_a_kind_is_averaged_over_seeds() -> None:
    turned = SCORES.assign(score=-SCORES["score"])
    kinds, counts = auroc_of_kinds({"rd": {"0": SCORES, "1": turned}})
    assert kinds["rd"].to_dict() == {"crack": 0.5, "hole": 0.5}
    assert counts["crack"] == 2


def test_without_normal_images_no_kind_has_an_auroc_and_nothing_breaks() -> None:
    kinds, counts = auroc_of_kinds({"rd": {"0": SCORES[2:]}})
    assert kinds["rd"].isna().all()
    assert "crack (2)" in texts(draw_kinds(kinds, counts, ["rd"]))


def test_histograms_hold_every_image_in_the_same_bins() -> None:
    normal, anomalous = heights(draw_histograms({"rd": (SCORES, 1.5)}))
    assert (normal.sum(), anomalous.sum()) == (2, 3)
    assert len(normal) == len(anomalous)


def test_a_threshold_that_is_undefined_is_not_drawn() -> None:
    drawn = [draw_histograms({"rd": (SCORES, threshold)}) for threshold in (1.5, NAN)]
    assert [len(figure.axes[0].lines) for figure in drawn] == [1, 0]
    assert xs(drawn[0].axes[0].lines[0])[0] == 1.5


def test_scores_that_are_not_finite_are_counted_in_the_title() -> None:
    broken = SCORES.assign(score=[0.0, NAN, 2.0, np.inf, 0.5])
    assert "RD (2 not finite)" in texts(draw_histograms({"rd": (broken, NAN)}))


def test_an_oracle_threshold_is_named_as_one() -> None:
    assert "f1_image (oracle: chosen on the test images)" in FIGURES["scores-bottle"].caption
    assert "image threshold (oracle)" in texts(FIGURES["scores-bottle"].draw())
    table = pictured_cells(["rd"], ["bottle"]).assign(threshold_policy="train_quantile")
    scores, *_ = score_figures(table, files(Made()))
    assert "oracle" not in scores.caption
    assert "image threshold" in texts(scores.draw())


def test_the_kinds_of_all_categories_have_one_scale() -> None:
    scales = {FIGURES[f"kinds-{category}"].draw().axes[0].get_ylim() for category in CATEGORIES}
    assert len(scales) == 1


def test_kinds_are_of_anomalies_as_they_may_be_classes_and_no_defects() -> None:
    figure = FIGURES["kinds-bottle"]
    assert figure.title == "Kinds of anomaly of bottle"
    assert "Kind of anomaly (number of images)" in texts(figure.draw())


def test_regions_are_binned_by_their_part_of_the_image() -> None:
    entries = [("rd", "0", 0.002, 0.2), ("rd", "0", 0.002, 0.4), ("rd", "0", 0.5, 0.9)]
    entries += [("rd", "1", 0.002, 0.6), ("rd", "1", 0.002, 0.8), ("rd", "1", 0.5, 0.9)]
    entries += [("ast", "0", 0.002, 1.0)]
    regions = pd.DataFrame(entries, columns=["label", "seed", "part", "pro"])
    means, counts = by_size(regions)
    lower, upper = quartiles(regions)
    assert (lower["rd"].iloc[0], upper["rd"].iloc[0]) == pytest.approx((0.35, 0.65))
    assert means["rd"].to_list() == pytest.approx([0.5, 0.9])
    assert means["ast"].to_list() == pytest.approx([1.0, NAN], nan_ok=True)
    # two regions however many seeds; ast lacks one of them, and the large one
    assert counts == ["1–2", "0–1"]


def test_methods_whose_regions_are_of_fewer_categories_are_named() -> None:
    assert "not all categories: stfpm (2 of 3), rd (2 of 3);" in FIGURES["sizes"].caption


def test_without_regions_there_is_no_figure() -> None:
    assert size_figures(pictured_cells(["rd"], ["bottle"]), files(Made(["rd/bottle/0"]))) == []


def test_a_heat_map_prints_every_value_and_why_there_is_none() -> None:
    undefined = cells(("a", "cable", 0.5), metric="image_auroc", run_id="x")
    failed = cells(("b", "cable", NAN), metric="", status="FAILED", run_id="y")
    table = pd.concat([cells(("a", "bottle", 0.91234), run_id="z"), undefined, failed])
    (heat,) = summary_figures(table, ["pro"])
    printed = texts(heat.draw())
    assert {"0.912", "undefined", "failed", "–"} <= set(printed)
    assert "not all categories: a (1 of 2), b (0 of 2)" in heat.caption


def test_boxes_show_every_category_as_a_point() -> None:
    table = pd.DataFrame({"a": [0.5, 0.6, 0.7], "b": [0.1, NAN, 0.3]})
    axes = draw_boxes(table, "PRO").axes[0]
    (points,) = dots(axes)
    assert sorted(ys(points)) == pytest.approx([0.1, 0.3, 0.5, 0.6, 0.7])
    assert sorted(np.round(xs(points))) == [0, 0, 0, 1, 1]
    assert {0.6, 0.2} <= {round(ys(line)[0], 3) for line in axes.lines}  # the medians


def test_two_categories_have_no_quartiles_and_so_no_boxes() -> None:
    names = [
        figure.name
        for count in (2, 3)
        for figure in summary_figures(pictured_cells(METHODS, CATEGORIES[:count]), ["pro"])
    ]
    assert names == ["heat-pro", "heat-pro", "boxes-pro"]


def test_entries_of_fewer_seeds_are_counted_in_the_caption() -> None:
    table = pictured_cells(["rd"], ["bottle", "cable"], ("0", "1"), failed=["rd/cable/1"])
    (heat,) = summary_figures(table, ["pro"])
    assert "mean over 2 seeds (0, 1); 1 of 2 entries from fewer seeds" in heat.caption
