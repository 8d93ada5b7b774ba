"""The tables that papers print: means of all methods, and three measures of each category side by side."""

import pandas as pd

from reports.tables.latex import to_latex
from reports.tables.paper import category_triples, mean_sheets
from tests.reports.made import cells

VALUES = {
    ("rd", "bottle"): (0.9, 0.8, 0.7),
    ("rd", "cable"): (0.8, 0.7, 0.6),
    ("stfpm", "bottle"): (1.0, 0.7, 0.7),
    ("stfpm", "cable"): (0.6, 0.8, 0.5),
}
METRICS = ("image_auroc", "pixel_auroc", "pro")


def table(count: int = 3, seeds: int = 1, dataset: str = "mvtec_ad") -> pd.DataFrame:
    return pd.concat(
        [
            cells(*((*names, values[i] - 0.01 * seed) for names, values in VALUES.items()), **about)
            for seed in range(seeds)
            for i, metric in enumerate(METRICS[:count])
            for about in [{"metric": metric, "seed": str(seed), "dataset": dataset}]
        ],
        ignore_index=True,
    )


def test_the_means_over_categories_have_a_row_per_method_and_a_column_per_measure() -> None:
    (sheet,) = mean_sheets(table(), METRICS)
    assert sheet.shown.to_dict("index") == {
        "rd": {"I-AUROC": "0.850", "P-AUROC": "0.750", "PRO": "0.650"},
        "stfpm": {"I-AUROC": "0.800", "P-AUROC": "0.750", "PRO": "0.600"},
    }
    assert sheet.best is not None
    assert sheet.best.to_numpy().tolist() == [[True, True, True], [False, True, False]]
    text = to_latex(sheet)
    assert r"RD & \textbf{85.0} & \textbf{75.0} & \textbf{65.0} \\" in text
    assert r"\caption{Means over 2 categories (\%), MVTec AD.}" in text


def test_the_three_usual_measures_stand_below_each_method() -> None:
    (sheet,) = category_triples(table())
    text = to_latex(sheet)
    assert r" & \multicolumn{3}{c}{RD} & \multicolumn{3}{c}{STFPM} \\" in text
    assert r"Category & I & P & PRO & I & P & PRO \\" in text
    rd, stfpm = (
        r"\underline{90.0} & \textbf{80.0} & \textbf{70.0}",
        r"\textbf{100.0} & \underline{70.0} & \textbf{70.0}",
    )
    assert f"bottle & {rd} & {stfpm} \\\\" in text
    assert r"\caption{Image AUROC (I), pixel AUROC (P), PRO of each category (\%), MVTec AD.}" in text
    assert [*sheet.values.columns][:3] == ["rd image_auroc", "rd pixel_auroc", "rd pro"]


def test_deviations_are_among_the_means_and_not_among_the_categories() -> None:
    (means,), (triples,) = mean_sheets(table(seeds=2), METRICS), category_triples(table(seeds=2))
    assert means.shown.loc["rd", "PRO"] == "0.645 ± 0.007"
    assert triples.shown.iloc[0, 0] == "0.895"
    assert "mean ± standard deviation over 2 seeds" in means.brief
    assert triples.brief == "MVTec AD, mean over 2 seeds"


def test_what_cannot_be_compared_has_no_such_table() -> None:
    both = table()
    assert mean_sheets(both[both["category"] == "bottle"], METRICS) == []
    assert category_triples(table(1)) == []


def test_each_dataset_has_its_own_tables() -> None:
    both = pd.concat([table(), table(dataset="mvtec_3d")], ignore_index=True)
    assert [sheet.name for sheet in mean_sheets(both, METRICS)] == ["means-mvtec_ad", "means-mvtec_3d"]
    assert [sheet.brief for sheet in category_triples(both)] == ["MVTec AD", "MVTec 3D-AD"]


def test_more_decimals_are_shown_and_decide_what_is_best() -> None:
    close = cells(("rd", "a", 0.90001), ("stfpm", "a", 0.9), ("rd", "b", 0.5), ("stfpm", "b", 0.5))
    (three,), (six,) = mean_sheets(close, ["pro"]), mean_sheets(close, ["pro"], digits=6)
    assert three.best is not None
    assert six.best is not None
    assert (three.best["PRO"].tolist(), six.best["PRO"].tolist()) == ([True, True], [True, False])
    assert r"\textbf{70.0005}" in to_latex(six)
