"""A sheet in LaTeX: floats that fit a two-column paper unscaled, with the provenance of the numbers as comments."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap

from reports.look import Look
from reports.model import Sheet
from reports.tables.entries import with_display_names
from reports.tables.escaping import escape_latex, latex_comment
from reports.tables.latex_layout import Form, arrange
from reports.tables.latex_tabular import height, measured, part_of, tabular

TALLEST = 54
"""Most lines of a float, which a page holds at any of the font sizes."""
HEADINGS = 4
"""Lines of a float that are kept for headings, where rows are divided over several."""
COMMENT = 100
"""Characters on a line of a comment."""


def to_latex(sheet: Sheet, look: Look | None = None) -> str:
    r"""Return the table in LaTeX; the best is bold, the second underlined.

    A document needs the package `booktabs`; pdflatex is enough. The float, `table` or `table*`, and its font, 9 to
    7 pt, are chosen so that the table fits the columns of a two-column paper as it is. A table too wide even for both
    columns has its columns in blocks, one below the other; one that is longer than a page is continued in floats of
    the same number. The caption is one sentence; what the page says more is in comments. Characters that the standard
    fonts lack are written as their code, `[U+4E2D]`.
    """
    look = look or Look()
    is_percent = look.percent and sheet.percent is not None
    printed = _printed(with_display_names(sheet), is_percent)
    form, blocks = arrange(*measured(printed), look.table_width)
    parts = [part_of(printed, rows, block) for rows in _pages(len(sheet.shown)) for block in blocks]
    heading = ", ".join(
        filter(None, [_with_unit(printed.title) if is_percent else printed.title, sheet.brief])
    )
    caption = f"\\caption{{{escape_latex(heading)}.}}\n\\label{{tab:{sheet.name}}}"
    again = f"\\addtocounter{{table}}{{-1}}\n\\caption{{{escape_latex(printed.title)}, continued.}}"
    floats = [
        _float(form, again if number else caption, tabulars) for number, tabulars in enumerate(_packed(parts))
    ]
    return "".join([*_provenance(sheet, form), *floats])


def _printed(sheet: Sheet, is_percent: bool) -> Sheet:
    """Return the sheet with its entries as papers print them."""
    return replace(sheet, shown=sheet.percent) if is_percent and sheet.percent is not None else sheet


def _with_unit(title: str) -> str:
    return f"{title[:-1]}, %)" if title.endswith(")") else f"{title} (%)"


def _provenance(sheet: Sheet, form: Form) -> Iterator[str]:
    """Yield comments: what the numbers are, and what the table needs."""
    for part in dict.fromkeys([sheet.title, *sheet.caption.split("; ")]):
        for line in wrap(latex_comment(part), COMMENT, break_on_hyphens=False):
            yield f"% {line}\n"
    yield f"% needs \\usepackage{{booktabs}}; at most {form.width:g} pt wide, {form.points} pt in a class of 10 pt\n"


def _float(form: Form, caption: str, tabulars: Sequence[str]) -> str:
    body = "\n\n\\medskip\n".join(tabulars)
    return (
        f"\\begin{{{form.environment}}}[t]\n\\centering\n{caption}\n\\smallskip\n\n"
        f"{form.size}\n\\setlength{{\\tabcolsep}}{{{form.gap:g}pt}}\n{body}\n\\end{{{form.environment}}}\n"
    )


def _pages(rows: int) -> list[slice]:
    """Divide rows into equal parts of which each fits on a page."""
    number = -(-rows // (TALLEST - HEADINGS)) or 1
    size = -(-rows // number) or 1
    return [slice(first, first + size) for first in range(0, max(rows, 1), size)]


def _packed(parts: Sequence[Sheet]) -> list[list[str]]:
    """Return the tabulars of each float: as many blocks as a page holds."""
    floats: list[list[str]] = [[]]
    used = 0
    for part in parts:
        lines = height(part)
        if floats[-1] and used + lines > TALLEST:
            floats.append([])
            used = 0
        floats[-1].append(tabular(part))
        used += lines
    return floats
