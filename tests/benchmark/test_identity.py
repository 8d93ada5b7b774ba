"""Keys of a cell: new ones for all that can change its results, the same for all that cannot."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from benchmark.cell import Cell
from benchmark.identity import keys_of
from benchmark.runtime import Runtime
from benchmark.settings.evaluation import Evaluation
from datasets.batch import Normalisation
from datasets.folder import Folder
from datasets.synthetic import generate
from methods.backbone import FeatureBackbone
from store.code import PROJECT_ROOT
from tests.benchmark.conftest import make_settings, make_training

CPU = Runtime(torch.device("cpu"), "fp32", channels_last=True)
METHOD = {"_target_": "methods.stfpm.STFPM", "layers": ["layer1"]}


def measured(**changes: Any) -> Evaluation:
    usual: dict[str, Any] = {
        "batch_size": 4,
        "threshold": "f1_image",
        "quantile": 0.995,
        "fpr_limit": 0.3,
        "pro_variants": ["exact"],
        "bootstrap": 0,
    }
    return Evaluation(**(usual | changes))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    return generate(folder, categories=["washer"], image_size=32, train=3, test_good=1, test_defective=1)


def make(root: Path, cache: Path, **changes: Any) -> Cell:
    dataset = Folder(str(root), mask_threshold=changes.pop("mask_threshold", None))
    given: dict[str, Any] = {
        "name": "stfpm washer",
        "method_name": "stfpm",
        "method": METHOD,
        "layers": ("layer1",),
        "crop_layers": (),
        "category": dataset.category("washer"),
        "seed": 0,
        "backbone": FeatureBackbone("resnet18.tv_in1k", "random"),
        "runtime": CPU,
        "settings": make_settings(cache),
        "training": make_training(image_size=32),
        "evaluation": measured(),
    }
    return Cell(**(given | changes))


def keys(cell: Cell) -> tuple[str, str]:
    """Return training key and identity."""
    return keys_of(cell)


@pytest.fixture
def usual(root: Path, tmp_path: Path) -> tuple[str, str]:
    return keys(make(root, tmp_path))


def test_they_are_the_same_at_another_place_and_time(
    root: Path, tmp_path: Path, usual: tuple[str, str]
) -> None:
    shutil.copytree(root, tmp_path / "moved")
    assert keys(make(tmp_path / "moved", tmp_path / "other cache")) == usual


def test_they_do_not_depend_on_names_or_on_how_the_work_is_divided(
    root: Path, tmp_path: Path, usual: tuple[str, str]
) -> None:
    settings = replace(make_settings(tmp_path), threads=1, malloc=True, progress=True)
    assert keys(make(root, tmp_path, settings=settings, name="another name")) == usual


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"method": {**METHOD, "half": True}},
        {"method": {**METHOD, "_target_": "methods.feature_variance.FeatureVariance"}},
        {"training": make_training(image_size=32, epochs=3)},
        {"training": make_training(image_size=32, optimizer={"_target_": "torch.optim.SGD", "lr": 0.2})},
        {"training": make_training(image_size=48)},
        {"training": make_training(image_size=32, validation_seed=1)},
        {"backbone": FeatureBackbone("resnet18.tv_in1k", "random", seed=1)},
        {"runtime": Runtime(CPU.device, "bf16", channels_last=True)},
        {"runtime": Runtime(CPU.device, "fp32", channels_last=False)},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_training_and_cell_depend_on_what_can_change_the_trained_weights(
    root: Path, tmp_path: Path, usual: tuple[str, str], changes: dict[str, Any]
) -> None:
    trained, identity = keys(make(root, tmp_path, **changes))
    assert trained != usual[0]
    assert identity != usual[1]


def test_how_train_images_are_held_out_does_not_count_next_to_validation_images_of_its_own(
    root: Path, tmp_path: Path
) -> None:
    category = Folder(str(root)).category("washer").hold_out(0.3, 0)
    usual = keys(make(root, tmp_path, category=category))
    for changes in ({"validation_fraction": 0.4}, {"validation_seed": 1}):
        training = make_training(image_size=32, **changes)
        assert keys(make(root, tmp_path, category=category, training=training)) == usual
    other = replace(category, validation=category.train[:1])
    assert keys(make(root, tmp_path, category=other))[0] != usual[0]


def test_training_and_cell_depend_on_the_normalisation_of_images_without_features(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = {"_target_": "methods.uninformed_students.UninformedStudents"}
    before = keys(make(root, tmp_path, method=method, layers=()))
    monkeypatch.setattr(FeatureBackbone, "normalisation", Normalisation((0.5,) * 3, (0.5,) * 3))
    after = keys(make(root, tmp_path, method=method, layers=()))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_training_depends_on_the_teacher_that_only_stages_on_crops_see(root: Path, tmp_path: Path) -> None:
    method = {"_target_": "methods.uninformed_students.UninformedStudents", "pretrained_layer": "layer1"}
    trained = {
        keys(
            make(
                root,
                tmp_path,
                method=method,
                layers=(),
                crop_layers=("layer1",),
                backbone=FeatureBackbone("resnet18.tv_in1k", "random", seed),
            )
        )[0]
        for seed in (0, 1)
    }
    assert len(trained) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"evaluation": measured(threshold="dice_max")},
        {"evaluation": measured(fpr_limit=0.2)},
        {"evaluation": measured(pro_variants=["exact", "rescaled"])},
        {"evaluation": measured(bootstrap=1000)},
        {"evaluation": measured(shifts=["blur"])},
        {"mask_threshold": 7},
    ],
    ids=["threshold", "fpr_limit", "pro_variants", "bootstrap", "shifts", "mask_threshold"],
)
def test_another_evaluation_makes_another_cell_of_the_same_detector(
    root: Path, tmp_path: Path, usual: tuple[str, str], changes: dict[str, Any]
) -> None:
    trained, identity = keys(make(root, tmp_path, **changes))
    assert trained == usual[0]
    assert identity != usual[1]


def brighten(path: Path) -> None:
    with Image.open(path) as image:
        image.point(lambda value: min(value + 1, 255)).save(path)


def brighten_a_train_image(root: Path) -> None:
    brighten(root / "washer/train/good/000.png")


def brighten_a_test_image(root: Path) -> None:
    brighten(root / "washer/test/good/000.png")


def rename_kind(root: Path) -> None:
    for part in ("test", "ground_truth"):
        (root / "washer" / part / "rust").rename(root / "washer" / part / "stain")


def remove_a_train_image(root: Path) -> None:
    (root / "washer/train/good/002.png").unlink()


@pytest.mark.parametrize(
    ("change", "trains"),
    [
        (brighten_a_train_image, True),
        (remove_a_train_image, True),
        (brighten_a_test_image, False),
        (rename_kind, False),
    ],
)
def test_train_images_belong_to_the_detector_and_test_images_to_the_cell(
    root: Path,
    tmp_path: Path,
    usual: tuple[str, str],
    change: Callable[[Path], None],
    trains: bool,
) -> None:
    shutil.copytree(root, tmp_path / "changed")
    change(tmp_path / "changed")
    trained, identity = keys(make(tmp_path / "changed", tmp_path))
    assert (trained != usual[0]) == trains
    assert identity != usual[1]


# Changed code. A copy of the project is changed file by file; as a process keeps the code that it has loaded, the
# keys are computed in a fork of a process that has loaded only the libraries.

KINDS = ("images", "features", "stage", "detector", "cell")
CHANGES = {
    "datasets/images.py": KINDS,
    "methods/backbone.py": ("features", "stage", "detector", "cell"),
    "benchmark/data/teacher.py": ("features", "stage", "detector", "cell"),
    "benchmark/runtime.py": ("features", "stage", "detector", "cell"),
    "benchmark/data/crops.py": ("stage", "detector", "cell"),
    "benchmark/training/loop.py": ("stage", "detector", "cell"),
    "methods/uninformed_students.py": ("stage", "detector", "cell"),
    "benchmark/training/fit.py": ("detector", "cell"),
    "benchmark/training/rehearsal.py": ("detector", "cell"),
    "datasets/category.py": KINDS,
    "benchmark/scoring.py": ("cell",),
    "benchmark/measuring.py": ("cell",),
    "metrics/pro.py": ("cell",),
    "metrics/regions.py": ("cell",),
}
"""What changed code makes anew, file by file."""
OTHER_CODE = (
    "methods/maps.py",  # distances of other methods
    "benchmark/data/shifts.py",  # of cells that ask for shifts
    "methods/stfpm.py",
    "reports/report.py",
    "store/tracker.py",
    "benchmark/recording.py",
    "benchmark/detector.py",
    "benchmark/job.py",
    "benchmark/training/progress.py",
    "datasets/progress.py",
    "store/progress.py",
    "benchmark/training/trained.py",
    "store/doubts.py",
    "datasets/synthetic/drawing.py",
    "run_benchmark.py",
)
"""Code that makes nothing anew; all of it is changed at once."""

COMPUTE = """
import json, os, sys
import numpy, pandas, PIL.Image, pytest, rich.progress, safetensors.torch, scipy.ndimage, sklearn.linear_model
import sklearn.metrics, sklearn.model_selection, tifffile, timm, torch, torchvision.transforms.v2
from pathlib import Path
from store.code import _distributions

