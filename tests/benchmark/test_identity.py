"""The identity of a cell: another one for all that can change its numbers, the same for all that cannot."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from benchmark import identity as module
from benchmark.cell import Cell
from benchmark.identity import code_version, identity
from benchmark.runtime import Runtime
from benchmark.settings import Evaluation, Tracking
from datasets.folder import Folder
from datasets.synthetic import generate
from methods.backbone import FeatureBackbone
from methods.rd import ReverseDistillation
from methods.stfpm import STFPM
from tests.benchmark.conftest import CPU, make_trainer, make_training

METHOD = {"_target_": "methods.stfpm.STFPM", "layers": ["layer1"]}


def measured(**changes: Any) -> Evaluation:
    usual: dict[str, Any] = {
        "batch_size": 4,
        "threshold": "f1_image",
        "quantile": 0.995,
        "fpr_limit": 0.3,
        "pro_variants": ["exact"],
        "tables": ["pro"],
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
        "method": METHOD,
        "category": dataset.category("washer"),
        "seed": 0,
        "backbone": FeatureBackbone("resnet18.tv_in1k", "random"),
        "teacher": "resnet18/layer1:abc",
        "runtime": CPU,
        "trainer": make_trainer(cache),
        "training": make_training(image_size=32),
        "evaluation": measured(),
        "tracking": Tracking("sqlite://", "x"),
    }
    return Cell(**(given | changes))


def identify(cell: Cell) -> str:
    return identity(cell, cell.open_stores())


@pytest.fixture
def usual(root: Path, tmp_path: Path) -> str:
    return identify(make(root, tmp_path))


def test_it_is_the_same_at_another_place_and_time(root: Path, tmp_path: Path, usual: str) -> None:
    shutil.copytree(root, tmp_path / "moved")
    assert identify(make(tmp_path / "moved", tmp_path / "other cache")) == usual


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "another name"},
        {"tracking": Tracking("sqlite:///elsewhere.db", "y", maps=False, student=False)},
        {"evaluation": measured(tables=["dice"])},
    ],
    ids=["name", "tracking", "tables"],
)
def test_it_does_not_depend_on_what_changes_no_number(
    root: Path, tmp_path: Path, usual: str, changes: dict[str, Any]
) -> None:
    assert identify(make(root, tmp_path, **changes)) == usual


def test_it_does_not_depend_on_how_the_work_is_shared_out(root: Path, tmp_path: Path, usual: str) -> None:
    trainer = replace(make_trainer(tmp_path), threads=1, malloc=True, progress=True)
    assert identify(make(root, tmp_path, trainer=trainer)) == usual


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"method": {**METHOD, "half": True}},
        {"method": {**METHOD, "_target_": "methods.rd.ReverseDistillation"}},
        {"training": make_training(image_size=32, epochs=3)},
        {"training": make_training(image_size=32, optimizer={"_target_": "torch.optim.SGD", "lr": 0.2})},
        {"training": make_training(image_size=48)},
        {"training": make_training(image_size=32, validation_seed=1)},
        {"evaluation": measured(threshold="train_quantile")},
        {"evaluation": measured(fpr_limit=0.2)},
        {"teacher": "resnet18/layer1:abd"},
        {"runtime": Runtime(CPU.device, "bf16", channels_last=True)},
        {"runtime": Runtime(CPU.device, "fp32", channels_last=False)},
        {"mask_threshold": 7},
    ],
    ids=lambda changes: " ".join(changes),
)
def test_it_depends_on_what_can_change_numbers(
    root: Path, tmp_path: Path, usual: str, changes: dict[str, Any]
) -> None:
    assert identify(make(root, tmp_path, **changes)) != usual


def brighten(root: Path) -> None:
    path = root / "washer/train/good/000.png"
    with Image.open(path) as image:
        image.point(lambda value: min(value + 1, 255)).save(path)


def rename_kind(root: Path) -> None:
    for part in ("test", "ground_truth"):
        (root / "washer" / part / "rust").rename(root / "washer" / part / "stain")


def remove_image(root: Path) -> None:
    (root / "washer/train/good/002.png").unlink()


@pytest.mark.parametrize("change", [brighten, rename_kind, remove_image])
def test_it_depends_on_the_images_and_their_kinds(
    root: Path, tmp_path: Path, usual: str, change: Callable[[Path], None]
) -> None:
    shutil.copytree(root, tmp_path / "changed")
    change(tmp_path / "changed")
    assert identify(make(tmp_path / "changed", tmp_path)) != usual


def test_code_of_other_methods_does_not_count() -> None:
    own = {Path(str(found.__file__)).name for found in module._modules(STFPM)}
    assert own == {"stfpm.py", "method.py", "backbone.py", "weights.py", "maps.py", "errors.py"}
    assert code_version(STFPM) != code_version(ReverseDistillation)


def test_comments_and_docstrings_do_not_count_and_code_does(tmp_path: Path) -> None:
    def version(text: str) -> str:
        path = tmp_path / "module.py"
        path.write_text(text)
        return module._without_docs(path)

    usual = version('def f(x):\n    """Double."""\n    return 2 * x\n')
    assert version("def f(x):  # doubles\n\n    return (2 * x)\n") != version("def f(x):\n    return 3 * x\n")
    assert version('def f(x):\n    """Return the double."""\n    return 2 * x  # twice\n') == usual
    assert version('def f(x):\n    """Double."""\n    return 3 * x\n') != usual


def test_every_file_that_is_named_is_there() -> None:
    for pattern in module.CODE:
        assert list(module.PROJECT_ROOT.glob(pattern)), pattern
