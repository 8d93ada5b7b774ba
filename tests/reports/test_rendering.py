"""One sheet in every format: marks, rules, spans, and names that try to be markup."""

import io
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from reports.look import Look
from reports.model import DASH, Sheet
from reports.tables.escaping import escape_latex
from reports.tables.latex import to_latex
from reports.tables.rendering import to_html, to_markdown, to_rich, write

ODD = [r"100%_odd&co#{}~^\ ", "<img src=x onerror=alert(1)>", "[red]x|y", '*"--`$', "né 中 ± – µ", "</td><b>"]


def sheet_of(index: list[str], columns: list[str], **changes: object) -> Sheet:
    """Make a sheet of numbers 0.1, 0.2, ...; the first of a row is best, the second the second."""
    values = pd.DataFrame(
        [[(row + column + 1) / 10 for column in range(len(columns))] for row in range(len(index))],
        index=pd.Index(index, name="category"),
        columns=columns,
    )
    shown = values.map("{:.3f}".format)
    best = pd.DataFrame(False, index=values.index, columns=columns)
    second = best.copy()
    best.iloc[:, 0] = True
    second.iloc[:, 1] = True
    sheet = Sheet("pro", "PRO", "PRO; 100 % made up", values, shown, best, second, rules=(1,))
    return replace(sheet, **changes)  # type: ignore[arg-type]


PLAIN = sheet_of(["bottle", "mean"], ["rd", "stfpm", "ast"], spans=(("RGB", 2), ("3D", 1)))
STRANGE = sheet_of(ODD, ODD, spans=((ODD[0], 2), (ODD[1], 4)), title=ODD[5], caption="; ".join(ODD))


