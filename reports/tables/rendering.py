"""A sheet in every format: on the console, in Markdown, LaTeX, HTML and CSV."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real
from pathlib import Path
from textwrap import wrap

import jinja2
import pandas as pd
from markupsafe import Markup
from pandas.api.types import is_numeric_dtype
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reports.model import Sheet
from reports.tables.escaping import escape_latex, escape_markdown

LONGEST = 45
"""Longest line of a name in characters; longer names get several lines."""
TALLEST = 50
"""Most rows of a table on one page in LaTeX."""
WIDEST = 130
"""Widest table in LaTeX in characters; a line holds about 75 of them at full size."""
_BREAK = r"\\"
_PAGE = jinja2.Environment(
    autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
)
_TABLE = _PAGE.from_string("""\
<table class="sheet">
<thead>
{% if spans %}
<tr><td></td>{% for text, columns in spans %}<th colspan="{{ columns }}" scope="colgroup">{{ text }}</th>
{%- endfor %}</tr>
{% endif %}
<tr><th scope="col">{{ corner }}</th>{% for label in labels %}
<th scope="col" class="{{ "number" if numeric[loop.index0] else "text" }}{{ " long" if label|length > longest }}">
{{- label }}</th>
{%- endfor %}</tr>
</thead>
<tbody>
{% for rule, name, cells in rows %}
<tr{% if rule %} class="rule"{% endif %}><th scope="row"{% if name|length > longest %} class="long"{% endif %}>
{{- name }}</th>
{%- for text, mark, value in cells %}
<td class="{{ "number" if numeric[loop.index0] else "text" }}{{ " " + mark if mark }}"
{%- if value is not none %} data-value="{{ value }}"{% endif %}>{{ text }}</td>
{%- endfor %}</tr>
{% endfor %}
</tbody>
</table>
""")
_ALONE = _PAGE.from_string("""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{{ title }}</title>
<style>
body { font-family: sans-serif; margin: 2em; }
table { border-collapse: collapse; border: solid; border-width: 1px 0; font-variant-numeric: tabular-nums; }
td, th { padding: 0.2em 0.7em; text-align: left; font-weight: normal; }
.long { min-width: 20em; overflow-wrap: anywhere; }
.number { text-align: right; }
[colspan] { text-align: center; border-bottom: 1px solid; }
thead, .rule { border-bottom: 1px solid; }
.rule { border: solid; border-width: 1px 0 0; }
.best { font-weight: bold; }
.second { text-decoration: underline; }
p { max-width: 60em; }
</style>
<h1>{{ title }}</h1>
{{ table }}
<p>{{ caption }}</p>
</html>
""")


def write(sheet: Sheet, folder: Path) -> None:
    """Write a sheet to a folder as `<name>.csv`, `.md`, `.tex` and `.html`."""
    texts = {"csv": sheet.values.to_csv(), "md": to_markdown(sheet), "tex": to_latex(sheet)}
    page = _ALONE.render(title=sheet.title, table=Markup(to_html(sheet)), caption=sheet.caption)
    for ending, text in {**texts, "html": page}.items():
        (folder / f"{sheet.name}.{ending}").write_text(text, encoding="utf-8")


def to_rich(sheet: Sheet) -> Table:
    """Return the table for a terminal; the best of each row is bold and green, the second underlined."""
    drawn = Table()
    drawn.add_column(escape(str(sheet.shown.index.name or "")))
    styles = {"best": "bold green", "second": "underline", "": ""}
    for label, number in zip(_flat_headings(sheet), _numeric(sheet), strict=True):
        drawn.add_column(escape(label), justify="right" if number else "left", overflow="fold")
    for place, (name, entries) in enumerate(_rows(sheet)):
        if place in sheet.rules:
            drawn.add_section()
        drawn.add_row(Text(name), *(Text(text, styles[mark]) for text, mark, _ in entries))
    return drawn


def to_markdown(sheet: Sheet) -> str:
    """Return the table and its caption in Markdown; the best is bold, the second underlined."""
    tags = {"best": ("**", "**"), "second": ("<ins>", "</ins>"), "": ("", "")}
    rows = [
        [escape_markdown(name), *(escape_markdown(text).join(tags[mark]) for text, mark, _ in entries)]
        for name, entries in _rows(sheet)
    ]
    sides = ["left", *("right" if number else "left" for number in _numeric(sheet))]
    headings = [escape_markdown(str(text)) for text in (sheet.shown.index.name or "", *_flat_headings(sheet))]
    grid = pd.DataFrame(rows, columns=headings).to_markdown(
        index=False, disable_numparse=True, colalign=sides
    )
    return f"{grid}\n\n{escape_markdown(_with_title(sheet))}\n"


def to_latex(sheet: Sheet) -> str:
    r"""Return the table in LaTeX; the best is bold, the second underlined.

    A document needs the packages `booktabs` and `graphicx`; pdflatex is enough. A table wider than a line is
    scaled down; one that would become too small is continued, with its other columns, in tables of the same
    number, and so is one that is longer than a page, with its other rows. Characters that the standard fonts lack are
    written as their code, `[U+4E2D]`.
    """
    first, *others = [_latex_tabular(part) for rows in _pages(sheet) for part in _parts(rows)]
    caption, label = escape_latex(_with_title(sheet)), f"\\label{{tab:{sheet.name}}}"
    again = f"\\addtocounter{{table}}{{-1}}\n\\caption{{{escape_latex(sheet.title)}, continued}}"
    tables = [f"\\caption{{{caption}}}\n{label}\n{first}", *(f"{again}\n{part}" for part in others)]
    return "% needs \\usepackage{booktabs,graphicx}\n" + "".join(
        f"\\begin{{table}}\n\\centering\n{table}\n\\end{{table}}\n" for table in tables
    )


def _latex_tabular(sheet: Sheet) -> str:
    sides = ["l", *("r" if number else "l" for number in _numeric(sheet))]
    headings = [str(text) for text in (sheet.shown.index.name or "", *sheet.shown.columns)]
    lines = [
        r"\toprule",
        *_latex_spans(sheet),
        _latex_row(list(map(_latex_heading, headings, sides))),
        r"\midrule",
    ]
    for place, (name, entries) in enumerate(_rows(sheet)):
        if place and place in sheet.rules:
            lines.append(r"\midrule")
        lines.append(
            _latex_row([_latex_name(name), *(_latex_entry(text, mark) for text, mark, _ in entries)])
        )
    body = "\n".join([*lines, r"\bottomrule"])
    return (
        "\\medskip\n\\setlength{\\tabcolsep}{4pt}\n"
        "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%\n"
        f"\\begin{{tabular}}{{{''.join(sides)}}}\n{body}\n\\end{{tabular}}%\n}}"
    )


def _pages(sheet: Sheet) -> list[Sheet]:
    """Split the rows of a sheet into parts that are short enough for one page each."""
    count = len(sheet.shown)
    number = -(-count // TALLEST) or 1
    size = -(-count // number) or 1
    return [_rows_of(sheet, slice(first, first + size)) for first in range(0, max(count, 1), size)]


def _rows_of(sheet: Sheet, part: slice) -> Sheet:
    """Return a sheet of some neighbouring rows."""
    return replace(
        sheet,
        values=sheet.values.iloc[part],
        shown=sheet.shown.iloc[part],
        best=None if sheet.best is None else sheet.best.iloc[part],
        second=None if sheet.second is None else sheet.second.iloc[part],
        rules=tuple(place - part.start for place in sheet.rules if part.start <= place < part.stop),
    )


def _parts(sheet: Sheet) -> list[Sheet]:
    """Split the columns of a sheet into parts that are narrow enough for one line each."""
    names = min(max(map(len, map(str, sheet.shown.index)), default=0), LONGEST)
    groups: list[list[int]] = [[]]
    width = names
    for column, label in enumerate(map(str, sheet.shown.columns)):
        # the options in a heading get a line of their own
        texts = [*label.split(" ("), *map(str, sheet.shown.iloc[:, column])]
        own = 2 + min(max(map(len, texts)), LONGEST)
        if groups[-1] and width + own > WIDEST:
            groups.append([])
            width = names
        groups[-1].append(column)
        width += own
    return [_columns_of(sheet, group) for group in groups]


def _columns_of(sheet: Sheet, columns: list[int]) -> Sheet:
    """Return a sheet of some neighbouring columns."""
    over = [span for span, (_, count) in enumerate(sheet.spans) for _ in range(count)]
    counts = Counter(over[column] for column in columns if over)
    return replace(
        sheet,
        values=sheet.values.iloc[:, columns],
        shown=sheet.shown.iloc[:, columns],
        best=None if sheet.best is None else sheet.best.iloc[:, columns],
        second=None if sheet.second is None else sheet.second.iloc[:, columns],
        spans=tuple((sheet.spans[span][0], count) for span, count in counts.items()),
    )


def to_html(sheet: Sheet) -> str:
    """Return the table in HTML, without its caption.

    Entries have the classes `number` or `text` and `best` or `second`, long names `long`, rows below a rule `rule`; the
    attribute `data-value` holds the number of an entry.
    """
    rows = [(place in sheet.rules, name, entries) for place, (name, entries) in enumerate(_rows(sheet))]
    corner, labels = sheet.shown.index.name or "", [str(label) for label in sheet.shown.columns]
    numeric = _numeric(sheet)
    return _TABLE.render(
        spans=sheet.spans, corner=corner, labels=labels, rows=rows, numeric=numeric, longest=LONGEST
    )


def _latex_row(entries: list[str]) -> str:
    # LaTeX would read a bracket or star after \\ or \midrule as an argument
    guard = "{}" if entries[0][:1] in ("[", "*") else ""
    return f"{guard}{' & '.join(entries)} \\\\"


def _latex_entry(text: str, mark: str) -> str:
    escaped = re.sub(r"^(\S+) \$\\pm\$ (\S+)", r"$\1 \\pm \2$", escape_latex(text))
    escaped = re.sub(r"^-(?=\d)", "$-$", escaped)
    if mark == "best":
        return f"\\textbf{{{chr(92) + 'boldmath ' if '$' in escaped else ''}{escaped}}}"
    return f"\\underline{{{escaped}}}" if mark == "second" else escaped


def _latex_heading(label: str, side: str) -> str:
    """Return a heading; a part in brackets, such as a method's options, gets a line of its own."""
    name, bracket, rest = label.partition(" (")
    return _stacked([*_broken(name), *(_broken(f"({rest}") if bracket else [])], side)


