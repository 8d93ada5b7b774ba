"""The report as one self-contained HTML page, which makes no requests and opens from disk."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import pandas as pd
from markupsafe import Markup
from PIL import Image

from reports.model import DASH, Figure, GalleryRow, Leaderboard, Report, Sheet, Tile
from reports.page.embedding import data_uri, policy_digest, templates
from reports.page.strips import Chart, chart
from reports.tables.rendering import to_html
from store.display_names import method_name
from store.predictions import WRONG

FOLDER = Path(__file__).parent
SECTIONS = {
    "results": "Results",
    "statistics": "Statistics",
    "cost": "Cost",
    "published": "Published",
    "data": "Data",
}
"""Sections of sheets; a sheet of an unknown section goes to the results."""
ON_OVERVIEW = 3
"""So many tables of measures are also on the overview."""
COLOURS = 128
"""Number of colours to which a figure's PNG is reduced; its PDF keeps all."""


def write(report: Report, path: Path) -> None:
    """Write the page of a report.

    Parameters
    ----------
    report
        Contents of the page.
    path
        Path of the page. Its folder holds `figures/<name>.pdf` and the full pictures of the gallery.
    """
    path.write_text(render(report), encoding="utf-8")


def render(report: Report) -> str:
    """Return the page of a report: HTML that contains its styles, script and pictures."""
    names = _Names.of(report)
    gallery = [_shown_row(row, names) for row in report.gallery]
    style, *scripts = (
        (FOLDER / name).read_text("utf-8") for name in ("page.css", "tables.js", "views.js", "viewer.js")
    )
    script = "".join(scripts)
    environment = templates(FOLDER)
    environment.filters |= {"method_name": method_name, "number_in": _number_in}
    return environment.get_template("page.html").render(
        report=report,
        names=names,
        style=Markup(style),
        script=Markup(script),
        hashes={"style": policy_digest(style), "script": policy_digest(script)},
        data=data_uri(report.data.encode(), "text/csv") if report.data else "",
        leaderboards=[_shown_board(board, names) for board in report.leaderboards],
        sections=[
            (key, title, [_shown_sheet(sheet, names, overview) for sheet, overview in sheets])
            for key, title, sheets in _by_section(report.sheets)
        ],
        figures=[_shown_figure(figure, path, names) for figure, path in report.figures],
        gallery=gallery,
        gallery_views=" ".join(
            _distinct(["gallery", *(view for shown in gallery for view in shown.views.split())])
        ),
        gallery_categories=_distinct(row.category for row in report.gallery),
        kinds=_distinct(row.kind for row in report.gallery),
        wrong=WRONG,
        judged=any(tile.outcome for row in report.gallery for tile in row.tiles),
        configs=[
            (label, text, names.views("settings", method=names.owner(label)))
            for label, text in report.configs
        ],
        environments=report.environments,
        failures=[tuple(map(str, row)) for row in report.failures.itertuples(index=False)],
    )


@dataclass(frozen=True)
class _Names:
    """The categories and methods that have their own views, `category/<n>` and `method/<n>`, with their n."""

    categories: dict[str, int]
    methods: dict[str, int]

    @classmethod
    def of(cls, report: Report) -> "_Names":
        """Return the names in order of appearance in sheets, figures and gallery."""
        parts: list[Sheet | Figure] = [*report.sheets, *(figure for figure, _ in report.figures)]
        ranked = [str(label) for board in report.leaderboards for label in board.values]
        ranked += [label for row in report.gallery for label in row.ranks]
        categories = _distinct(
            [*(part.category for part in parts), *(row.category for row in report.gallery)]
        )
        methods = _distinct([*(part.method for part in parts), *ranked])
        return cls(
            {name: i for i, name in enumerate(categories)}, {name: i for i, name in enumerate(methods)}
        )

    def views(self, *others: str, category: str = "", method: str = "") -> str:
        """Return the views of an element, separated by spaces."""
        views = list(others)
        if category:
            views.append(f"category/{self.categories[category]}")
        if method:
            views.append(f"method/{self.methods[method]}")
        return " ".join(views)

    def own_views(self, part: Sheet | Figure, *others: str) -> str:
        """Return the views of a result or figure; one of several categories or methods is only in their views."""
        one_of_several = (part.category and len(self.categories) > 1) or (
            part.method and len(self.methods) > 1
        )
        shared = () if one_of_several else others
        return self.part_views(part, *shared)

    def part_views(self, part: Sheet | Figure, *others: str) -> str:
        """Return the views of a sheet or figure, separated by spaces."""
        return self.views(*others, category=part.category, method=part.method)

    def numbers(self, values: Iterable[object], are_methods: bool = True) -> str:
        """Return the number of the method that each column or row is named after, `-` for others.

        Where they are not methods, all are `-`: a category may have the name of a method.
        """
        known = self.methods if are_methods else {}
        return " ".join(str(known.get(str(value), "-")) for value in values)

    def owner(self, label: str) -> str:
        """Return the method with which a configuration's label begins, the longest if several fit; "" for none."""
        fitting = [name for name in self.methods if f"{label} ".startswith(f"{name} ")]
        return max(fitting, key=len, default="")


