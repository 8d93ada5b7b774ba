"""A made-up store as large as a paper's: six methods, MVTec AD's 15 categories, five seeds; and its report, timed.

`python -m tests.reports.store [FOLDER]` makes the store in FOLDER (default: a temporary one) unless it exists, about
5 GB, and prints the time and size of its report. Numbers, files and images are random, with the form and size of real
ones; all seeds of a method and category have the same files.
"""

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

from reports.folder import PAGE
from reports.report import write_report
from reports.selection import Selection
from store.files import (
    Pairs,
    write_curves,
    write_maps,
    write_pairs,
    write_pictures,
    write_regions,
    write_scores,
)
from store.plan import MEMBER, Member, Plan, job_key
from store.tracker import Run
from tests.store.made import open_tracker

METHODS = ("rd", "ast", "stfpm", "uninformed_students", "feature_variance", "simple_student")
TEXTURES = ("carpet", "grid", "leather", "tile", "wood")
OBJECTS = (
    *("bottle", "cable", "capsule", "hazelnut", "metal_nut"),
    *("pill", "screw", "toothbrush", "transistor", "zipper"),
)
MEASURES = (
    *("image_auroc", "pixel_auroc", "pro", "dice", "dice_image", "dice_max"),
    *("pixel_ap", "image_f1", "image_ap"),
)
SWEEP = "made-up"


def make_store(
    folder: Path,
    methods: tuple[str, ...] = METHODS,
    categories: tuple[str, ...] = (*TEXTURES, *OBJECTS),
    seeds: int = 5,
    images: int = 83,
    side: int = 256,
) -> str:
    """Fill a store in a folder and return its URI."""
    tracker = open_tracker(folder)
    parent = tracker.sweep(SWEEP)
    for number, method in enumerate(methods):
        params = _params(method)
        plan = Plan(method, (f"method={method}",), categories, job_key(params))
        tracker.announce_job(parent, number, plan)
        for place, category in enumerate(categories):
            with TemporaryDirectory() as files:
                rng = np.random.default_rng([number, place])
                _write_files(Path(files), method, images, side, rng)
                for seed in range(seeds):
                    tags = _tags(method, category, seed, Member(number, place, plan.key))
                    run = tracker.start_cell(parent, f"{method} {category} seed {seed}", tags)
                    run.log_params({**params, "seed": seed})
                    run.log_files(Path(files))
                    _log_metrics(run, rng)
                    run.end("FINISHED")
    parent.set_tags({"jobs": len(methods)})
    parent.end("FINISHED")
    return tracker.uri


def _params(method: str) -> dict[str, object]:
    options = {f"method.option_{i}": i for i in range(50)}
    return {
        **options,
        "method.training.image_size": 256,
        "backbone.name": "resnet18.tv_in1k",
        "method.name": method,
    }


def _tags(method: str, category: str, seed: int, member: Member) -> dict[str, object]:
    return {
        "method": method,
        "mode": "rgb",
        "dataset": "mvtec_ad",
        "dataset_choice": "mvtec_ad",
        "category": category,
        "group": "textures" if category in TEXTURES else "objects" if category in OBJECTS else "",
        "seed": seed,
        "protocol": "paper",
        "device": "cuda",
        "precision": "fp32",
        "gpu": "made up",
        "backbone": "resnet18.tv_in1k",
        "weights": "imagenet",
        "threshold_policy": "f1_image",
        "fpr_limit": 0.3,
        "git_commit": "0" * 40,
        "git_dirty": "false",
        "identity": f"{method}-{category}-{seed}",
        MEMBER + SWEEP: member,
    }


def _log_metrics(run: Run, rng: np.random.Generator) -> None:
    costs = {"train_seconds": 90, "inference_seconds_single": 0.05, "parameters": 3e6, "multiply_adds": 1e10}
    run.log_metrics(
        {
            **{name: rng.uniform(0.7, 1) for name in MEASURES},
            **{name: value * rng.uniform(0.9, 1.1) for name, value in costs.items()},
            "threshold": 1.5,
            "image_threshold": 2.0,
            "anomalous_images": 62,
            "normal_images": 21,
            "misses/f1_image": int(rng.integers(10)),
            "false_alarms/f1_image": int(rng.integers(5)),
        }
    )
    run.log_history({"student/loss": dict(enumerate(np.exp(-np.arange(100) / 20).tolist(), 1))})


def _write_files(folder: Path, method: str, count: int, side: int, rng: np.random.Generator) -> None:
    """Write files of a cell; a quarter of the images are normal."""
    kinds = ["good" if i < count // 4 else ("crack", "hole", "stain")[i % 3] for i in range(count)]
    names = [f"test/{kind}/{i:03}.png" for i, kind in enumerate(kinds)]
    labels = [int(kind != "good") for kind in kinds]
    pictures, masks = _pictures(labels, side, rng)
    write_pictures(folder, pictures, masks, names)
    noise = zoom(rng.normal(size=(count, side // 16, side // 16)), (1, 16, 16), order=1)
    maps = np.exp(noise + gaussian_filter(masks.astype(np.float32), (0, 3, 3))).astype(np.float32)
    write_maps(folder, maps, names)
    write_scores(folder, zip(names, kinds, labels, maps.max((1, 2)).tolist(), strict=True))
    rates = np.linspace(0, 1, 300)
    write_curves(folder, dict.fromkeys(("image_roc", "pixel_roc", "pro"), (rates, 1 - (1 - rates) ** 20)))
    areas = masks.sum((1, 2))
    write_regions(
        folder,
        (
            (names[i], kinds[i], int(areas[i]), areas[i] / side**2, 0.5, rng.uniform(0.5, 1))
            for i in np.flatnonzero(areas)
        ),
    )
    if method == "ast":
        teacher, student = rng.normal(size=(2, 2000, 2)).astype(np.float32)
        distance = np.square(teacher - student).mean(1)
        write_pairs(folder, Pairs(teacher, student, distance, distance > 1))
    (folder / "config.yaml").write_text("method: made up\n")


def _pictures(
    labels: list[int], side: int, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw images of noise, and round defects."""
    small = rng.uniform(60, 200, (len(labels), side // 8, side // 8, 3))
    images = zoom(small, (1, 8, 8, 1), order=1) + rng.normal(0, 6, (len(labels), side, side, 3))
    y, x = np.mgrid[:side, :side]
    masks = np.zeros(images.shape[:3], bool)
    for i in np.flatnonzero(labels):
        centre, radius = rng.uniform(0.1, 0.9, 2) * side, rng.uniform(0.01, 0.12) * side
        masks[i] = np.hypot(y - centre[0], x - centre[1]) <= max(radius, 1)
    return np.clip(images, 0, 255).astype(np.uint8), masks


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
        page = write_report(uri, cells, SWEEP, root / "report").page
        seconds = time.perf_counter() - start
        count = cells["run_id"].nunique()
        whole = sum(path.stat().st_size for path in page.parent.rglob("*") if path.is_file())
        print(
            f"report of {count} cells: {seconds:.1f} s; {PAGE} {page.stat().st_size / 1e6:.1f} MB, "
            f"with all files {whole / 1e6:.1f} MB"
        )


if __name__ == "__main__":
    main()
