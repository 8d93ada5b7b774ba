"""A sheet as LaTeX's `tabular`, and the lines of text in it."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap

from reports.model import Sheet
from reports.tables.entries import divided, numeric_columns, rows_of
from reports.tables.escaping import escape_latex, spelled_out
from reports.tables.latex_layout import Column, Group

LONGEST = 40
"""Longest line of a name or text in characters; longer ones get several lines."""
NARROW = 12
"""Headings are broken into lines no shorter than this, and no shorter than the entries below them."""
_BREAK = r"\\"


def tabular(sheet: Sheet) -> str:
    """Return the rows of a sheet as a `tabular`; the best is bold, the second underlined."""
    sides = ["l", *("r" if number else "l" for number in numeric_columns(sheet))]
    headings = [_corner(sheet), *_headings(sheet)]
    lines = [
        r"\toprule",
        *_spans(sheet),
        _row([_stacked(heading, side) for heading, side in zip(headings, sides, strict=True)]),
        r"\midrule",
    ]
    for place, (name, entries) in enumerate(rows_of(sheet)):
        if place and place in sheet.rules:
            lines.append(r"\midrule")
        texts = (_entry(text, mark, side) for (text, mark, _), side in zip(entries, sides[1:], strict=True))
        lines.append(_row([_stacked(_broken(name), "l"), *texts]))
    body = "\n".join([*lines, r"\bottomrule"])
    return f"\\begin{{tabular}}{{@{{}}{''.join(sides)}@{{}}}}\n{body}\n\\end{{tabular}}"


def height(sheet: Sheet) -> int:
    """Return the height of a `tabular` in lines of text; names may take several."""
    rows = (max(len(_broken(name)), *(len(_lines(text)) for text, *_ in row)) for name, row in rows_of(sheet))
    over = max((len(_broken(text, NARROW)) for text, _ in sheet.spans), default=0)
    return over + max(map(len, [_corner(sheet), *_headings(sheet)])) + sum(rows) + 1


def measured(sheet: Sheet) -> tuple[Column, list[Column], list[Group]]:
    """Return the lines of the names, of the other columns and of the headings over them, see `arrange`."""
    rows = list(rows_of(sheet))
    names = Column(_corner(sheet), [(line, False) for name, _ in rows for line in _broken(name)])
    columns = []
    for place, heading in enumerate(_headings(sheet)):
        entries = [entries[place] for _, entries in rows]
        lines = [(line, mark == "best") for text, mark, _ in entries for line in _lines(text)]
        columns.append(Column(heading, lines))
    groups, start = list[Group](), 0
    for text, count in sheet.spans:
        groups.append((_broken(text, NARROW), range(start, start + count)))
        start += count
    return names, columns, groups


def part_of(sheet: Sheet, rows: slice, columns: list[int]) -> Sheet:
    """Return a sheet of some neighbouring rows and columns."""
    over = [span for span, (_, count) in enumerate(sheet.spans) for _ in range(count)]
    counts = Counter(over[column] for column in columns if over)
    return replace(
        sheet,
        values=sheet.values.iloc[rows, columns],
        shown=sheet.shown.iloc[rows, columns],
        best=None if sheet.best is None else sheet.best.iloc[rows, columns],
        second=None if sheet.second is None else sheet.second.iloc[rows, columns],
        rules=tuple(place - rows.start for place in sheet.rules if rows.start <= place < rows.stop),
        spans=tuple((sheet.spans[span][0], count) for span, count in counts.items()),
    )


def _corner(sheet: Sheet) -> list[str]:
    return _broken(str(sheet.shown.index.name or "").capitalize())


def _headings(sheet: Sheet) -> list[list[str]]:
    """Return the lines of each column's heading; the options of a method begin a line of their own."""
    headings = []
    for place, label in enumerate(map(str, sheet.shown.columns)):
        width = max(
            [NARROW, *(len(part) for entry in sheet.shown.iloc[:, place] for part in divided(str(entry)))]
        )
        name, bracket, rest = label.partition(" (")
        headings.append([*_broken(name, width), *(_broken(f"({rest}", width) if bracket else [])])
    return headings


def _row(entries: list[str]) -> str:
    # LaTeX would read a bracket or star after \\ or \midrule as an argument
    guard = "{}" if entries[0][:1] in ("[", "*") else ""
    return f"{guard}{' & '.join(entries)} \\\\"


def _entry(text: str, mark: str, side: str) -> str:
    value, rest = divided(text)
    if rest:
        # LaTeX would read a bracket after a break as an argument
        lines = f"{_entry(value, mark, side)}{_BREAK}{{}}{_stacked(_broken(rest), side)}"
        return f"\\begin{{tabular}}[t]{{@{{}}{side}@{{}}}}{lines}\\end{{tabular}}"
    escaped = _stacked(_broken(text), "l")
    escaped = re.sub(
        r"^(\S+) \$\\pm\$ (\\textless\{\})?([\d.]+)",
        lambda found: f"${found[1]} \\pm {'{<}' if found[2] else ''}{found[3]}$",
        escaped,
    )
    escaped = re.sub(r"^-(?=\d)", "$-$", escaped)
    if mark == "best":
        return f"\\textbf{{{chr(92) + 'boldmath ' if '$' in escaped else ''}{escaped}}}"
    return f"\\underline{{{escaped}}}" if mark == "second" else escaped


def _broken(text: str, width: int = LONGEST) -> list[str]:
    """Return text in lines, broken after spaces; only a word longer than `LONGEST` is broken."""
    lines = wrap(spelled_out(text), width, break_long_words=False, break_on_hyphens=False)
    return [part for line in lines for part in wrap(line, LONGEST, break_on_hyphens=False)] or [""]


def _lines(text: str) -> list[str]:
    """Return the lines of an entry: of its value, and of its interval if it has one."""
    value, rest = divided(text)
    return [*_broken(value), *(_broken(rest) if rest else [])]


def _stacked(lines: Sequence[str], side: str) -> str:
    """Return lines one below the other."""
    # LaTeX would read a bracket or star after a break as an argument
    escaped = ["{}" * (line[:1] in ("[", "*")) + escape_latex(line) for line in lines]
    return escape_latex(lines[0]) if len(lines) == 1 else f"\\shortstack[{side}]{{{_BREAK.join(escaped)}}}"


def _spans(sheet: Sheet) -> Iterator[str]:
    """Yield the line of headings over columns, and the rules below them."""
    if not sheet.spans:
        return
    heads, lines, start = [""], [], 2
    for text, columns in sheet.spans:
        heads.append(f"\\multicolumn{{{columns}}}{{c}}{{{_stacked(_broken(text, NARROW), 'c')}}}")
        if text:
            lines.append(f"\\cmidrule(lr){{{start}-{start + columns - 1}}}")
        start += columns
    yield _row(heads)
    yield " ".join(lines)
