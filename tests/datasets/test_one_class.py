"""One-class novelty detection: one class normal, all others anomalous; scikit-learn's and torchvision's images."""

import gzip
import hashlib
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torchvision.datasets
from PIL import Image

from datasets.errors import DatasetError
from datasets.inspection import inspect
from datasets.one_class import Digits, OneClass
from datasets.torchvision_sets import CIFAR10, MNIST, FashionMNIST

COUNTS = {"train": 30, "test": 20}
LABELS = {split: np.arange(count, dtype=np.uint8) % 10 for split, count in COUNTS.items()}
RAW = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"


def pixels(split: str, *shape: int) -> np.ndarray:
    """Draw one image per label."""
    rng = np.random.default_rng(len(split))
    return rng.integers(0, 256, (COUNTS[split], *shape), dtype=np.uint8)


def write_raw(folder: Path) -> None:
    """Write the four files of MNIST: a magic number, the shape, both big-endian, and the bytes."""
    folder.mkdir(parents=True)
    for split, begin in (("train", "train"), ("test", "t10k")):
        for name, array in zip(RAW, (pixels(split, 28, 28), LABELS[split]), strict=True):
            header = np.array([0x800 + array.ndim, *array.shape], ">i4").tobytes()
            (folder / name.format(begin)).write_bytes(header + array.tobytes())


