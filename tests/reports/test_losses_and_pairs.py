"""Losses and teacher-student pairs: the epoch that was kept, all pairs, one scale."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from reports.figures.losses import loss_figures
from reports.figures.pairs import draw_pairs
from store.files import Pairs
from tests.reports.pictured import (
    CATEGORIES,
    CELLS,
    FILES,
    METRICS,
    Made,
    dots,
    files,
    heights,
    pictured_cells,
    texts,
    xs,
)

FIGURES = {figure.name: figure for figure in loss_figures(CELLS, FILES)}


def test_the_epoch_that_was_kept_is_a_dot_on_each_curve() -> None:
    for axes in FIGURES["losses-rd"].draw().axes:  # rd failed on one of the categories
        assert [xs(dot) for dot in dots(axes)] == [[METRICS["student/best_epoch"]]] * (len(CATEGORIES) - 1)


@pytest.mark.parametrize(
    ("history", "kept"), [({100: 3.0, 200: 2.0, 300: 2.5}, 200), ({100: 3.0, 150: 2.0}, 150)]
)
def test_stages_that_count_steps_say_so_and_keep_their_place(history: dict[int, float], kept: int) -> None:
    """Also where the training ended within a round."""

    class Steps(Made):
        def history(self, run_id: str, metric: str) -> dict[int, float]:
            return history

    (figure,) = loss_figures(pictured_cells(["rd"], ["bottle"]), files(Steps()))
    loss, _ = figure.draw().axes
    assert loss.get_xlabel() == "Step"
    assert [xs(dot) for dot in dots(loss)] == [[kept]]


def pairs(anomalous: list[bool]) -> Pairs:
    count = len(anomalous)
    points = np.arange(2 * count, dtype=np.float32).reshape(count, 2)
    distance = np.arange(count, dtype=np.float32)
    return Pairs(points, points + 1, distance, np.array(anomalous))


def test_each_kinds_distances_add_up_to_one_and_all_pairs_are_joined() -> None:
    drawn = draw_pairs(pairs([False] * 5 + [True] * 3))
    assert [parts.sum() for parts in heights(drawn)] == pytest.approx([1, 1])
    joined = [
        len(each.get_segments())
        for axes in drawn.axes
        for each in axes.collections
        if isinstance(each, LineCollection)
    ]
    assert joined == [5, 3]


def test_both_kinds_and_both_directions_have_one_scale() -> None:
    drawn = draw_pairs(pairs([False] * 5 + [True] * 3))
    drawn.draw_without_rendering()
    left, right = [axes for axes in drawn.axes if axes.get_xlabel().startswith("Projection")]
    assert (left.get_xlim(), left.get_ylim()) == (right.get_xlim(), right.get_ylim())
    (width, height), box = np.ptp([left.get_xlim(), left.get_ylim()], axis=1), left.get_window_extent()
    assert width / box.width == pytest.approx(height / box.height)
    assert left.get_xlim()[0] <= 0
    assert left.get_xlim()[1] >= 15  # the largest coordinate


def test_a_category_without_anomalous_locations_is_drawn_all_the_same() -> None:
    assert "Anomalous locations (0 of 0)" in texts(draw_pairs(pairs([False] * 5)))
