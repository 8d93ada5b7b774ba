"""The gallery: test images with ground truth, and each method's heat map and verdict."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from metrics import HELD_OUT_POLICIES, JUDGES_MAPS
from reports.measured import pixel_values
from reports.model import GalleryRow, Tile
from reports.naming import slug
from reports.page.choice import KEYS, Judged
from reports.tables.seeds import seed_order
from store.artifacts import Artifacts
from store.display_names import method_name
from store.files import Pictures
from store.heat_maps import colour_scale, heat_map, outline
from store.predictions import COLOURS, ColourScale
from store.table import labels, rows
from store.tags import IMAGE_THRESHOLD, THRESHOLD, THRESHOLD_POLICY
from store.text import listed

THUMBNAIL = 112  # pixels
NAMED = 10
"""So many categories are named in the note."""
RED, WHITE = (240, 60, 60), (255, 255, 255)
OF_ONE = "The {count} hardest images of each category: wrong verdicts first, then scores like those of the other kind."
OF_SEVERAL = (
    "{count} images of each category: half are those on which methods disagree most (the largest minus the smallest "
    "rank, a rank being the fraction of the other test images with a lower score), half the hardest of the others."
)
COLOURING = " Each method's lowest finished seed. Heat maps have one scale per method and category"
CYAN, OUTLINE = "; cyan: the pixel threshold", "; white: the ground truth"
NO_VERDICTS = f" Thresholds by {JUDGES_MAPS} give no verdicts here, as they judge maps, not image scores."

Rendered = tuple[bytes, Path]


def gallery(
    cells: pd.DataFrame,
    artifacts: Artifacts,
    folder: Path,
    per_category: int = 8,
    only: Collection[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[GalleryRow], str]:
    """Choose images of each category, the hardest and those on which methods disagree most, and draw them.

    Parameters
    ----------
    cells
        The tidy table of cells.
    artifacts
        Their files.
    folder
        The report's folder; full pictures go to its subfolder `pictures`.
    per_category
        Number of images of each category.
    only
        Rows of the tables to show; None: all.
    progress
        Called with the number of categories done and of all, before each category and at the end.

    Returns
    -------
    The rows by category, in the order of `Judged.chosen`, and a note on order and colours. The paths of full pictures
    are relative to `folder`. A label without scores has rank NaN; a missing picture is a tile with an empty
    thumbnail and a title that says so.
    """
    done = cells[cells["status"] == "FINISHED"].assign(row=rows(cells), label=labels(cells))
    columns = list(pd.unique(labels(cells)))
    shown: list[GalleryRow] = []
    without: list[str] = []
    has_truth = done["row"].isin(pixel_values(done)["row"])
    # of labels of images alone, the policies' thresholds of maps separate images, and say nothing of pixels
    lined = done[has_truth | done[THRESHOLD_POLICY].isin(HELD_OUT_POLICIES)]
    categories = [row for row in pd.unique(rows(cells)) if only is None or row in only]
    for place, category in enumerate(categories):
        if progress:
            progress(place, len(categories))
        own = done[done["row"] == category]
        runs = _lowest_seeds(own)
        scores = _scores(runs, columns, artifacts)
        if scores.empty:
            without.append(category)
            continue
        judged = Judged(scores, _of_runs(own[own[THRESHOLD_POLICY] != JUDGES_MAPS], IMAGE_THRESHOLD, runs))
        contours = _of_runs(lined[lined["row"] == category], THRESHOLD, runs)
        drawer = _Drawer(folder, category, runs, contours, artifacts, bool(has_truth.any()))
        shown += drawer.draw(judged, judged.chosen(per_category))
    if progress:
        progress(len(categories), len(categories))
    note = (OF_SEVERAL if len(columns) > 1 else OF_ONE).format(count=per_category) + COLOURING
    note += CYAN * bool((lined["metric"] == THRESHOLD).any()) + OUTLINE * bool(has_truth.any()) + "."
    note += NO_VERDICTS * bool((done[THRESHOLD_POLICY] == JUDGES_MAPS).any())
    return shown, note + (
        f" Without image scores, and so not shown: {listed(without, NAMED)}." if without else ""
    )


def _lowest_seeds(done: pd.DataFrame) -> dict[str, str]:
    """Return {label: run} of the lowest seed of each label."""
    ordered = done.sort_values("seed", key=lambda seeds: seeds.map(seed_order), kind="stable")
    first = ordered.drop_duplicates("label")
    return dict(zip(first["label"], first["run_id"], strict=True))


def _of_runs(done: pd.DataFrame, metric: str, runs: Mapping[str, str]) -> dict[str, float]:
    """Return {label: value} of a metric of these runs, where it is defined."""
    chosen = done[(done["metric"] == metric) & done["value"].notna()]
    values = dict(zip(chosen["run_id"], chosen["value"], strict=True))
    return {label: float(values[run]) for label, run in runs.items() if run in values}


def _scores(runs: Mapping[str, str], columns: Sequence[str], artifacts: Artifacts) -> pd.DataFrame:
    """Return a row per image (index `KEYS`) and a column per label; empty without scores."""
    tables = {name: artifacts.scores(runs[name]) for name in columns if name in runs}
    scores = {
        name: pd.Series(table["score"].to_numpy(float), index=pd.MultiIndex.from_frame(table[KEYS]))
        for name, table in tables.items()
        if table is not None and len(table)
    }
    return pd.DataFrame(scores).reindex(columns=list(columns)) if scores else pd.DataFrame()


@dataclass(frozen=True)
class _Seen:
    """An image and its ground truth, as far as they were kept, and their tiles."""

    tiles: Sequence[Tile]
    picture: Image.Image | None = None
    mask: Image.Image | None = None


@dataclass(frozen=True)
class _Drawer:
    """Draws the images of one category: thumbnails, and full pictures under `folder`; ground truth if any has it."""

    folder: Path
    category: str
    runs: Mapping[str, str]
    contours: Mapping[str, float]
    artifacts: Artifacts
    has_truth: bool

    def draw(self, judged: Judged, chosen: Sequence[int]) -> list[GalleryRow]:
        """Return a row per chosen image, given by its position, in this order."""
        opened = [pictures for run in self.runs.values() if (pictures := self.artifacts.pictures(run))]
        about = judged.images
        seen = {about[place][0]: self._seen(opened, about[place][0], about[place][2]) for place in chosen}
        maps = {label: self._maps(label, seen) for label in judged.methods}
        return [
            GalleryRow(
                category=self.category,
                image=(image := about[place][0]),
                kind=about[place][1],
                disagreement=float(judged.disagreement.iloc[place]),
                ranks={label: float(judged.ranks[label].iloc[place]) for label in judged.methods},
                tiles=[
                    *seen[image].tiles,
                    *(_map_tile(judged, place, label, maps[label].get(image)) for label in judged.methods),
                ],
            )
            for place in chosen
        ]

    def _maps(self, label: str, seen: Mapping[str, _Seen]) -> dict[str, Rendered]:
        """Return the maps of these images, over the images that were kept; a label may lack some or all."""
        stored = self.artifacts.maps(self.runs[label]) if label in self.runs else None
        if stored is None:
            return {}
        place = {name: i for i, name in enumerate(stored.images)}
        scale = colour_scale([stored.maps], self.contours.get(label))
        return {
            image: self._save(image, f"map-{slug(label)}", *_drawn(stored.maps[place[image]], scale, about))
            for image, about in seen.items()
            if image in place
        }

    def _seen(self, opened: Sequence[Pictures], image: str, anomalous: bool) -> _Seen:
        """Return image and ground truth from the first label that has them."""
        found = ((source, picture) for source in opened if (picture := source.image(image)))
        source, picture = next(found, (None, None))
        if source is None or picture is None:
            missing = ["image: not kept", *(["ground truth: not kept"] if self.has_truth else [])]
            return _Seen([Tile(title, b"", Path()) for title in missing])
        picture, mask = picture.convert("RGB"), source.mask(image)
        tiles = [Tile("image", *self._save(image, "image", picture))]
        if mask is not None:
            mask = mask.convert("1").resize(picture.size)
        if self.has_truth:
            shown = (np.asarray(picture) * 0.45).astype(np.uint8)
            if mask is not None:
                shown[np.asarray(mask)] = RED
            title = "ground truth" + ("" if mask is not None else ": no mask" if anomalous else ": normal")
            tiles.append(Tile(title, *self._save(image, "ground_truth", Image.fromarray(shown))))
        return _Seen(tiles, picture, mask)

    def _save(
        self, image: str, what: str, picture: Image.Image, small: Image.Image | None = None
    ) -> Rendered:
        """Write the full picture; return its thumbnail and its path relative to the folder."""
        relative = Path("pictures", slug(self.category), slug(image), f"{what}.jpg")
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        # subsampled colours would blur the edges of masks
        picture.save(path, quality=90, subsampling=0)
        buffer = io.BytesIO()
        (small or _small(picture)).save(buffer, "JPEG", quality=80)
        return buffer.getvalue(), relative


def _map_tile(judged: Judged, place: int, label: str, rendered: Rendered | None) -> Tile:
    note, outcome = _note(judged, place, label), str(judged.outcomes[label].iloc[place])
    if rendered is None:
        return Tile(f"{method_name(label)}: no map", b"", Path(), note, outcome)
    return Tile(method_name(label), *rendered, note, outcome)


def _note(judged: Judged, place: int, label: str) -> str:
    """Return the score of an image, also as a multiple of the threshold where both are positive."""
    score, threshold = float(judged.scores[label].iloc[place]), judged.thresholds.get(label, 0.0)
    if np.isnan(score):
        return ""
    relative = f", {score / threshold:.3g} × threshold" if threshold > 0 and score >= 0 else ""
    return f"score {score:.3g}{relative}"


def _drawn(values: NDArray[np.float32], scale: ColourScale, seen: _Seen) -> tuple[Image.Image, Image.Image]:
    """Return a map over its image with the outline of the ground truth, and the same small, with lines as wide."""
    if seen.picture is None:
        plain = _coloured(values, scale)
        return plain, _small(plain)
    both = []
    for picture in (seen.picture, _small(seen.picture)):
        drawn = heat_map(picture, values, scale)
        if seen.mask is not None:
            mask = np.asarray(seen.mask.resize(picture.size))
            drawn.paste(WHITE, mask=Image.fromarray(outline(mask, 1)))
        both.append(drawn)
    return both[0], both[1]


def _small(picture: Image.Image) -> Image.Image:
    small = picture.copy()
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return small


def _coloured(values: NDArray[np.float32], scale: ColourScale) -> Image.Image:
    scaled = (values - scale.low) / (scale.high - scale.low)
    return Image.fromarray(colormaps[COLOURS](scaled.clip(0, 1), bytes=True)[..., :3].copy())
