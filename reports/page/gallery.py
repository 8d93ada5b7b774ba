"""The gallery: the test images on which methods disagree most, with ground truth and each method's anomaly map."""

import io
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from reports.model import GalleryRow, Tile
from reports.naming import slug
from reports.tables.seeds import seed_order
from store.artifacts import Artifacts
from store.files import Pictures
from store.table import labels, rows
from store.text import listed

THUMBNAIL = 112  # pixels
NAMED = 10
"""So many categories are named in the note."""
RED = (240, 60, 60)
KEYS = ["image", "kind", "label"]
LOWEST, HIGHEST = 1.0, 99.9
"""Percentiles of a method's maps of a category that the colour scale spans."""
NOTE = (
    "Rows are sorted by disagreement: the largest minus the smallest rank that a method gives the image, where a "
    "rank is the fraction of the category's other test images with a lower score. Where disagreement is equal (0 for a "
    "single method), higher ranks come first. The first {count} images of each category are shown, for each method's "
    "lowest finished seed. Colours go from black to yellow (inferno): for each method and category, from the "
    f"{LOWEST:g}st to the {HIGHEST:g}th percentile of all pixels of its maps. Brightness is comparable between the "
    "images of a method, not between methods."
)

Rendered = tuple[bytes, Path]


def gallery(
    cells: pd.DataFrame,
    artifacts: Artifacts,
    folder: Path,
    per_category: int = 8,
    only: Collection[str] | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> tuple[list[GalleryRow], str]:
    """Choose the images of each category on which the methods disagree most, and draw them.

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
    The rows by category, largest disagreement first, and a note on order and colours. The paths of full pictures
    are relative to `folder`. A label without scores has rank NaN; a missing picture is a tile with an empty
    thumbnail and a title that says so.
    """
    done = cells[cells["status"] == "FINISHED"].assign(row=rows(cells), label=labels(cells))
    columns = list(pd.unique(labels(cells)))
    shown: list[GalleryRow] = []
    without: list[str] = []
    categories = [row for row in pd.unique(rows(cells)) if only is None or row in only]
    for place, category in enumerate(categories):
        if progress:
            progress(place, len(categories))
        runs = _lowest_seeds(done[done["row"] == category])
        ranks = _ranks(runs, columns, artifacts)
        if ranks.empty:
            without.append(category)
            continue
        chosen = _most_disputed(ranks).head(per_category)
        shown += _Drawer(folder, category, runs, artifacts).draw(chosen, columns)
    if progress:
        progress(len(categories), len(categories))
    note = NOTE.format(count=per_category)
    return shown, note + (
        f" Without image scores, and so not shown: {listed(without, NAMED)}." if without else ""
    )


def _lowest_seeds(done: pd.DataFrame) -> dict[str, str]:
    """Return {label: run} of the lowest seed of each label."""
    ordered = done.sort_values("seed", key=lambda seeds: seeds.map(seed_order), kind="stable")
    first = ordered.drop_duplicates("label")
    return dict(zip(first["label"], first["run_id"], strict=True))


def _ranks(runs: Mapping[str, str], columns: Sequence[str], artifacts: Artifacts) -> pd.DataFrame:
    """Return a row per image (index `image`, `kind`, `label`) and a column per label; empty without scores."""
    tables = {name: artifacts.scores(runs[name]) for name in columns if name in runs}
    ranks = {
        name: pd.Series(
            _fraction_below(table["score"]).to_numpy(float), index=pd.MultiIndex.from_frame(table[KEYS])
        )
        for name, table in tables.items()
        if table is not None and len(table)
    }
    return pd.DataFrame(ranks).reindex(columns=list(columns)) if ranks else pd.DataFrame()


def _fraction_below(scores: "pd.Series[float]") -> "pd.Series[float]":
    """Return for each score the fraction of the others that are lower; undefined scores do not count."""
    return (scores.rank(method="min") - 1) / max(scores.count() - 1, 1)


def _most_disputed(ranks: pd.DataFrame) -> pd.DataFrame:
    """Sort by disagreement, then by rank, highest first."""
    keys = pd.DataFrame({"spread": ranks.max(axis=1) - ranks.min(axis=1), "height": ranks.mean(axis=1)})
    order = keys.sort_values(["spread", "height"], ascending=False, kind="stable").index
    return ranks.loc[order]


@dataclass(frozen=True)
class _Drawer:
    """Draws the images of one category: thumbnails, and full pictures under `folder`."""

    folder: Path
    category: str
    runs: Mapping[str, str]
    artifacts: Artifacts

    def draw(self, chosen: pd.DataFrame, columns: Sequence[str]) -> list[GalleryRow]:
        """Return a row per chosen image, in this order."""
        images, kinds, anomalous = (list(chosen.index.get_level_values(name)) for name in KEYS)
        maps = {label: self._maps(label, images) for label in columns}
        seen = self._pictures(images, anomalous)
        disagreement = (chosen.max(axis=1) - chosen.min(axis=1)).to_list()
        ranks = [dict(zip(columns, values, strict=True)) for values in chosen.to_numpy(float).tolist()]
        return [
            GalleryRow(
                category=self.category,
                image=images[i],
                kind=kinds[i],
                disagreement=disagreement[i],
                ranks=ranks[i],
                tiles=[
                    *seen[images[i]],
                    *(self._map_tile(label, maps[label].get(images[i])) for label in columns),
                ],
            )
            for i in range(len(chosen))
        ]

    def _maps(self, label: str, images: Sequence[str]) -> dict[str, Rendered]:
        """Return the coloured maps of these images; a label may lack some or all."""
        stored = self.artifacts.maps(self.runs[label]) if label in self.runs else None
        if stored is None:
            return {}
        place = {name: i for i, name in enumerate(stored.images)}
        low, high = _scale(stored.maps)
        found = {image: stored.maps[place[image]] for image in images if image in place}
        return {
            image: self._save(image, f"map-{slug(label)}", _coloured(values, low, high))
            for image, values in found.items()
        }

    @staticmethod
    def _map_tile(label: str, rendered: Rendered | None) -> Tile:
        return Tile(label, *rendered) if rendered else Tile(f"{label}: no map", b"", Path())

    def _pictures(self, images: Sequence[str], anomalous: Sequence[int]) -> dict[str, list[Tile]]:
        """Return image and ground truth of each image, from the first label that has them."""
        opened = [pictures for run in self.runs.values() if (pictures := self.artifacts.pictures(run))]
        return {
            image: self._image_and_truth(opened, image, bool(label))
            for image, label in zip(images, anomalous, strict=True)
        }

    def _image_and_truth(self, opened: Sequence[Pictures], image: str, anomalous: bool) -> list[Tile]:
        found = ((source, picture) for source in opened if (picture := source.image(image)))
        source, picture = next(found, (None, None))
        if source is None or picture is None:
            return [Tile("image: not kept", b"", Path()), Tile("ground truth: not kept", b"", Path())]
        picture, mask = picture.convert("RGB"), source.mask(image)
        shown = (np.asarray(picture) * 0.45).astype(np.uint8)
        if mask is not None:
            shown[np.asarray(mask.convert("1").resize(picture.size))] = RED
        title = "ground truth" + ("" if mask is not None else ": no mask" if anomalous else ": normal")
        return [
            Tile("image", *self._save(image, "image", picture)),
            Tile(title, *self._save(image, "ground_truth", Image.fromarray(shown))),
        ]

    def _save(self, image: str, what: str, picture: Image.Image) -> Rendered:
        """Write the full picture; return its thumbnail and its path relative to the folder."""
        relative = Path("pictures", slug(self.category), slug(image), f"{what}.jpg")
        path = self.folder / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        # subsampled colours would blur the edges of masks
        picture.save(path, quality=90, subsampling=0)
        small = picture.copy()
        small.thumbnail((THUMBNAIL, THUMBNAIL))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80)
        return buffer.getvalue(), relative


def _scale(maps: NDArray[np.float32]) -> tuple[float, float]:
    """Return the values at the ends of the colour scale; undefined values do not count."""
    finite = maps if np.isfinite(maps).all() else maps[np.isfinite(maps)]
    if not finite.size:
        return 0.0, 1.0
    low, high = np.percentile(finite, (LOWEST, HIGHEST))
    return float(low), float(high)


def _coloured(values: NDArray[np.float32], low: float, high: float) -> Image.Image:
    scaled = (values - low) / (max(high - low, 0.0) or 1.0)
    return Image.fromarray(colormaps["inferno"](scaled.clip(0, 1), bytes=True)[..., :3].copy())
