"""The cost of methods, in a table and against accuracy."""

import itertools
import re

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from reports.figures.pareto import cost_figures, front, trade_off
from reports.figures.style import STYLE
from reports.model import DASH
from reports.tables.cost import conditions, cost_sheets, machines
from store.display_names import method_name
from tests.reports.made import cells

CPU = {
    "device": "cpu",
    "precision": "fp32",
    "cpu": "EPYC",
    "cpu_threads": "2",
    "gpu": "",
    "platform": "Linux-6",
}
SIX = ("rd", "ast", "stfpm", "uninformed_students", "feature_variance", "simple_student")


def timed(latencies: dict[str, list[float]], accuracies: dict[str, list[float]], **tags: str) -> pd.DataFrame:
    """Make cells up that have latencies in seconds and a PRO, by method and category."""
    parts = [
        cells(*((method, f"c{i}", v) for i, v in enumerate(values)), metric=metric, **(CPU | tags))
        for metric, found in (("inference_seconds_single", latencies), ("pro", accuracies))
        for method, values in found.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_costs_are_means_and_deviations_over_cells_in_handy_units() -> None:
    (sheet,) = cost_sheets(timed({"rd": [0.010, 0.014], "ast": [0.5, 0.5]}, {"rd": [0.9, 0.8]}))
    assert sheet.values["one image (ms)"].to_dict() == pytest.approx({"rd": 12, "ast": 500})
    assert sheet.shown["one image (ms)"].to_dict() == {"rd": "12.0 ± 2.8", "ast": "500"}
    assert sheet.section == "cost"


@pytest.mark.parametrize(
    ("metric", "value", "title", "shown"),
    [
        ("train_seconds", 1234.4, "training (s)", "1234"),
        ("pretraining_seconds", 61.26, "pretraining (s)", "61.3"),
        ("inference_seconds_batched", 0.0034567, "in batches (ms/image)", "3.46"),
        ("inference_images_per_second", 289.3, "throughput (images/s)", "289"),
        ("peak_memory_gb", 1.2345, "peak memory (GB)", "1.23"),
        ("parameters", 2_782_784, "parameters (M)", "2.78"),
        ("parameters", 0, "parameters (M)", "0"),
        ("multiply_adds", 2.36e9, "multiply-adds (G/image)", "2.36"),
    ],
)
def test_every_cost_has_its_unit_and_three_digits(metric: str, value: float, title: str, shown: str) -> None:
    (sheet,) = cost_sheets(cells(("rd", "bottle", value), metric=metric))
    assert list(sheet.shown.columns) == [title]
    assert sheet.shown.loc["rd", title] == shown


def test_a_cost_that_a_method_lacks_is_a_dash_and_the_method_stays() -> None:
    pretraining = cells(("uninformed_students", "bottle", 60.0), metric="pretraining_seconds")
    (sheet,) = cost_sheets(pd.concat([cells(("rd", "bottle", 9.0), metric="train_seconds"), pretraining]))
    assert list(sheet.shown.loc["rd"]) == ["9.00", DASH]
    assert list(sheet.shown.loc["uninformed_students"]) == [DASH, "60.0"]


def test_costs_of_failed_cells_do_not_count() -> None:
    half = cells(("rd", "cable", 1.0), metric="train_seconds", status="FAILED")
    (sheet,) = cost_sheets(pd.concat([cells(("rd", "bottle", 9.0), metric="train_seconds"), half]))
    assert sheet.values.loc["rd", "training (s)"] == 9


def test_without_costs_there_is_no_sheet_and_no_figure() -> None:
    assert cost_sheets(cells(("rd", "bottle", 0.9))) == []
    assert cost_figures(cells(("rd", "bottle", 0.9)), "pro") == []


def test_nothing_is_marked_as_the_best() -> None:
    (sheet,) = cost_sheets(timed({"rd": [0.01], "ast": [0.5]}, {}))
    assert sheet.best is None


def test_the_caption_says_on_which_machine_times_were_measured() -> None:
    (sheet,) = cost_sheets(timed({"rd": [0.01]}, {}))
    assert "device cpu, precision fp32, CPU EPYC, threads 2, system Linux-6." in sheet.caption
    assert "What runs at the same time on a machine makes times longer" in sheet.caption


@pytest.mark.parametrize(
    ("busy", "sentence"),
    [
        ((0.01, 0.2), "Other processes kept less than 0.25 cores busy meanwhile."),
        (
            (0.01, 1.04),
            "Other processes kept up to 1.0 cores busy during 1 of 2 cells; times are not corrected",
        ),
    ],
)
def test_the_caption_says_what_other_processes_took(busy: tuple[float, float], sentence: str) -> None:
    taken = [("rd", f"c{i}", value) for i, value in enumerate(busy)]
    found = pd.concat([timed({"rd": [0.01, 0.01]}, {}), cells(*taken, metric="cores_of_others", **CPU)])
    (sheet,) = cost_sheets(found)
    assert sentence in sheet.caption


def test_table_and_figure_say_which_teachers_inference_includes() -> None:
    found = timed({"rd": [0.01], "ast": [0.5]}, {"rd": [0.9], "ast": [0.8]})
    one = "Inference includes the teacher resnet18.tv_in1k (timm's ImageNet weights)."
    assert one in cost_sheets(found)[0].caption
    assert one in cost_figures(found, "pro")[0].caption
    found["backbone"] = found["method"].map({"rd": "resnet34.tv_in1k", "ast": "resnet18.tv_in1k"})
    several = (
        "Inference includes the teacher of rd: resnet34.tv_in1k (timm's ImageNet weights); "
        "the teacher of ast: resnet18.tv_in1k (timm's ImageNet weights)."
    )
    assert several in cost_sheets(found)[0].caption


def test_different_machines_are_distinguished() -> None:
    two = pd.concat([timed({"rd": [0.01]}, {}), timed({"ast": [0.01]}, {}, cpu="Xeon")])
    first, _ = conditions(two)
    assert "2 setups" in first
    assert "CPU EPYC" in first
    assert "CPU Xeon" in first


def test_a_machine_that_is_not_recorded_is_said_to_be_unknown() -> None:
    first, _ = conditions(cells(("rd", "bottle", 0.01), metric="inference_seconds_single"))
    assert "does not say on which machines" in first


def test_an_idle_gpu_and_the_threads_next_to_a_busy_one_make_no_other_machine() -> None:
    on_cpu = [timed({"rd": [0.01]}, {}, gpu=gpu) for gpu in ("", "H200")]
    on_gpu = [timed({"rd": [0.01]}, {}, gpu="H200", device="cuda", cpu_threads=n) for n in ("2", "4")]
    assert len(machines(pd.concat(on_cpu))) == 1
    assert len(machines(pd.concat(on_gpu))) == 1
    assert len(machines(pd.concat([*on_cpu, *on_gpu]))) == 2


def test_methods_timed_on_different_cells_are_counted() -> None:
    (sheet,) = cost_sheets(timed({"rd": [0.01, 0.02], "ast": [0.5]}, {}))
    assert "Cells: rd 2, ast 1." in sheet.caption


def test_a_measurement_that_cells_of_a_job_repeat_counts_once() -> None:
    jobs = [
        timed({"rd": [0.010, 0.010, 0.010]}, {}, timed_category="c0"),
        timed({"rd": [0.016]}, {}, timed_category="c0", seed="1"),
        timed({"rd": [0.013]}, {}, timed_category="c2", seed="1"),  # resumed in another process
    ]
    (sheet,) = cost_sheets(pd.concat(jobs))
    assert sheet.shown["one image (ms)"].to_dict() == {"rd": "13.0 ± 3.0"}
    assert "timed once per job, for all its categories, on the images of c0, c2." in sheet.caption


def test_accuracy_is_compared_over_categories_that_all_methods_have() -> None:
    found = trade_off(timed({"rd": [0.01, 0.01], "ast": [0.5]}, {"rd": [0.9, 0.1], "ast": [0.8]}), "pro")
    assert found["accuracy"].to_dict() == pytest.approx({"rd": 0.9, "ast": 0.8})
    assert found["latency"].to_dict() == pytest.approx({"rd": 10, "ast": 500})


def test_a_method_without_latency_is_named_as_not_drawn() -> None:
    (figure,) = cost_figures(timed({"rd": [0.01]}, {"rd": [0.9], "ast": [0.8]}), "pro")
    assert "Not drawn" in figure.caption
    assert figure.caption.split("Not drawn")[1].partition(".")[0].endswith(": ast")


def test_the_front_has_all_methods_that_no_other_dominates_equals_included() -> None:
    points = pd.DataFrame(
        {"latency": [1.0, 2, 2, 3, 4, 1], "accuracy": [0.5, 0.7, 0.6, 0.7, 0.8, 0.5]}, index=[*"abcdef"]
    )
    assert front(points) == ["a", "f", "b", "e"]


def axes_of(found: pd.DataFrame) -> Axes:
    """Draw the figure and lay it out."""
    (figure,) = cost_figures(found, "pro")
    assert re.fullmatch(r"[\w-]+", figure.name)
    with mpl.rc_context(STYLE):
        picture = figure.draw()
        picture.draw_without_rendering()
    return picture.axes[0]


@pytest.mark.parametrize("spread", [1.0, 0.02])
def test_names_of_eight_methods_stand_in_the_axes_and_cover_no_other(spread: float) -> None:
    labels = [*SIX, "rd (combine=sum)", "stfpm (training.epochs=5)"]
    places = {label: [0.01 * 10 ** (spread * (3 * i % 8) / 4)] for i, label in enumerate(labels)}
    axes = axes_of(timed(places, {label: [0.9 + 0.01 * (i % 5)] for i, label in enumerate(labels)}))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert sorted(text.get_text() for text in axes.texts) == sorted(map(method_name, labels))
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(axes.bbox.contains(*box.min) and axes.bbox.contains(*box.max) for box in boxes)


def test_the_front_is_a_stair_of_filled_markers_and_dominated_methods_are_hollow() -> None:
    axes = axes_of(timed({"a": [0.01], "b": [0.02], "c": [0.03]}, {"a": [0.5], "b": [0.4], "c": [0.9]}))
    (stair,) = [line for line in axes.lines if line.get_drawstyle() == "steps-post"]
    assert np.asarray(stair.get_xdata(), float)[:2] == pytest.approx([10, 30])
    assert np.asarray(stair.get_ydata(), float) == pytest.approx([0.5, 0.9, 0.9])
    inner = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() != "None"]
    assert [colour == "white" for colour in inner] == [False, True, False]


def test_two_methods_have_no_line_and_a_linear_axis_where_they_are_close() -> None:
    axes = axes_of(timed({"a": [0.01], "b": [0.02]}, {"a": [0.5], "b": [0.9]}))
    assert [line for line in axes.lines if line.get_drawstyle() == "steps-post"] == []
    assert axes.get_xscale() == "linear"
    assert axes_of(timed({"a": [0.01], "b": [0.2]}, {"a": [0.5], "b": [0.9]})).get_xscale() == "log"


def test_names_are_drawn_as_they_are() -> None:
    odd = "100%_odd&co#{}~^\\ $x$"
    axes = axes_of(timed({odd: [0.01]}, {odd: [0.5]}))
    assert [text.get_text() for text in axes.texts] == [odd]
