"""What a cell leaves behind: its numbers, curves and files, written to a draft."""

import csv
import io
import logging
import math
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import save_file

from benchmark.cell import Cell, Outcome
from benchmark.drafts import Draft
from benchmark.figure import save_figure
from datasets.category import Sample
from metrics import image_roc, overlaps_at, pixel_roc, pro_curve, pro_of_regions

log = logging.getLogger(__name__)

# where curves are drawn: evenly over all rates, and closer where few false positives count
RATES = np.unique(np.concatenate([np.linspace(0, 1, 201), np.geomspace(1e-4, 1, 100)]))
QUALITY = 90  # of JPEG


def record(cell: Cell, outcome: Outcome, draft: Draft) -> None:
    """Write a cell's numbers, curves and files to a draft."""
    own = [item for item in outcome.records if not item.shared]
    seconds = sum(item.seconds for item in own)
    draft.add_metrics(
        {
            **outcome.measures.values,
            "threshold": outcome.measures.threshold,
            "image_threshold": outcome.measures.image_threshold,
            "dice_max_threshold": outcome.measures.dice_max_threshold,
            "train_seconds": seconds,
            "train_images_per_second": sum(item.images for item in own) / seconds if own else math.nan,
            "pretext_seconds": sum(item.seconds for item in outcome.records if item.shared) or math.nan,
            "inference_seconds_single": outcome.cost.seconds_single,
            "inference_seconds_batched": outcome.cost.seconds_batched,
            "inference_images_per_second": 1 / outcome.cost.seconds_batched,
            "multiply_adds": outcome.cost.multiply_adds,
            "peak_memory_gb": outcome.peak_memory_gb,
            "parameters": float(sum(p.numel() for p in outcome.method.parameters() if p.requires_grad)),
        }
    )
    for item in outcome.records:
        curves = {f"{item.name}/loss": item.losses, f"{item.name}/selection": item.selection}
        draft.metrics |= {
            name: {item.every * i: value for i, value in enumerate(values, 1)}
            for name, values in curves.items()
            if values
        }
        draft.add_metrics({f"{item.name}/best_epoch": float(item.best_epoch)})
    draft.tags |= {"teacher": cell.teacher, "dataset_fingerprint": outcome.stored.fingerprint}
    if outcome.pretext_fingerprint:
        draft.tags["pretext_fingerprint"] = outcome.pretext_fingerprint
    if not outcome.measures.exact:
        draft.tags["pixel_measures"] = "streamed"
    if outcome.measures.missing:
        draft.tags["missing"] = "; ".join(f"{k}: {v}" for k, v in outcome.measures.missing.items())
    _write_files(cell, outcome, draft.files)
    draft.save()
    log.info(
        "%s: %s; trained in %.1f s",
        cell.name,
        ", ".join(
            f"{name} {_number(outcome.measures.values.get(name, math.nan))}"
            for name in cell.evaluation.tables
        ),
        seconds,
    )


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"


def _write_files(cell: Cell, outcome: Outcome, folder: Path) -> None:
    tracking, stored, scores = cell.tracking, outcome.stored, outcome.scores
    names = [_short(sample) for sample in stored.samples]
    rows = zip(names, stored.samples, scores.images, strict=True)
    _write_table(
        folder / "scores.csv",
        ("image", "kind", "label", "score"),
        ((name, sample.kind, sample.label, float(value)) for name, sample, value in rows),
    )
    _write_curves(folder / "curves.csv", outcome)
    _write_regions(folder / "regions.csv", cell, outcome, names)
    if tracking.maps:
        _save_maps(folder / "maps.npz", outcome, names)
    if tracking.pictures:
        _save_pictures(folder / "pictures.zip", outcome, names)
    if outcome.outputs is not None:
        np.savez_compressed(folder / "outputs.npz", **vars(outcome.outputs))
    if tracking.student:
        state = {key: value.detach().cpu().contiguous() for key, value in outcome.method.state_dict().items()}
        save_file(state, folder / "student.safetensors")
    if tracking.figure:
        save_figure(folder / "figure.png", cell.name, stored, scores, outcome.measures.threshold)


def _short(sample: Sample) -> str:
    """Return test/<kind>/<file>, or test/<kind>/rgb/<file>."""
    return "/".join(sample.image.parts[-4 if sample.xyz else -3 :])


def _write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def _write_curves(path: Path, outcome: Outcome) -> None:
    """Write the points of the curves that are defined."""
    pixels = outcome.measures.pixels
    labels = [sample.label for sample in outcome.stored.samples]
    curves = {"image_roc": image_roc(labels, outcome.scores.images)}
    if not pixels.one_class:
        curves |= {"pixel_roc": (RATES, pixel_roc(pixels, RATES)), "pro": (RATES, pro_curve(pixels, RATES))}
    points = ((name, *point) for name, curve in curves.items() for point in zip(*curve, strict=True))
    _write_table(path, ("curve", "false_positive_rate", "value"), points)


def _write_regions(path: Path, cell: Cell, outcome: Outcome, names: Sequence[str]) -> None:
    """Write the regions of the ground truth, and how much of each is found."""
    pixels, samples = outcome.measures.pixels, outcome.stored.samples
    columns = zip(
        pixels.images.tolist(),
        pixels.areas.tolist(),
        (pixels.areas / outcome.scores.maps[0].size).tolist(),
        overlaps_at(pixels, outcome.measures.threshold).tolist(),
        pro_of_regions(pixels, cell.evaluation.fpr_limit).tolist(),
        strict=True,
    )
    rows = ((names[image], samples[image].kind, *rest) for image, *rest in columns)
    _write_table(path, ("image", "kind", "area", "part", "overlap", "pro"), rows)


def _save_maps(path: Path, outcome: Outcome, names: Sequence[str]) -> None:
    """Save float16 maps; they are divided by `scale` so that small scores keep their digits."""
    scale = max(float(np.abs(outcome.scores.maps).max()) / 2**15, float(np.finfo(np.float32).tiny))
    np.savez_compressed(
        path,
        maps=(outcome.scores.maps / scale).astype(np.float16),
        scale=np.float32(scale),
        images=np.array(names),
    )


def _save_pictures(path: Path, outcome: Outcome, names: Sequence[str]) -> None:
    """Save the test images, and their ground truth where there is one, as they were scored."""
    stored = outcome.stored
    with zipfile.ZipFile(path, "w") as archive:  # pictures are compressed already
        for i, name in enumerate(names):
            archive.writestr(f"{name}.jpg", _encoded(Image.fromarray(stored.images[i]), "JPEG"))
            if stored.masks is not None:
                archive.writestr(f"{name}.mask.png", _encoded(Image.fromarray(stored.masks[i]), "PNG"))


def _encoded(image: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **({"quality": QUALITY} if kind == "JPEG" else {}))
    return buffer.getvalue()
