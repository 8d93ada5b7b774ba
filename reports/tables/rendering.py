"""A sheet in every format: on the console, in Markdown, LaTeX, HTML and CSV."""

from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from reports.look import Look
from reports.model import Sheet
from reports.tables.entries import divided, flat_headings, numeric_columns, rows_of, with_display_names
from reports.tables.escaping import escape_markdown
from reports.tables.latex import to_latex

LONGEST = 45
"""Longer names are broken into lines on a page."""
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
td, th { padding: 0.2em 0.7em; text-align: left; vertical-align: top; font-weight: normal; }
td { white-space: pre-line; }
.long { min-width: 20em; overflow-wrap: anywhere; }
.number { text-align: right; }
[colspan] { text-align: center; border-bottom: 1px solid; }
thead, .rule { border-bottom: 1px solid; }
.rule { border: solid; border-width: 1px 0 0; }
.best::first-line { font-weight: bold; }
.second::first-line { text-decoration: underline; }
p { max-width: 60em; }
</style>
<h1>{{ title }}</h1>
{{ table }}
<p>{{ caption }}</p>
</html>
""")


def write(sheet: Sheet, folder: Path, look: Look | None = None) -> None:
    """Write a sheet to a folder as `<name>.csv`, `.md`, `.tex` and `.html`."""
    texts = {"csv": sheet.values.to_csv(), "md": to_markdown(sheet), "tex": to_latex(sheet, look)}
    page = _ALONE.render(title=sheet.title, table=Markup(to_html(sheet)), caption=sheet.caption)
    for ending, text in {**texts, "html": page}.items():
        (folder / f"{sheet.name}.{ending}").write_text(text, encoding="utf-8")


def to_rich(sheet: Sheet) -> Table:
    """Return the table for a terminal; the best of each row is bold and green, the second underlined."""
    sheet, drawn = with_display_names(sheet), Table()
    drawn.add_column(escape(str(sheet.shown.index.name or "")))
    styles = {"best": "bold green", "second": "underline"}
    for label, number in zip(flat_headings(sheet), numeric_columns(sheet), strict=True):
        drawn.add_column(escape(label), justify="right" if number else "left", overflow="fold")
    for place, (name, entries) in enumerate(rows_of(sheet)):
        if place in sheet.rules:
            drawn.add_section()
        drawn.add_row(Text(name), *(_styled(text, styles.get(mark, "")) for text, mark, _ in entries))
    return drawn


def to_markdown(sheet: Sheet) -> str:
    """Return the table and its caption in Markdown; the best is bold, the second underlined."""
    tags, sheet = {"best": ("**", "**"), "second": ("<ins>", "</ins>")}, with_display_names(sheet)
    rows = [
        [
            escape_markdown(name),
            *(_marked(text, *tags.get(mark, ("", ""))) for text, mark, _ in entries),
        ]
        for name, entries in rows_of(sheet)
    ]
    sides = ["left", *("right" if number else "left" for number in numeric_columns(sheet))]
    headings = [escape_markdown(str(text)) for text in (sheet.shown.index.name or "", *flat_headings(sheet))]
    grid = pd.DataFrame(rows, columns=headings).to_markdown(
        index=False, disable_numparse=True, colalign=sides
    )
    return f"{grid}\n\n{escape_markdown(_with_title(sheet))}\n"


def to_html(sheet: Sheet) -> str:
    """Return the table in HTML, without its caption.

    Entries have the classes `number` or `text` and `best`, `second` or `partial`, long names `long`, rows below a rule
    `rule`; the attribute `data-value` holds the number of an entry.
    """
    sheet = with_display_names(sheet)
    rows = [(place in sheet.rules, name, entries) for place, (name, entries) in enumerate(rows_of(sheet))]
    corner, labels = sheet.shown.index.name or "", [str(label) for label in sheet.shown.columns]
    numeric = numeric_columns(sheet)
    return _TABLE.render(
        spans=sheet.spans, corner=corner, labels=labels, rows=rows, numeric=numeric, longest=LONGEST
    )


def _styled(text: str, style: str) -> Text:
    value, rest = divided(text)
    return Text.assemble((value, style), f"\n{rest}" if rest else "")


def _marked(text: str, start: str, end: str) -> str:
    value, rest = map(escape_markdown, divided(text))
    separator = " " if rest.startswith("[") else "; " if rest else ""
    return f"{start}{value}{end}{separator}{rest}"


def _with_title(sheet: Sheet) -> str:
    return sheet.caption if sheet.caption.startswith(sheet.title) else f"{sheet.title}. {sheet.caption}"