def _latex_name(name: str) -> str:
    return _stacked(_broken(name), "l")


def _broken(text: str) -> list[str]:
    """Return text in lines, broken after spaces and signs where possible."""
    line = " ".join(text.split())
    return wrap(line, LONGEST, drop_whitespace=True, break_on_hyphens=False) or [""]


def _stacked(lines: Sequence[str], side: str) -> str:
    """Return lines one below the other."""
    # LaTeX would read a bracket or star after a break as an argument
    escaped = ["{}" * (line[:1] in ("[", "*")) + escape_latex(line) for line in lines]
    return escape_latex(lines[0]) if len(lines) == 1 else f"\\shortstack[{side}]{{{_BREAK.join(escaped)}}}"


def _latex_spans(sheet: Sheet) -> Iterator[str]:
    """Yield the line of headings over columns, and the rules below them."""
    if not sheet.spans:
        return
    heads, lines, start = [""], [], 2
    for text, columns in sheet.spans:
        heads.append(f"\\multicolumn{{{columns}}}{{c}}{{{escape_latex(text)}}}")
        if text:
            lines.append(f"\\cmidrule(lr){{{start}-{start + columns - 1}}}")
        start += columns
    yield _latex_row(heads)
    yield " ".join(lines)


def _with_title(sheet: Sheet) -> str:
    return sheet.caption if sheet.caption.startswith(sheet.title) else f"{sheet.title}. {sheet.caption}"