for name in ("PIL", "sklearn"):
    _distributions(name)

root, changes = Path(sys.argv[1]), json.loads(sys.argv[2])
texts = {path: Path(path).read_text() for files in changes.values() for path in files}
variants = {name: {path: texts[path] + "\\nADDED = 1\\n" for path in files} for name, files in changes.items()}
variants["comments and docstrings"] = {
    name: text.replace('\"\"\"', '\"\"\"Changed. ', 1) + "\\n\\n# A comment.\\n" for name, text in texts.items()
}

def keys():
    from benchmark.data.features import features_key
    from benchmark.identity import keys_of
    from benchmark.training.loop import stages_of
    from benchmark.training.pretraining import PretrainedStages
    from dataclasses import replace
    from datasets.pretraining import train_images
    from tests.benchmark.test_identity import make
    options = {"_target_": "methods.uninformed_students.UninformedStudents", "patch_sizes": [17]}
    options |= {"pretrained_layer": "layer1"}
    cell = make(root, root / "cache", method=options, layers=())
    cell = replace(cell, pretraining=train_images([cell.category], 10))
    trained, identity = keys_of(cell)
    from benchmark.data.file_digests import FileDigests
    from benchmark.data.images import images_key
    images = images_key(cell.category, "train", 32, 192, FileDigests(root / "cache"))
    method = cell.build_method()
    stage, config = stages_of(method, cell.training)[0]
    stored = type("Stored", (), {"key": images})
    pretrained = PretrainedStages(stored, options, cell.backbone, cell.runtime, root)
    features = features_key(images, cell.backbone, ["layer1"], cell.runtime)
    return [images, features, pretrained.key(method, stage, config), trained, identity]