def write_cifar(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Write CIFAR-10's batches, and have torchvision expect their checksums."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    batches: dict[str, dict[str, Any]] = {"batches.meta": {"label_names": list(CIFAR10.classes)}}
    for split, name in (("train", "data_batch_1"), ("test", "test_batch")):
        rows = pixels(split, 32, 32, 3).transpose(0, 3, 1, 2).reshape(COUNTS[split], -1)
        batches[name] = {"data": rows, "labels": LABELS[split].tolist()}
    sums = {}
    for name, batch in batches.items():
        content = pickle.dumps(batch)
        (folder / name).write_bytes(content)
        sums[name] = hashlib.md5(content).hexdigest()
    source = torchvision.datasets.CIFAR10
    patch.setattr(source, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    patch.setattr(source, "test_list", [["test_batch", sums["test_batch"]]])
    patch.setattr(source, "meta", {**source.meta, "md5": sums["batches.meta"]})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect as few images as the tests write."""
    for kind in (MNIST, CIFAR10):
        monkeypatch.setattr(kind, "counts", COUNTS)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: None) -> Path:
    """Return a root of torchvision with all three datasets."""
    root = tmp_path / "torchvision"
    for name in ("MNIST", "FashionMNIST"):
        write_raw(root / name / "raw")
    write_cifar(root, monkeypatch)
    return root


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Digits:
    return Digits(tmp_path_factory.mktemp("generated"))


def images_of(dataset: OneClass, split: str) -> np.ndarray:
    """Return the written images in their official order."""
    paths = sorted(dataset.folder.glob(f"{split}/*/*.png"), key=lambda path: path.name)
    return np.stack([np.asarray(Image.open(path)) for path in paths])


def test_a_category_is_trained_on_its_class_and_measured_on_all(digits: Digits) -> None:
    assert digits.categories == tuple("0123456789")
    three, four = digits.category("3"), digits.category("4")
    assert {path.image.parent.name for path in three.train} == {"3"}
    assert all((each.label == 0) == (each.image.parent.name == "3") for each in three.test)
    assert [each.image for each in three.test] == [each.image for each in four.test]
    assert {each.kind for each in three.test} == {"good", *"012456789"}
    assert all(each.mask is None for each in three.test)


def test_a_third_of_each_digit_is_tested_and_no_image_is_in_both_splits(digits: Digits) -> None:
    train, test = ({image.tobytes() for image in images_of(digits, split)} for split in COUNTS)
    assert not train & test
    assert len(train | test) == 1797
    for name in digits.categories:
        trained, tested = (len([*(digits.folder / split / name).iterdir()]) for split in COUNTS)
        assert tested / (trained + tested) == pytest.approx(1 / 3, abs=0.01)


def test_digits_use_all_grey_levels(digits: Digits) -> None:
    images = images_of(digits, "test")
    assert images.shape == (599, 8, 8)
    assert (images.min(), images.max()) == (0, 255)


def test_the_same_images_are_written_once_and_again_when_damaged(digits: Digits) -> None:
    path = digits.category("7").test[0].image
    before, written = path.read_bytes(), path.stat().st_mtime_ns
    assert Digits(digits.folder.parent, ["7"]).folder == digits.folder
    assert path.stat().st_mtime_ns == written
    path.write_bytes(before[:-1])
    Digits(digits.folder.parent)
    assert path.read_bytes() == before


def test_nobody_is_warned_of_masks_that_do_not_exist(digits: Digits) -> None:
    facts = inspect(Digits(digits.folder.parent, [0, 1]))
    assert [(each.category, each.masks, each.warnings) for each in facts] == [("0", 0, ()), ("1", 0, ())]


def test_an_unknown_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.categories: '10' is not a class of digits"):
        Digits(tmp_path, [10])


@pytest.mark.parametrize(
    ("kind", "name", "shape"),
    [
        (MNIST, "mnist", (28, 28)),
        (FashionMNIST, "fashion_mnist", (28, 28)),
        (CIFAR10, "cifar10", (32, 32, 3)),
    ],
)
def test_official_files_are_read_as_they_are(
    kind: Callable[..., OneClass], name: str, shape: tuple[int, ...], root: Path, tmp_path: Path
) -> None:
    dataset = kind(str(root), tmp_path / "cache")
    assert dataset.name == name
    for split in COUNTS:
        assert np.array_equal(images_of(dataset, split), pixels(split, *shape))
    category = dataset.category(dataset.categories[4])
    assert [len(category.train), len(category.test)] == [3, 20]
    assert [path.image.name for path in category.train] == ["00004.png", "00014.png", "00024.png"]
    assert sum(each.label == 0 for each in category.test) == 2


def test_the_root_must_be_given_and_exist(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.root is not set: .*MNIST/raw; dataset\.download=true"):
        MNIST(None, tmp_path)
    with pytest.raises(DatasetError, match=r"no such folder; dataset\.download=true fetches MNIST into it"):
        MNIST(str(tmp_path / "none"), tmp_path)


MISSING = r"{}: the file is missing; .*dataset\.download=true"
DAMAGED = r"{}: the file is damaged \(.*\); delete it and set dataset\.download=true"


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (MNIST, "MNIST/raw/t10k-labels-idx1-ubyte"),
        (MNIST, "MNIST/raw/train-images-idx3-ubyte"),
        (FashionMNIST, "FashionMNIST/raw/t10k-images-idx3-ubyte"),
        (CIFAR10, "cifar-10-batches-py/data_batch_1"),
        (CIFAR10, "cifar-10-batches-py/batches.meta"),
    ],
)
def test_a_missing_or_damaged_file_is_named(
    kind: Callable[..., OneClass], file: str, root: Path, tmp_path: Path
) -> None:
    content = (root / file).read_bytes()
    for damaged in (content[:-1], content[:3], b""):
        (root / file).write_bytes(damaged)
        with pytest.raises(DatasetError, match=DAMAGED.format(file)):
            kind(str(root), tmp_path / "cache")
    (root / file).unlink()
    with pytest.raises(DatasetError, match=MISSING.format(file)):
        kind(str(root), tmp_path / "cache")


def test_a_part_of_the_official_images_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MNIST, "counts", {"train": 60_000, "test": 10_000})
    with pytest.raises(
        DatasetError, match=r"found 30 train images, and 30 labels .*expected .* 60000 images"
    ):
        MNIST(str(root), tmp_path)


@pytest.fixture
def mirror(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve MNIST's archives, and have torchvision fetch them from there; yield their folder."""
    folder, archives = tmp_path / "mirror", []
    folder.mkdir()
    for path in sorted((root / "MNIST/raw").iterdir()):
        archive = folder / f"{path.name}.gz"
        archive.write_bytes(gzip.compress(path.read_bytes()))
        archives.append((archive.name, hashlib.md5(archive.read_bytes()).hexdigest()))
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        source = torchvision.datasets.MNIST
        monkeypatch.setattr(source, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
        monkeypatch.setattr(source, "resources", archives)
        yield folder
        server.shutdown()


def test_missing_files_are_downloaded(mirror: Path, tmp_path: Path) -> None:
    dataset = MNIST(str(tmp_path / "new/root"), tmp_path / "cache", download=True)
    assert np.array_equal(images_of(dataset, "test"), pixels("test", 28, 28))


def test_a_download_with_a_wrong_checksum_is_refused_in_one_line(mirror: Path, tmp_path: Path) -> None:
    archive = mirror / "t10k-images-idx3-ubyte.gz"
    archive.write_bytes(archive.read_bytes()[:-9])
    message = r"^dataset\.download=true: cannot fetch MNIST into .*MNIST/raw \(.*corrupted.*\); expected"
    with pytest.raises(DatasetError, match=message) as error:
        MNIST(str(tmp_path / "new"), tmp_path / "cache", download=True)
    assert "\\n" not in str(error.value)