def _flat_headings(sheet: Sheet) -> list[str]:
    """Return the headings of the columns, each with the one that spans it."""
    over = [text for text, columns in sheet.spans for _ in range(columns)] or [""] * sheet.shown.shape[1]
    labels = map(str, sheet.shown.columns)
    return [f"{span}: {label}" if span else label for span, label in zip(over, labels, strict=True)]


def _numeric(sheet: Sheet) -> list[bool]:
    """Return which columns hold numbers, which are aligned right."""
    return [is_numeric_dtype(sheet.values.iloc[:, column]) for column in range(sheet.values.shape[1])]


def _rows(sheet: Sheet) -> Iterator[tuple[str, list[tuple[str, str, float | None]]]]:
    """Yield the rows: (name, entries), an entry being its text, mark (`best`, `second` or "") and number."""
    for row, name in enumerate(sheet.shown.index):
        entries: list[tuple[str, str, float | None]] = []
        for column in range(sheet.shown.shape[1]):
            value = sheet.values.iat[row, column]
            number = float(value) if isinstance(value, Real) and not pd.isna(value) else None
            marks = (("best", sheet.best), ("second", sheet.second))
            mark = next((name for name, frame in marks if frame is not None and frame.iat[row, column]), "")
            entries.append((str(sheet.shown.iat[row, column]), mark, number))
        yield str(name), entries
