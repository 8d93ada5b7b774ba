"""The tables in a document: pdflatex sets all of them, with two packages and any names."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

from reports.model import Sheet
from reports.tables.comparison import category_sheets, comparison_sheet, method_sheets
from reports.tables.published import published_sheets
from reports.tables.rendering import to_latex, write
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


def sheets_of(table: pd.DataFrame) -> list[Sheet]:
    compared = [comparison_sheet(table, metric, relevant=0.005) for metric in MEASURES]
    published = [sheet for metric in MEASURES for sheet in published_sheets(table, metric)]
    details = [*category_sheets(table, MEASURES), *method_sheets(table, MEASURES)]
    return [*(sheet for sheet in compared if sheet), *published, *details]


def test_every_part_has_whole_rows_and_braces_match() -> None:
    for sheet in sheets_of(selection()):
        text, columns = to_latex(sheet), 0
        for part in text.split("\\toprule\n")[1:]:
            body = part.split("\\bottomrule")[0]
            rows = [line for line in body.splitlines() if line.endswith("\\\\") and "multicolumn" not in line]
            (own,) = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
            columns += own
            assert len(rows) == 1 + len(sheet.shown)
        assert columns == sheet.shown.shape[1]
        plain = re.sub(r"\\[{}]", "", text)
        assert plain.count("{") == plain.count("}")
        assert all(c.isascii() or c.isalpha() for c in text)


def test_names_of_tables_are_unique_and_plain() -> None:
    names = [sheet.name for sheet in sheets_of(selection())]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name, re.ASCII) for name in names)


@pytest.mark.slow
def test_pdflatex_sets_every_table(tmp_path: Path) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed")
    sheets = sheets_of(selection())
    for sheet in sheets:
        write(sheet, tmp_path)
    lines = [
        r"\documentclass{article}\usepackage[utf8]{inputenc}\usepackage{booktabs,graphicx}\begin{document}",
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
    assert "Missing character" not in log
    assert "in alignment" not in log
    assert "Float too large" not in log
