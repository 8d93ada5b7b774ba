"""Several seeds: deviations, intervals and marks by hand and by scipy, and what each format makes of them."""

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from reports.model import Sheet
from reports.tables.comparison import caption, comparison_sheet, seed_entries
from reports.tables.latex import to_latex
from reports.tables.rendering import to_markdown, to_rich
from tests.reports.made import NAN, cells, over_seeds

# a: complete. b: undefined on cable for seed 1, not run on bottle for seed 2. c: failed but for one cell.
CELLS = over_seeds(
    {
        ("a", "bottle"): [0.90, 0.92, 0.94],
        ("a", "cable"): [0.80, 0.70, 0.75],
        ("b", "bottle"): [0.95, 0.94],
        ("b", "cable"): [0.70, NAN, 0.72],
        ("c", "bottle"): [0.90, None, None],
        ("c", "cable"): [None, None, None],
    }
)


def lines(text: str) -> dict[str, list[str]]:
    """Read the entries of a table in Markdown or on the console, by category."""
    rows = [
        [entry.strip() for entry in line.strip("|│").split(line[0])] for line in text.splitlines() if line
    ]
    return {row[0]: row[1:] for row in rows if row[0] in ("bottle", "cable", "mean")}


def sheet_of(made: pd.DataFrame) -> Sheet:
    sheet = comparison_sheet(made, "pro")
    assert sheet is not None
    return sheet


def markdown(made: pd.DataFrame) -> dict[str, list[str]]:
    return lines(to_markdown(sheet_of(made)))


def entry(made: pd.DataFrame, category: str, method: str, *columns: str) -> list[float]:
    """Return columns of one row of the tidy table."""
    table = seed_entries(made, "pro")
    row = table[(table["category"] == category) & (table["method"] == method)]
    return row[[*columns]].to_numpy(float)[0].tolist()


def test_means_and_deviations_by_hand() -> None:
    assert entry(CELLS, "bottle", "a", "mean", "std", "seeds") == pytest.approx([0.92, 0.02, 3])
    assert entry(CELLS, "cable", "a", "mean", "std", "seeds") == pytest.approx([0.75, 0.05, 3])
    # two values deviate by their distance over the root of two
    deviation = 0.02 / 2**0.5
    assert entry(CELLS, "cable", "b", "mean", "std", "seeds") == pytest.approx([0.71, deviation, 2])


def test_the_mean_row_sums_up_each_seeds_mean_over_categories() -> None:
    deviation = ((0.015**2 + 0.025**2 + 0.01**2) / 2) ** 0.5  # of 0.85, 0.81, 0.845
    assert entry(CELLS, "mean", "a", "mean", "std", "seeds") == pytest.approx([0.835, deviation, 3])


def test_a_seed_that_lacks_a_category_does_not_count_in_the_mean_row() -> None:
    only = (0.95 + 0.70) / 2
    assert entry(CELLS, "mean", "b", "mean", "std", "seeds") == pytest.approx([only, NAN, 1], nan_ok=True)


def test_without_a_complete_seed_the_mean_covers_the_categories_there_are() -> None:
    assert entry(CELLS, "mean", "c", "mean", "std", "seeds") == pytest.approx([0.9, NAN, 0], nan_ok=True)
    scattered = over_seeds({("a", "bottle"): [0.9, None], ("a", "cable"): [None, 0.7]})
    assert markdown(scattered)["mean"] == ["0.800 [0 of 2]"]


def test_markdown_by_hand() -> None:
    assert markdown(CELLS) == {
        "bottle": ["<ins>0.920 ± 0.020</ins>", "**0.945 ± 0.007 [2 of 3]**", "0.900 [1 of 3]"],
        "cable": ["**0.750 ± 0.050**", "<ins>0.710 ± 0.014 [2 of 3]</ins>", "failed"],
        "mean": ["0.835 ± 0.022", "0.825 [1 of 3]", "0.900 [1 of 2 categories]"],
    }


def test_console_by_hand() -> None:
    console = Console(file=io.StringIO(), width=120)
    console.print(to_rich(sheet_of(CELLS)))
    shown = lines(console.file.getvalue())  # type: ignore[attr-defined]
    assert shown["bottle"] == ["0.920 ± 0.020", "0.945 ± 0.007 [2 of 3]", "0.900 [1 of 3]"]
    assert shown["mean"] == ["0.835 ± 0.022", "0.825 [1 of 3]", "0.900 [1 of 2 categories]"]


def test_latex_sets_deviations_as_formulas_and_the_best_in_bold() -> None:
    text = to_latex(sheet_of(CELLS))
    rows = text.split("\\midrule\n", 1)[1].split("\\bottomrule")[0].splitlines()
    assert rows == [
        r"bottle & \underline{$92.0 \pm 2.0$} & \textbf{\boldmath $94.5 \pm 0.7$ [2 of 3]} & 90.0 [1 of 3] \\",
        r"cable & \textbf{\boldmath $75.0 \pm 5.0$} & \underline{$71.0 \pm 1.4$ [2 of 3]} & failed \\",
        r"\midrule",
        r"mean & $83.5 \pm 2.2$ & 82.5 [1 of 3] & 90.0 [1 of 2 categories] \\",
    ]
    assert r"mean $\pm$ standard deviation over 3 seeds (0, 1, 2)" in text
    assert "±" not in text


