"""How figures look and how they are written."""

from functools import partial
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure as Drawing
from matplotlib.text import Text

from reports.figures.style import (
    COLUMN,
    DOTS,
    drawing,
    legend_below,
    linestyles,
    log_scale,
    markers,
    palette,
    save,
)
from reports.model import Figure

LABELS = [f"method {i}" for i in range(40)]
# mathematical text that cannot be read
NONSENSE = r"$\nonsense{$"


def line(
    title: str = "title", values: tuple[float, ...] = (1, 2), steep: bool = False, width: float = COLUMN
) -> Drawing:
    figure, [[axes]] = drawing(width, 2)
    axes.plot(values, values, label=title)
    axes.set_title(title)
    if steep:
        log_scale(axes, "x")
    legend_below(figure)
    return figure


def broken(width: float) -> Drawing:
    raise RuntimeError("cannot be drawn")


def made(title: str = "title") -> Figure:
    return Figure("line", "A line", "A line.", partial(line, title), "results")


def test_forty_methods_differ_in_colour_or_line_and_in_colour_or_marker() -> None:
    colours = palette(LABELS)
    for second in (linestyles(LABELS), markers(LABELS)):
        assert len({(colours[label], second[label]) for label in LABELS}) == len(LABELS)


def test_the_first_eight_differ_in_colour_alone() -> None:
    assert len(set(palette(LABELS[:8]).values())) == 8


def test_a_colour_depends_on_the_place_only() -> None:
    assert palette(["a", "b"])["b"] == palette(["c", "d", "e"])["d"]


def test_a_figure_is_written_as_pdf_and_png_at_its_printed_size(tmp_path: Path) -> None:
    path = save(made(), tmp_path / "figures", COLUMN)
    assert {file.name for file in path.parent.iterdir()} == {"line.pdf", "line.png"}
    height, width, _ = plt.imread(path).shape
    assert (width, height) == (int(COLUMN * DOTS), 2 * DOTS)
    points = path.with_suffix(".pdf").read_bytes().split(b"/MediaBox [ ")[1].split(b" ]")[0].split()
    assert [float(number) / 72 for number in points] == pytest.approx([0, 0, COLUMN, 2])


def test_the_same_figure_gives_the_same_bytes(tmp_path: Path) -> None:
    first, second = save(made(), tmp_path / "first"), save(made(), tmp_path / "second")
    for ending in (".pdf", ".png"):
        assert first.with_suffix(ending).read_bytes() == second.with_suffix(ending).read_bytes()


def test_a_pdf_holds_its_fonts_as_truetype_and_no_date(tmp_path: Path) -> None:
    content = save(made(), tmp_path).with_suffix(".pdf").read_bytes()
    assert b"/FontFile2" in content
    assert b"/Type3" not in content
    assert b"Date" not in content


def test_names_are_never_mathematical_text(tmp_path: Path) -> None:
    assert save(made(NONSENSE), tmp_path).exists()
    with pytest.raises(ValueError, match="nonsense"):
        line(NONSENSE).draw_without_rendering()  # without the style


def test_a_figure_that_cannot_be_drawn_leaves_nothing_and_keeps_what_was_there(tmp_path: Path) -> None:
    before = save(made(), tmp_path).read_bytes()
    with pytest.raises(RuntimeError, match="cannot be drawn"):
        save(Figure("line", "", "", broken, "results"), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {"line.pdf", "line.png"}
    assert (tmp_path / "line.png").read_bytes() == before


def test_no_global_state_knows_a_figure_or_its_style(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    save(made(), tmp_path)
    assert plt.get_fignums() == []
    assert dict(mpl.rcParams) == before


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ((0.001, 100.0), {"0.001", "0.01", "0.1", "1", "10", "100"}),
        ((2.0, 40.0), {"2", "5", "10", "20"}),
        ((1.0, 3.0), {"1", "2", "3"}),
        ((1.1, 1.4), {"1.1", "1.2", "1.3", "1.4"}),
    ],
)
def test_a_logarithmic_axis_has_plain_numbers_however_short_it_is(
    values: tuple[float, float], shown: set[str]
) -> None:
    figure = line("title", values, True)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    low, high = axes.get_xlim()
    ticks = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    assert shown <= {label.get_text() for place, label in ticks if low <= place <= high}


def test_the_legend_names_each_label_once() -> None:
    figure, axes = drawing(COLUMN, 2, 1, 2)
    for panel in axes.flat:
        panel.plot([1, 2], label="rd")
    legend_below(figure)
    assert [text.get_text() for text in figure.findobj(Text)].count("rd") == 1
