"""A store of a paper's size, made up: six methods, MVTec AD's 15 categories, five seeds; then its report, timed.

`python -m tests.reports.store [FOLDER]` makes the store below FOLDER (default: a temporary one) unless it is there,
about 5 GB, and prints how long its report takes and how large it is. Numbers, files and images have the form and size
of real ones; they are drawn at random, and those of seeds above 0 are files of seed 0 with other metrics.
"""

import argparse
import json
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import cast

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from benchmark.cell import Cell, Outcome
from benchmark.outcome import record
from benchmark.outputs import Outputs
from benchmark.records import StageRecord
from benchmark.scoring import InferenceCost, Scores
from benchmark.settings import Evaluation, Tracking
from benchmark.tracking import MEMBER, Run, Tracker
from datasets.category import Sample
from datasets.store import StoredImages
from methods.method import Method
from metrics import evaluate
from reports.report import PAGE, write_report
from reports.selection import Selection
from reports.tables.groups import OBJECTS, TEXTURES

METHODS = ("rd", "ast", "stfpm", "uninformed_students", "feature_variance", "simple_student")
SWEEP = "made-up"


def make_store(
    folder: Path,
    methods: tuple[str, ...] = METHODS,
    categories: tuple[str, ...] = (*TEXTURES, *OBJECTS),
    seeds: int = 5,
    images: int = 83,
    side: int = 256,
    figure: bool = False,
) -> str:
    """Fill a store and return its URI; `figure`: with the picture that each cell may have."""
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    tracker = Tracker(Tracking(uri, "made-up", figure=figure, student=False), folder)
    parent = tracker.sweep(SWEEP)
    for place, category in enumerate(categories):
        stored = _images(category, images, side, np.random.default_rng(place))
        for number, method in enumerate(methods):
            outcome = _outcome(method, stored, np.random.default_rng([place, number]))
            files: dict[str, Path] = {}
            for seed in range(seeds):
                _cell(tracker, parent, (method, category, seed), [number, place], outcome, files)
    parent.end("FINISHED")
    return uri


def _images(category: str, count: int, side: int, rng: np.random.Generator) -> StoredImages:
    """Draw images with the texture of noise, a quarter of them without defects, and round defects."""
    small = rng.uniform(60, 200, (count, side // 8, side // 8, 3))
    images = zoom(small, (1, 8, 8, 1), order=1) + rng.normal(0, 6, (count, side, side, 3))
    masks = np.zeros((count, side, side), bool)
    samples = []
    y, x = np.mgrid[:side, :side]
    for i in range(count):
        kind = "good" if i < count // 4 else ("crack", "hole", "stain")[i % 3]
        for _ in range(0 if kind == "good" else rng.integers(1, 4)):
            centre, radius = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0.01, 0.12) * side
            masks[i] |= np.hypot(y - centre[0], x - centre[1]) <= max(radius, 1)
        samples.append(Sample(Path(f"/data/{category}/test/{kind}/{i:03}.png"), kind))
    return StoredImages(tuple(samples), np.clip(images, 0, 255).astype(np.uint8), masks, "made up")


def _outcome(method: str, stored: StoredImages, rng: np.random.Generator) -> Outcome:
    count, side, _ = stored.images.shape[:3]
    assert stored.masks is not None
    skill = rng.uniform(0.5, 2)
    noise = zoom(rng.normal(size=(count, side // 16, side // 16)), (1, 16, 16), order=1)
    maps = np.exp(noise + skill * gaussian_filter(stored.masks.astype(np.float32), (0, 3, 3)))
    scores = Scores(maps.astype(np.float32), maps.max((1, 2)).astype(np.float64))
    labels = [sample.label for sample in stored.samples]
    losses = np.exp(-np.arange(100) / 20).tolist()
    pairs = rng.normal(size=(2, 2000, 2)).astype(np.float32)
    distance = np.square(pairs[0] - pairs[1]).mean(1)
    return Outcome(
        measures=evaluate(scores.maps, stored.masks, labels, scores.images),
        scores=scores,
        records=[StageRecord("student", losses, 1, [], 100, 90.0, 20_000)],
        cost=InferenceCost(rng.uniform(0.01, 0.2), rng.uniform(0.005, 0.1), 1e10),
        stored=stored,
        method=Method(),
        peak_memory_gb=4.0,
        pretext_fingerprint=None,
        outputs=Outputs(pairs[0], pairs[1], distance, distance > 1) if method == "ast" else None,
    )


def _cell(
    tracker: Tracker,
    parent: Run,
    name: tuple[str, str, int],
    place: list[int],
    outcome: Outcome,
    files: dict[str, Path],
) -> None:
    """Record one cell; its files are those of seed 0."""
    method, category, seed = name
    overrides = [f"method={method}", f"seed={seed}", "dataset=mvtec_ad", f"sweep={SWEEP}"]
    tags = {
        "method": method,
        "mode": "rgb",
        "dataset": "mvtec_ad",
        "category": category,
        "seed": seed,
        "protocol": "paper",
        "device": "cuda",
        "precision": "fp32",
        "gpu": "made up",
        "backbone": "resnet18",
        "weights": "imagenet",
        "threshold_policy": "f1_image",
        "fpr_limit": 0.3,
        "git_commit": "0" * 40,
        "git_dirty": "false",
        "identity": f"{method}-{category}-{seed}",
        MEMBER + SWEEP: json.dumps({"place": place, "overrides": overrides}),
    }
    title = f"{method} {category} seed {seed}"
    settings = {
        "name": title,
        "teacher": "made up",
        "evaluation": Evaluation(16, "f1_image", 0.995, 0.3, ["exact"], ["image_auroc"]),
        "tracking": tracker.settings,
    }
    with tracker.cell(parent, title, tags) as run:
        run.log_text("method: made up\n", "config.yaml")
        draft = tracker.draft(run, parent, title, str(tags["identity"]), tags)
        if files:
            for other, path in files.items():
                os.link(path, draft.files / other)
            draft.metrics = _again(tracker, files, seed)
            draft.save()
        else:
            record(cast(Cell, SimpleNamespace(**settings)), outcome, draft)
            draft.save()
        tracker.send(draft)
        if not files:
            folder = Path(str(tracker.client.get_run(run.run_id).info.artifact_uri).removeprefix("file://"))
            files |= {path.name: path for path in folder.iterdir()}


def _again(tracker: Tracker, files: dict[str, Path], seed: int) -> dict[str, dict[int, float]]:
    """Return the metrics of seed 0 with the noise of another seed."""
    run_id = next(iter(files.values())).parents[1].name
    rng = np.random.default_rng(seed)
    found = tracker.client.get_run(run_id).data.metrics
    return {name: {0: value * (1 + rng.normal(0, 0.003))} for name, value in found.items()}


def main() -> None:
    """Make the store and time its report."""
    parser = argparse.ArgumentParser(prog="python -m tests.reports.store", description=main.__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    folder = parser.parse_args().folder
    with TemporaryDirectory() as temporary:
        root = folder or Path(temporary)
        uri = f"sqlite:///{root / 'mlflow.db'}"
        if not (root / "mlflow.db").exists():
            root.mkdir(parents=True, exist_ok=True)
            make_store(root)
        start = time.perf_counter()
        cells = Selection().read(uri)
        page = write_report(uri, cells, SWEEP, root / "report")
        seconds = time.perf_counter() - start
        count = cells["run_id"].nunique()
        whole = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        print(
            f"report of {count} cells: {seconds:.1f} s; {PAGE} {page.stat().st_size / 1e6:.1f} MB, "
            f"with all files {whole / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
