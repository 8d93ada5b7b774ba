"""The leaderboard: the order of methods, how sure it is, and the same in words."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from reports.facts import heading
from reports.model import Leaderboard
from reports.page.strips import chart
from reports.statistics.ranks import average_ranks, pairwise
from reports.tables.comparison import samples
from reports.tables.files import wide
from reports.tables.leaderboard import leaderboards
from store.tags import ANOMALOUS_IMAGES, FALSE_ALARMS, INFERENCE_SECONDS_SINGLE, MISSES, NORMAL_IMAGES
from tests.reports.made import NAN, cells, over_seeds

EIGHT = [f"c{i}" for i in range(8)]
NOISE = np.random.default_rng(0).uniform(-0.05, 0.05, 8).round(3)


def board(table: pd.DataFrame) -> Leaderboard:
    (only,) = leaderboards(table, ["pro"])
    return only


def by_category(values: Mapping[str, Iterable[float]]) -> pd.DataFrame:
    return cells(*((m, c, v) for m, own in values.items() for c, v in zip(EIGHT, own, strict=False)))


def with_verdicts(table: pd.DataFrame, **counts: tuple[int, int]) -> pd.DataFrame:
    """Add misses and false alarms of each method in each category, of 10 anomalous and 4 normal images."""
    runs = table[["method", "category"]].itertuples(index=False)
    parts = [
        cells((method, category, value), metric=metric, threshold_policy="train_quantile")
        for method, category in runs
        for metric, value in {
            f"{MISSES}train_quantile": counts[method][0],
            f"{FALSE_ALARMS}train_quantile": counts[method][1],
            ANOMALOUS_IMAGES: 10,
            NORMAL_IMAGES: 4,
        }.items()
    ]
    return pd.concat([table.assign(threshold_policy="train_quantile"), *parts], ignore_index=True)


def test_the_best_mean_comes_first_with_its_lead() -> None:
    made = board(by_category({"stfpm": [0.8, 0.7], "rd": [0.9, 0.7], "ast": [0.6, 0.5]}))
    assert list(made.sheet.shown.index) == ["rd", "stfpm", "ast"]
    assert list(made.sheet.shown["PRO (exact)"]) == ["0.800", "0.750", "0.550"]
    assert made.sheet.best is not None
    assert list(made.sheet.best["PRO (exact)"]) == [True, False, False]
    assert (
        made.sentences[0]
        == "RD has the highest mean PRO (exact): 0.800 over 2 categories, 0.050 above STFPM."
    )


def test_deviations_over_seeds_stand_in_table_and_sentence() -> None:
    made = board(over_seeds({("rd", "a"): [0.9, 0.8], ("stfpm", "a"): [0.7, 0.7]}))
    assert made.sheet.shown["PRO (exact)"]["rd"] == "0.850 ± 0.071"
    assert (
        made.sentences[0]
        == "RD has the highest PRO (exact): 0.850 ± 0.071 on a and 2 seeds, 0.150 above STFPM."
    )


def test_few_categories_cannot_show_a_difference_and_the_answer_says_so() -> None:
    made = board(by_category({"rd": [0.9, 0.9, 0.9, 0.9], "stfpm": [0.1, 0.1, 0.1, 0.1]}))
    assert (
        made.sentences[1]
        == "With 4 categories no difference can be significant at 0.05 (smallest possible p 0.125)."
    )
    assert made.sheet.shown["against the best"]["stfpm"] == "cannot be tested"
    alone = board(by_category({"rd": [0.9], "stfpm": [0.1]}))
    assert alone.sentences[1] == "With one category it cannot be tested whether this holds for others."


def test_a_method_that_is_better_everywhere_is_significantly_better() -> None:
    made = board(by_category({"rd": 0.9 + NOISE, "stfpm": 0.8 + NOISE}))
    assert made.sentences[1] == "The difference is significant (p < 0.05)."
    assert made.sheet.shown["against the best"]["stfpm"] == "lower, p 0.008"  # 2 / 2^8


def test_methods_that_differ_by_chance_are_not_called_worse() -> None:
    table = by_category({"rd": 0.9 + NOISE, "stfpm": 0.899 + NOISE[::-1], "ast": 0.5 + NOISE})
    made = board(table)
    p = {
        (pair["first"], pair["second"]): pair["p_holm"]
        for pair in pairwise(samples(table, "pro")).to_dict("records")
    }[("rd", "stfpm")]
    assert p >= 0.05
    assert (
        made.sentences[1]
        == f"Not significantly different from it: STFPM (p {p:.2f}); the others are significantly lower."
    )
    assert made.sheet.shown["against the best"]["stfpm"] == f"not significant, p {p:.2f}"
    assert made.sheet.shown["against the best"]["ast"].startswith("lower, p 0.0")


def test_methods_with_the_same_printed_mean_share_the_lead() -> None:
    made = board(by_category({"rd": [0.9, 0.8], "stfpm": [0.8, 0.9001], "ast": [0.1, 0.1]}))
    assert made.sentences[0] == "STFPM and RD share the highest mean PRO (exact): 0.850 over 2 categories."
    assert list(made.sheet.shown["against the best"])[:2] == ["best", "best"]


def test_where_a_method_lacks_a_category_none_is_called_the_best() -> None:
    failed = cells(("rd", "c1", NAN), status="FAILED", metric="")
    made = board(pd.concat([by_category({"rd": [0.9], "stfpm": [0.8, 0.7]}), failed], ignore_index=True))
    assert made.sentences == [
        "No method can be called the best, as the means do not compare: RD has no value for 1 of 2 categories."
    ]
    assert made.sheet.best is not None
    assert not made.sheet.best.to_numpy().any()
    assert made.sheet.partial is not None
    assert made.sheet.partial["PRO (exact)"]["rd"]


def test_a_single_method_has_its_lowest_category() -> None:
    made = board(by_category({"rd": [0.9, 0.7]}))
    assert made.sentences == ["RD: mean PRO (exact) 0.800 over 2 categories; lowest on c1, 0.700."]
    assert list(made.sheet.shown.columns) == ["PRO (exact)"]


def test_misses_and_false_alarms_at_the_threshold_of_the_runs() -> None:
    table = with_verdicts(by_category({"rd": [0.9, 0.9], "stfpm": [0.8, 0.8]}), rd=(6, 0), stfpm=(1, 2))
    made = board(table)
    assert made.sheet.shown["misses"].to_dict() == {"rd": "12 of 20", "stfpm": "2 of 20"}
    assert made.sheet.shown["false alarms"].to_dict() == {"rd": "0 of 8", "stfpm": "4 of 8"}
    assert made.sentences[-1] == (
        "It misses 12 of 20 anomalous images and raises 0 false alarms on 8 normal images at the threshold of its runs "
        "(train_quantile)."
    )
    assert ("threshold train_quantile", 2) in made.sheet.spans


def test_latency_and_average_ranks() -> None:
    table = by_category({"rd": 0.9 + NOISE, "stfpm": 0.899 + NOISE[::-1]})
    timed = cells(("rd", "c0", 0.0123), metric=INFERENCE_SECONDS_SINGLE)
    made = board(pd.concat([table, timed], ignore_index=True))
    assert made.sheet.shown["ms per image"].to_dict() == {"rd": "12.3", "stfpm": "–"}
    assert made.sheet.values["average rank"].to_dict() == average_ranks(samples(table, "pro")).to_dict()


def test_each_dataset_has_its_own_leaderboard() -> None:
    table = pd.concat([cells(("rd", "a", 0.9)), cells(("rd", "b", 0.8), dataset="screws")], ignore_index=True)
    boards = leaderboards(table, ["pro"])
    assert [made.sheet.title for made in boards] == ["Leaderboard on MVTec AD", "Leaderboard on screws"]
    assert len({made.sheet.name for made in boards}) == 2
    assert leaderboards(table, ["image_auroc"]) == []


def test_the_chart_has_a_dot_per_category_on_one_scale() -> None:
    drawn = chart(board(by_category({"rd": [0.9, 0.7], "stfpm": [0.8, 0.75]})), ["0", "1"])
    assert drawn is not None
    places = {strip.name: [float(x.rstrip("%")) for x, _ in strip.dots] for strip in drawn.strips}
    texts = [text for strip in drawn.strips for _, text in strip.dots]
    assert texts == ["c0 0.900", "c1 0.700", "c0 0.800", "c1 0.750"]
    assert places["RD"][0] > places["STFPM"][0] > places["STFPM"][1] > places["RD"][1]
    rd = drawn.strips[0]
    assert float(rd.mean.rstrip("%")) == round(sum(places["RD"]) / 2, 2)
    ticks = [float(text) for _, text in drawn.ticks]
    assert ticks[0] <= 0.7
    assert ticks[-1] >= 0.9


def test_the_scale_of_the_chart_ends_at_the_largest_possible_value() -> None:
    drawn = chart(board(by_category({"rd": [1.0, 0.94], "stfpm": [0.999, 0.95]})), ["0", "1"])
    assert drawn is not None
    assert max(float(text) for _, text in drawn.ticks) <= 1
    assert (
        max(float(x.rstrip("%")) for strip in drawn.strips for x, _ in strip.dots) == 98
    )  # the margin is 2 %


def test_the_title_is_in_words() -> None:
    table = by_category({"rd": [0.9, 0.7], "stfpm": [0.8, 0.7], "ast": [0.5, 0.5]})
    assert heading(table) == "RD, STFPM and AST on MVTec AD"
    assert heading(table[table["category"] == "c0"]) == "RD, STFPM and AST on MVTec AD: c0"
    assert heading(by_category({f"m{i}": [0.5, 0.6] for i in range(6)})) == "6 methods on MVTec AD"


def test_the_wide_table_has_a_row_per_cell_and_a_column_per_metric() -> None:
    table = pd.concat(
        [
            by_category({"rd": [0.9, 0.7]}),
            cells(("rd", "c0", 0.5), metric="dice"),
            cells(("rd", "c0", 7.0), metric=f"{MISSES}f1_image"),
            cells(("rd", "c0", 3.0), metric="student/loss"),
            cells(("stfpm", "c0", NAN), metric="", status="FAILED"),
        ],
        ignore_index=True,
    )
    found = wide(table)
    assert list(found["status"]) == ["FINISHED", "FINISHED", "FAILED"]
    assert found["pro"].tolist()[:2] == [0.9, 0.7]
    assert found["dice"].tolist()[0] == 0.5
    assert found[f"{MISSES}f1_image"].tolist()[0] == 7
    assert "student/loss" not in found
