"""The tables in a two-column paper: pdflatex sets all of them, with one package and any names, and none is too wide."""

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

import metrics
from reports.model import Sheet
from reports.tables.comparison import category_sheets, comparison_sheet, method_sheets
from reports.tables.latex import to_latex
from reports.tables.paper import category_triples, mean_sheets
from reports.tables.published import published_sheets
from reports.tables.rendering import write
from tests.reports.made import NAN, cells

ODD = (
    *(
        "100%_odd&co#{}~^\\",
        "<img src=x onerror=alert(1)>",
        "[bold]*x|y",
        "*star",
        "--dashes---",
        '`quoted\' "q"',
    ),
    *(
        "né Ñandú žluťoučký Øre ß",
        "中文 Ελλάδα 🙂",
        "± – — − × ≤ µ ° χ² …",
        "new\nline\ttab",
        "$x$ \\input{x}",
        "?` !` %",
    ),
)
MEASURES = ("image_auroc", "pro", "dice")
METRICS = list(metrics.MEASURES)


def selection() -> pd.DataFrame:
    """Make two seeds of odd methods on odd categories of a known dataset, one cell of which failed."""
    categories = ["bottle", "carpet", *ODD]
    rows = [
        (method, category, (0.3 + 0.05 * place) % 1)
        for method in ("stfpm", *ODD)
        for place, category in enumerate(categories)
    ]
    seeds = [
        cells(*rows, metric=metric, seed=seed, backbone="resnet18", mode="rgb", reason="", changes=ODD[0])
        for metric in MEASURES
        for seed in ("0", "1")
    ]
    failed = cells(
        (ODD[0], "grid", NAN), status="FAILED", metric="", backbone="resnet18", mode="rgb", changes=""
    )
    deep = cells(("ast", "bottle", 0.5), mode="depth", variant=ODD[1], backbone="resnet18")
    return pd.concat([*seeds, failed, deep], ignore_index=True)


def paper_sheets() -> list[Sheet]:
    """Return tables as large as those of papers: six methods, fifteen categories, two seeds."""
    methods = ("stfpm", "rd", "ast", "uninformed_students", "feature_variance", "simple_student")
    rows = [(method, f"category_{i}", 0.97 - 0.01 * i) for method in methods for i in range(15)]
    known = {"dataset": "folder", "dataset_choice": "folder", "group": "objects"}
    table = pd.concat(
        [
            cells(
                *((m, c, value + 0.01 * seed) for m, c, value in rows), metric=metric, seed=str(seed), **known
            )
            for metric in METRICS
            for seed in range(2)
        ]
    )
    usual = table[table["metric"].isin(METRICS[:5])]
    sheets = [*mean_sheets(usual, METRICS[:5]), *category_triples(usual), comparison_sheet(usual, "pro")]
    sheets += category_sheets(table[table["category"] == "category_0"], METRICS)
    return [replace(sheet, name=f"paper-{sheet.name}") for sheet in sheets if sheet]


@cache
def all_sheets() -> list[Sheet]:
    table = selection()
    compared = [comparison_sheet(table, metric, relevant=0.005) for metric in MEASURES]
    published = [sheet for metric in MEASURES for sheet in published_sheets(table, metric)]
    details = [*category_sheets(table, MEASURES), *method_sheets(table, MEASURES)]
    details += [*mean_sheets(table, MEASURES), *category_triples(table), *paper_sheets()]
    return [*(sheet for sheet in compared if sheet), *published, *details]


@pytest.mark.slow
def test_every_part_has_whole_rows_and_braces_match() -> None:
    for sheet in all_sheets():
        text, columns = to_latex(sheet), 0
        for part in text.split("\\toprule\n")[1:]:
            body = part.split("\\bottomrule")[0]
            rows = [line for line in body.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
            (own,) = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
            columns += own
            assert len(rows) == 1 + len(sheet.shown)
        assert columns == sheet.shown.shape[1]
        plain = re.sub(r"^%.*|\\\\|\\[{}]", "", text, flags=re.MULTILINE)
        assert plain.count("{") == plain.count("}")
        assert all(c.isascii() or c.isalpha() for c in text)


def test_names_of_tables_are_unique_and_plain() -> None:
    names = [sheet.name for sheet in all_sheets()]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in names)


@pytest.mark.slow
def test_pdflatex_sets_every_table(tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed")
    sheets = all_sheets()
    for sheet in sheets:
        write(sheet, tmp_path)
    lines = [
        r"\documentclass[10pt,twocolumn]{article}\usepackage[utf8]{inputenc}\usepackage{booktabs}",
        # the page of CVPR's template
        r"\textwidth 496.9pt \columnsep 22.6pt \textheight 8.875in \oddsidemargin -13pt \topmargin -40pt",
        r"\begin{document}",
        *(f"\\input{{{sheet.name}.tex}}\\clearpage" for sheet in sheets),
        r"\end{document}",
    ]
    (tmp_path / "all.tex").write_text("\n".join(lines))
    command = [pdflatex, "-halt-on-error", "-interaction=nonstopmode", "all.tex"]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    # no table is wider than its line or longer than its page, and no sign is missing from the fonts
    log = (tmp_path / "all.log").read_text(errors="replace")
    assert "Overfull" not in log
    assert "Missing character" not in log
    assert "in alignment" not in log
    assert "Float too large" not in log