@dataclass(frozen=True)
class _ShownSheet:
    """A sheet as the template needs it; `fixed` are the positions of rows that stay last.

    `samples` and `versus` are JSON, by numbers of methods: the values by which they are ranked, and how they compare.
    A leaderboard has sentences and a chart.
    """

    sheet: Sheet
    html: Markup
    views: str
    columns: str
    lines: str
    fixed: str
    samples: str = ""
    versus: str = ""
    sentences: Sequence[str] = ()
    chart: Chart | None = None


@dataclass(frozen=True)
class _ShownFigure:
    figure: Figure
    views: str
    source: str
    width: int
    height: int
    pdf: str


@dataclass(frozen=True)
class _ShownTile:
    """A tile as the template needs it; `method` is a number, `-` for image and ground truth."""

    tile: Tile
    method: str
    source: str
    full: str
    rank: str


@dataclass(frozen=True)
class _ShownRow:
    row: GalleryRow
    views: str
    tiles: list[_ShownTile]


def _by_section(sheets: Sequence[Sheet]) -> list[tuple[str, str, list[tuple[Sheet, bool]]]]:
    """Return key, title and sheets of each section; each sheet with whether the overview shows it, too."""
    grouped: dict[str, list[Sheet]] = {key: [] for key in SECTIONS}
    for sheet in sheets:
        grouped.get(sheet.section, grouped["results"]).append(sheet)
    main = [
        sheet.name
        for sheet in grouped["results"]
        if sheet.values.index.name == "category" and not sheet.category and not sheet.method
    ]
    overview = set(main[:ON_OVERVIEW])
    return [
        (key, title, [(sheet, key == "results" and sheet.name in overview) for sheet in grouped[key]])
        for key, title in SECTIONS.items()
    ]


def _number_in(shown: Sequence["_ShownSheet | _ShownFigure"], view: str) -> int:
    """Return how many tables or figures a view shows."""
    return sum(view in each.views.split() for each in shown)


def _shown_sheet(sheet: Sheet, names: _Names, overview: bool) -> _ShownSheet:
    section = sheet.section if sheet.section in SECTIONS else "results"
    views_of = names.own_views if section == "results" else names.part_views
    views = views_of(sheet, *["overview"] * overview, section)
    return _ShownSheet(
        sheet=sheet,
        # to_html has escaped all names
        html=Markup(to_html(sheet)),
        views=views,
        columns=names.numbers(sheet.values.columns, sheet.values.index.name == "category"),
        lines=names.numbers(sheet.values.index, sheet.values.index.name == "method"),
        fixed=" ".join(map(str, sheet.means)),
        samples="" if sheet.samples is None else _by_number(sheet.samples, names),
    )


def _shown_board(board: Leaderboard, names: _Names) -> _ShownSheet:
    shown = _shown_sheet(board.sheet, names, overview=True)
    versus = {
        names.numbers([best]): {names.numbers([label]): text for label, text in own.items()}
        for best, own in board.versus.iterrows()
    }
    return replace(
        shown,
        versus=json.dumps(versus),
        sentences=board.sentences,
        chart=chart(board, shown.lines.split(" ")),
    )


def _by_number(samples: pd.DataFrame, names: _Names) -> str:
    """Return the values of each method in JSON, methods by their numbers."""
    return json.dumps({names.numbers([label]): values.tolist() for label, values in samples.items()})


def _shown_figure(figure: Figure, path: Path, names: _Names) -> _ShownFigure:
    also = [figure.section] if figure.section in ("statistics", "cost") else []
    picture = _reduced(path)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return _ShownFigure(
        figure=figure,
        views=names.own_views(figure, "figures", *also),
        source=data_uri(buffer.getvalue(), "image/png"),
        width=picture.width,
        height=picture.height,
        pdf=quote(f"figures/{figure.name}.pdf"),
    )


def _reduced(path: Path) -> Image.Image:
    """Return a figure on white, with its colours reduced."""
    with Image.open(path) as opened:
        picture = opened.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    flat = Image.alpha_composite(white, picture).convert("RGB")
    return flat.quantize(COLOURS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def _shown_row(row: GalleryRow, names: _Names) -> _ShownRow:
    ranks = list(row.ranks.items())
    seen = len(row.tiles) - len(ranks)
    views = [names.views(method=label) for label, _ in ranks]
    tiles = [
        *(_shown_tile(tile, "-", "") for tile in row.tiles[:seen]),
        *(
            _shown_tile(tile, names.numbers([label]), DASH if pd.isna(rank) else f"{rank:.3f}")
            for tile, (label, rank) in zip(row.tiles[seen:], ranks, strict=True)
        ),
    ]
    return _ShownRow(row, names.views("gallery", *views, category=row.category), tiles)


def _shown_tile(tile: Tile, method: str, rank: str) -> _ShownTile:
    source = data_uri(tile.thumbnail, "image/jpeg") if tile.thumbnail else ""
    return _ShownTile(tile, method, source, quote(tile.full.as_posix()), rank)


def _distinct(names: Iterable[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name]