for name, changed in variants.items():
    for path, text in changed.items():
        Path(path).write_text(text)
    if os.fork() == 0:
        print(json.dumps([name, keys()]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, name
    for path in changed:
        Path(path).write_text(texts[path])
"""


@pytest.fixture(scope="module")
def changed_keys(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the kinds of things that get a new key: {changed file, or what is changed: kinds}."""
    copy, data = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("data") / "images"
    for name in ("benchmark", "datasets", "methods", "metrics", "reports", "store", "tests"):
        shutil.copytree(PROJECT_ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT_ROOT / "run_benchmark.py", copy)
    shutil.copytree(root, data)
    changes = {"": [], "other code": OTHER_CODE, **{path: [path] for path in CHANGES}}
    done = subprocess.run(
        [sys.executable, "-c", COMPUTE, str(data), json.dumps(changes)],
        cwd=copy,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    return {
        name: {kind for kind, key, usual in zip(KINDS, keys, found[""], strict=True) if key != usual}
        for name, keys in found.items()
    }


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", CHANGES)
def test_changed_code_makes_anew_what_it_makes_and_nothing_else(
    changed_keys: dict[str, set[str]], name: str
) -> None:
    assert changed_keys[name] == set(CHANGES[name])


@pytest.mark.parametrize("change", ["other code", "comments and docstrings"])
def test_other_code_comments_and_docstrings_make_nothing_anew(
    changed_keys: dict[str, set[str]], change: str
) -> None:
    assert changed_keys[change] == set()