class Table(HTMLParser):
    """What a browser finds in a table: its tags with their attributes, and the text of its cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts += [data] if data.strip() else []


def console(sheet: Sheet) -> str:
    shown = Console(file=io.StringIO(), width=300)
    shown.print(to_rich(sheet))
    return str(shown.file.getvalue())  # type: ignore[attr-defined]


def test_markdown_by_hand() -> None:
    assert to_markdown(PLAIN).splitlines() == [
        "| category   |   RGB: RD |       RGB: STFPM |   3D: AST |",
        "|:-----------|----------:|-----------------:|----------:|",
        "| bottle     | **0.100** | <ins>0.200</ins> |     0.300 |",
        "| mean       | **0.200** | <ins>0.300</ins> |     0.400 |",
        "",
        "PRO; 100 % made up",
    ]


def test_latex_by_hand() -> None:
    table = to_latex(PLAIN).split("\\begin{tabular}")[1].split("\\end{tabular}")[0]
    assert table.splitlines() == [
        "{@{}lrrr@{}}",
        r"\toprule",
        r" & \multicolumn{2}{c}{RGB} & \multicolumn{1}{c}{3D} \\",
        r"\cmidrule(lr){2-3} \cmidrule(lr){4-4}",
        r"Category & RD & STFPM & AST \\",
        r"\midrule",
        r"bottle & \textbf{0.100} & \underline{0.200} & 0.300 \\",
        r"\midrule",
        r"mean & \textbf{0.200} & \underline{0.300} & 0.400 \\",
        r"\bottomrule",
    ]
    assert "\\caption{PRO.}\n\\label{tab:pro}\n" in to_latex(PLAIN)


def test_latex_says_in_comments_what_the_page_says_below_a_table() -> None:
    comments = [line for line in to_latex(PLAIN).splitlines() if line.startswith("%")]
    assert comments[:2] == ["% PRO", "% 100 % made up"]
    strange = to_latex(replace(PLAIN, caption="\n".join(ODD))).split("\\begin{table}")[0]
    assert all(line.startswith("% ") for line in strange.splitlines())


def test_html_has_header_cells_marks_rules_and_numbers_to_sort_by() -> None:
    found = Table(to_html(PLAIN)).tags
    assert [attributes for tag, attributes in found if tag == "td" and "class" in attributes] == [
        {"class": "number best", "data-value": "0.1"},
        {"class": "number second", "data-value": "0.2"},
        {"class": "number", "data-value": "0.3"},
        {"class": "number best", "data-value": "0.2"},
        {"class": "number second", "data-value": "0.3"},
        {"class": "number", "data-value": "0.4"},
    ]
    assert [attributes.get("class") for tag, attributes in found if tag == "tr"] == [None, None, None, "rule"]
    assert [attributes["colspan"] for _, attributes in found if "colspan" in attributes] == ["2", "1"]
    assert [tag for tag, _ in found if tag in ("thead", "tbody")] == ["thead", "tbody"]
    assert sum(tag == "th" for tag, _ in found) == 2 + 4 + 2
    assert not any("style" in attributes for _, attributes in found)


def test_the_console_shows_rows_headings_and_a_rule() -> None:
    lines = console(PLAIN).splitlines()
    assert [word in lines[1] for word in ("category", "RGB: RD", "RGB: STFPM", "3D: AST")] == [True] * 4
    assert ["bottle" in lines[3], lines[4][0], "mean" in lines[5]] == [True, "├", True]


def test_all_files_are_written_and_the_csv_holds_the_values(tmp_path: Path) -> None:
    write(PLAIN, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"pro.csv", "pro.md", "pro.tex", "pro.html"}
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "pro.csv", index_col=0), PLAIN.values)
    page = (tmp_path / "pro.html").read_text()
    assert to_html(PLAIN) in page
    assert "100 % made up" in page


def test_an_entry_without_a_number_has_none_to_sort_by_and_words_are_no_numbers() -> None:
    values = pd.DataFrame({"value": [0.5, float("nan")], "verdict": ["within", ""]}, index=["a", "b"])
    shown = pd.DataFrame({"value": ["0.500", "failed"], "verdict": ["within", DASH]}, index=["a", "b"])
    sheet = Sheet("x", "x", "x", values, shown)
    assert [attributes for tag, attributes in Table(to_html(sheet)).tags if tag == "td"] == [
        {"class": "number", "data-value": "0.5"},
        {"class": "text"},
        {"class": "number"},
        {"class": "text"},
    ]
    assert r"\begin{tabular}{@{}lrl@{}}" in to_latex(sheet)
    assert r"b & failed & -- \\" in to_latex(sheet)


def test_a_caption_that_does_not_begin_with_the_title_gets_it() -> None:
    sheet = sheet_of(["a"], ["b", "c"], title="Ranks", caption="by Friedman")
    assert to_markdown(sheet).endswith("\n\nRanks. by Friedman\n")


def test_names_are_text_in_html() -> None:
    found = Table(to_html(STRANGE))
    assert {tag for tag, _ in found.tags} == {"table", "thead", "tbody", "tr", "th", "td"}
    assert found.texts[: 3 + len(ODD)] == [ODD[0], ODD[1], "category", *ODD]


def test_names_are_text_in_the_page_around_a_table(tmp_path: Path) -> None:
    write(STRANGE, tmp_path)
    tags = {tag for tag, _ in Table((tmp_path / "pro.html").read_text()).tags}
    assert tags.isdisjoint({"img", "b", "script"})


def test_names_are_text_in_markdown() -> None:
    rows = to_markdown(STRANGE).splitlines()
    # as many columns in every row: no bar of a name is taken for one
    assert {row.replace("\\|", "").count("|") for row in rows[: 2 + len(ODD)]} == {2 + len(ODD)}
    text = to_markdown(STRANGE)
    assert "\\<img" in text
    assert "\\*" in text
    assert "metal_nut" in to_markdown(sheet_of(["metal_nut"], ["a", "b"]))


@pytest.mark.parametrize("text", ["[a](javascript:alert(1))", "[a][b]", "&lt;b&gt;", "_a_", "~~a~~"])
def test_what_markdown_would_make_markup_of_is_escaped(text: str) -> None:
    (row,) = [line for line in to_markdown(sheet_of([text], ["a", "b"])).splitlines() if "0.100" in line]
    assert text not in row
    assert row.split(" | ")[0].removeprefix("| ").replace("\\", "").strip() == text


def test_names_are_text_on_the_console() -> None:
    assert "[red]x|y" in console(STRANGE)


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 50 % #{$}", r"a\_b \& 50 \% \#\{\$\}"),
        ("~^\\", r"\textasciitilde{}\textasciicircum{}\textbackslash{}"),
        ("<|>", r"\textless{}\textbar{}\textgreater{}"),
        ("0.9 ± 0.1 – x", r"0.9 $\pm$ 0.1 -- x"),
        ("--x---", "-{}-x-{}-{}-"),
        ("né Ño ça žř", "né Ño ça žř"),
        ("中\n", "[U+4E2D] "),
        ("?`", "?{`}"),
    ],
)
def test_latex_prints_every_sign(text: str, escaped: str) -> None:
    assert escape_latex(text) == escaped


@pytest.mark.parametrize(
    ("entry", "best", "second"),
    [
        ("0.9", r"\textbf{0.9}", r"\underline{0.9}"),
        (
            "0.9 ± 0.1 [2 of 3]",
            r"\textbf{\boldmath $0.9 \pm 0.1$ [2 of 3]}",
            r"\underline{$0.9 \pm 0.1$ [2 of 3]}",
        ),
        ("0.9 ± <0.1", r"\textbf{\boldmath $0.9 \pm {<}0.1$}", r"\underline{$0.9 \pm {<}0.1$}"),
        ("-0.012", r"\textbf{\boldmath $-$0.012}", r"\underline{$-$0.012}"),
    ],
)
def test_latex_marks_formulas_too(entry: str, best: str, second: str) -> None:
    shown = pd.DataFrame([[entry, entry]], index=["a"], columns=["x", "y"])
    assert f"a & {best} & {second} \\\\" in to_latex(sheet_of(["a"], ["x", "y"], shown=shown))


def test_a_row_that_begins_with_a_bracket_is_no_argument_of_the_rule_above() -> None:
    assert "\n{}[bold] & " in to_latex(sheet_of(["[bold]"], ["x", "y"]))


def test_the_options_of_a_method_stand_below_its_name_in_latex() -> None:
    assert r"\shortstack[r]{RD\\(combine=sum)}" in to_latex(sheet_of(["a"], ["rd (combine=sum)", "b"]))


METHODS = ["rd", "stfpm", "ast", "uninformed_students", "feature_variance", "simple_student"]


def printed_as(entry: str, methods: list[str]) -> Sheet:
    sheet = sheet_of(["metal_nut"], methods)
    return replace(sheet, shown=sheet.shown.map(lambda _: entry))


def tabulars(sheet: Sheet) -> list[str]:
    return to_latex(sheet).split("\\begin{tabular}")[1:]


def test_a_table_too_wide_even_for_both_columns_has_equal_blocks_in_one_float() -> None:
    names = [f"a method of number {number:02}" for number in range(11)]
    sheet = sheet_of(["bottle", "mean"], names, spans=(("RGB", 7), ("3D", 4)))
    sheet = replace(sheet, shown=sheet.shown.map(lambda _: "0.900 ± 0.010 [2 of 3]"))
    parts = tabulars(sheet)
    assert [part.count("(lr)") for part in parts] == [1, 2, 1]
    # every column once and in order, under its own heading; rows and rules in every part
    found = [name for part in parts for name in names if name.split()[-1] in part.split("bottle")[0]]
    assert found == names
    assert all("bottle" in part and part.count(r"\midrule") == 2 for part in parts)
    assert sum(int(found) for found in re.findall(r"multicolumn{(\d)}{c}{RGB}", "".join(parts))) == 7
    assert sum(int(found) for found in re.findall(r"multicolumn{(\d)}{c}{3D}", "".join(parts))) == 4
    assert "".join(parts).count(r"\textbf") == 2
    assert (to_latex(sheet).count("\\begin{table*}"), "continued" in to_latex(sheet)) == (1, False)


def test_a_table_longer_than_a_page_is_continued_under_its_number() -> None:
    text = to_latex(sheet_of([f"part {i}" for i in range(70)], ["rd", "ast"]))
    assert (text.count("\\begin{table}"), text.count("\\label")) == (2, 1)
    assert text.count("\\addtocounter{table}{-1}\n\\caption{PRO, continued.}") == 1


@pytest.mark.parametrize(
    ("methods", "entry", "float_and_font"),
    [
        (3, "97.9", ("table", r"\small")),
        (3, "97.9 ± 0.3", ("table", r"\small")),
        (4, "97.9 ± 0.3", ("table", r"\footnotesize")),
        (5, "97.9", ("table", r"\footnotesize")),
        (6, "97.9 ± 0.3", ("table*", r"\small")),
    ],
)
def test_a_table_stands_in_one_column_as_long_as_its_font_has_eight_points(
    methods: int, entry: str, float_and_font: tuple[str, str]
) -> None:
    text = to_latex(printed_as(entry, METHODS[:methods]))
    assert re.search(r"begin{(table\*?)}\[t]", text)[1] == float_and_font[0]  # type: ignore[index]
    assert f"\n{float_and_font[1]}\n" in text


def test_the_width_of_a_table_can_be_asked_for() -> None:
    sheet = printed_as("97.9 ± 0.3", METHODS)
    narrow = to_latex(sheet, Look(table_width="column"))
    assert (narrow.count("\\begin{table}"), narrow.count("\\begin{tabular}")) == (1, 2)
    assert "\\begin{table*}" in to_latex(sheet_of(["a"], ["rd", "ast"]), Look(table_width="text"))


def test_measures_are_percentages_in_latex_unless_fractions_are_asked_for() -> None:
    percent = PLAIN.values.map(lambda value: f"{100 * value:.1f}").rename_axis(index="category")
    sheet = replace(PLAIN, percent=percent, brief="MVTec AD, mean over 3 seeds", title="PRO (exact)")
    assert r"bottle & \textbf{10.0} & \underline{20.0} & 30.0 \\" in to_latex(sheet)
    assert r"\caption{PRO (exact, \%), MVTec AD, mean over 3 seeds.}" in to_latex(sheet)
    assert r"bottle & \textbf{0.100}" in to_latex(sheet, Look(percent=False))
    assert r"\caption{PRO (exact), MVTec AD" in to_latex(sheet, Look(percent=False))
    assert "0.100" in to_markdown(sheet)