def test_the_best_is_the_best_mean_as_printed_ties_included() -> None:
    tied = over_seeds(
        {("a", "bottle"): [0.9, 0.8], ("b", "bottle"): [0.8502, 0.8502], ("c", "bottle"): [0.8]}
    )
    assert markdown(tied)["mean"] == ["**0.850 ± 0.071**", "**0.850 ± \\<0.001**", "<ins>0.800</ins>"]


def test_one_method_alone_is_not_marked_best() -> None:
    assert markdown(over_seeds({("a", "bottle"): [0.9, 0.8]}))["bottle"] == ["0.850 ± 0.071"]


def test_a_seed_that_failed_everywhere_is_missed() -> None:
    made = over_seeds({("a", "bottle"): [0.9, 0.8, None]})
    assert markdown(made)["bottle"] == ["0.850 ± 0.071 [2 of 3]"]
    assert "over 3 seeds (0, 1, 2)" in caption(made, "pro")


def test_undefined_for_every_seed_says_so() -> None:
    assert markdown(over_seeds({("a", "bottle"): [NAN, NAN]})) == {"bottle": ["undefined"], "mean": ["–"]}


def test_a_cell_that_was_interrupted_makes_no_seed() -> None:
    made = pd.concat([cells(("a", "bottle", 0.9)), cells(("a", "bottle", 0.5), seed="1", status="KILLED")])
    assert markdown(made)["bottle"] == ["0.900"]
    assert "seed 0;" in caption(made, "pro")


def test_random_numbers_agree_with_numpy_and_scipy() -> None:
    values = np.random.default_rng(0).uniform(size=(3, 7))  # categories, seeds
    made = over_seeds({("a", f"category_{i}"): row.tolist() for i, row in enumerate(values)})
    rows = {f"category_{i}": row for i, row in enumerate(values)} | {"mean": values.mean(0)}
    for name, row in rows.items():
        interval = stats.t.interval(0.95, len(row) - 1, np.mean(row), stats.sem(row))
        expected = [np.mean(row), np.std(row, ddof=1), *interval]
        assert entry(made, name, "a", "mean", "std", "low", "high") == pytest.approx(expected)


def test_intervals_need_five_seeds() -> None:
    five = [0.5, 0.6, 0.7, 0.8, 0.9]
    made = over_seeds({("a", "bottle"): five, ("b", "bottle"): five[:4]})
    # the 0.975 quantile of Student's t with four degrees of freedom; the sum of squares is 0.1
    half = 2.7764451 * (0.1 / 4) ** 0.5 / 5**0.5
    assert entry(made, "bottle", "a", "low", "high") == pytest.approx([0.7 - half, 0.7 + half])
    assert entry(made, "bottle", "b", "low", "high") == pytest.approx([NAN, NAN], nan_ok=True)


@pytest.mark.parametrize(
    ("seeds", "named"),
    [
        (["2", "0", "1"], "over 3 seeds (0, 1, 2)"),
        ([str(seed) for seed in range(10)], "over 10 seeds (0 to 9)"),
        (["0", "1", "2", "3", "4", "10"], "over 6 seeds (0, 1, 2, 3, 4, 10)"),
    ],
)
def test_the_caption_names_the_seeds(seeds: list[str], named: str) -> None:
    text = caption(pd.concat([cells(("a", "bottle", 0.9), seed=seed) for seed in seeds]), "pro")
    assert f"mean ± standard deviation {named};" in text
    assert "row mean: computed per seed over all categories" in text
    assert ("95 % confidence intervals" in text) == (len(seeds) >= 5)


def test_one_seed_says_nothing_of_deviations() -> None:
    made = cells(("a", "bottle", 0.9), ("a", "cable", 0.7), ("b", "bottle", 0.8))
    assert markdown(made)["mean"] == ["0.800", "0.800 [1 of 2]"]
    assert "seed 0;" in caption(made, "pro")
    assert "±" not in to_markdown(sheet_of(made))
    assert r"\pm" not in to_latex(sheet_of(made))


def test_a_method_lacks_no_seed_that_only_other_methods_have() -> None:
    parts = [cells(("rd", "bottle", 0.9), seed="42"), cells(("stfpm", "bottle", 0.8), seed="0")]
    sheet = comparison_sheet(pd.concat(parts, ignore_index=True), "pro")
    assert sheet is not None
    assert [*sheet.shown.loc["bottle"]] == ["0.900", "0.800"]
    assert "seed 42 of rd and 0 of stfpm" in sheet.caption
    assert "deviation" not in sheet.caption


def test_of_methods_with_different_numbers_of_seeds_each_counts_its_own() -> None:
    parts = [over_seeds({("rd", "bottle"): [0.9, 0.8, None]}), over_seeds({("stfpm", "bottle"): [0.7]})]
    sheet = comparison_sheet(pd.concat(parts, ignore_index=True), "pro")
    assert sheet is not None
    assert [*sheet.shown.loc["bottle"]] == ["0.850 ± 0.071 [2 of 3]", "0.700"]
    assert "over the seeds of each method (0, 1, 2 of rd and 0 of stfpm)" in sheet.caption
