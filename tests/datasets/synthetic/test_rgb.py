"""The synthetic dataset: layout, determinism, masks, and that it tells a fair detector from a bad one."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, uniform_filter
from sklearn.metrics import roc_auc_score

from datasets.errors import DatasetError
from datasets.images import read_mask
from datasets.synthetic import RGBGenerator, Synthetic, generate
from datasets.synthetic.rgb import Picture
from store.errors import StoreError
from store.keys import code_of

GENERATOR = RGBGenerator()
draw = GENERATOR.draw
CATEGORIES = tuple(GENERATOR.scenes)
KINDS = {name: scene.kinds for name, scene in GENERATOR.scenes.items()}
EVERY_KIND = [(category, kind) for category in CATEGORIES for kind in KINDS[category]]


def generate_tiny(
    root: Path, categories: tuple[str, ...] = ("weave", "washer"), train: int = 3, seed: int = 0
) -> Path:
    return generate(
        root, categories=categories, image_size=32, train=train, test_good=2, test_defective=1, seed=seed
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a dataset, without the digests."""
    files = (path for path in folder.rglob("*.*") if path.is_file() and path.name != "digests.json")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_layout_is_that_of_mvtec_ad(tmp_path: Path) -> None:
    expected = {f"train/good/00{i}.png" for i in range(3)} | {f"test/good/00{i}.png" for i in range(2)}
    for kind in KINDS["washer"]:
        expected |= {f"test/{kind}/000.png", f"ground_truth/{kind}/000_mask.png"}
    folder = generate_tiny(tmp_path, ("washer",))
    assert set(files_of(folder / "washer")) == expected
    assert sorted(path.name for path in folder.iterdir()) == ["digests.json", "washer"]


def test_images_are_rgb_and_masks_are_binary(tmp_path: Path) -> None:
    folder = generate_tiny(tmp_path)
    for path in folder.rglob("*.png"):
        with Image.open(path) as image:
            assert image.size == (32, 32)
            assert image.mode == ("L" if "ground_truth" in path.parts else "RGB")
            if image.mode == "L":
                assert set(np.unique(np.asarray(image))) == {0, 255}


def test_same_arguments_give_the_same_files(tmp_path: Path) -> None:
    first, second = generate_tiny(tmp_path / "a"), generate_tiny(tmp_path / "b", ("washer", "weave"))
    assert first.name == second.name
    assert files_of(first) == files_of(second)


def test_an_image_does_not_depend_on_counts_or_on_other_categories(tmp_path: Path) -> None:
    few = generate_tiny(tmp_path, ("washer",), train=1)
    many = generate_tiny(tmp_path, ("capsule", "washer"), train=4)
    assert few != many
    assert files_of(few).items() <= files_of(many).items()


def test_seeds_splits_and_indices_give_different_images() -> None:
    keys = [("train", 0, 0), ("train", 1, 0), ("test", 0, 0), ("train", 0, 1)]
    images = [
        draw("granite", split, "good", index, image_size=32, seed=seed).image for split, index, seed in keys
    ]
    assert len({image.tobytes() for image in images}) == len(keys)


@pytest.mark.parametrize(("category", "kind"), EVERY_KIND)
@pytest.mark.parametrize(("size", "count"), [(32, 8), (128, 8), (200, 2)])
def test_mask_is_exactly_what_the_defect_changes(category: str, kind: str, size: int, count: int) -> None:
    for index in range(count):
        image, mask = draw(category, "test", kind, index, image_size=size, seed=3)
        exposure, _ = GENERATOR.set_up(category, "test", kind, index, image_size=size, seed=3)
        changed = np.any(image != exposure.normal().image, axis=-1)
        assert not changed[mask == 0].any()
        assert changed[mask == 255].mean() > 0.65
        assert 0.005 <= np.mean(mask == 255) <= 0.06


def test_defects_vary_in_place_and_size() -> None:
    masks = [draw("weave", "test", "stain", index, image_size=64, seed=0).mask > 0 for index in range(8)]
    areas = [mask.mean() for mask in masks]
    assert max(areas) > 1.5 * min(areas)
    assert not np.logical_and.reduce(masks).any()


def test_second_call_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = generate_tiny(tmp_path)
    monkeypatch.setattr(RGBGenerator, "draw", None)
    assert generate_tiny(tmp_path) == folder


def test_interrupted_writer_leaves_nothing_that_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(
        _: RGBGenerator, category: str, split: str, kind: str, index: int, **options: int
    ) -> Picture:
        if split == "test":
            raise KeyboardInterrupt
        return draw(category, split, kind, index, **options)

    with monkeypatch.context() as patch:
        patch.setattr(RGBGenerator, "draw", interrupted)
        with pytest.raises(KeyboardInterrupt):
            generate_tiny(tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
    assert len(files_of(generate_tiny(tmp_path))) == 2 * (3 + 2 + 2 * 3)


def test_leftover_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    complete = generate_tiny(tmp_path / "other")
    leftover = tmp_path / f".{complete.name}.partial" / "washer" / "train" / "good"
    leftover.mkdir(parents=True)
    (leftover / "099.png").write_bytes(b"half an ima")
    assert files_of(generate_tiny(tmp_path)) == files_of(complete)
    assert not (tmp_path / f".{complete.name}.partial").exists()


def test_simultaneous_calls_write_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def counted(_: RGBGenerator, category: str, split: str, kind: str, index: int, **options: int) -> Picture:
        drawn.append(kind)
        return draw(category, split, kind, index, **options)

    monkeypatch.setattr(RGBGenerator, "draw", counted)
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(generate_tiny, [tmp_path] * 4))
    assert len(folders) == 1
    assert len(drawn) == 2 * (3 + 2 + 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"categories": ["granit"]},
            r"'granit' is not a generated category \(did you mean 'granite'\?\); found: weave, granite",
        ),
        ({"categories": ["all", "weave"]}, "'all' is not a generated category; found: weave"),
        ({"categories": []}, r"categories is empty; expected all, or some of weave"),
        ({"image_size": 31}, "image_size=31; expected 32 to 2048"),
        ({"train": 0}, "train=0; expected 1 to 10000"),
        ({"test_good": -1}, "test_good=-1; expected 1 to 10000"),
        ({"test_defective": 0}, "test_defective=0; expected 1 to 10000"),
        ({"test_defective": 10**9}, "test_defective=1000000000; expected 1 to 10000"),
        ({"image_size": 10**6}, "image_size=1000000; expected 32 to 2048"),
        ({"seed": -1}, "seed=-1; expected 0 to 4294967295"),
        ({"seed": 2**32}, "seed=4294967296; expected 0 to 4294967295"),
    ],
)
def test_bad_arguments_are_named(tmp_path: Path, options: dict, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        generate(tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_unknown_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="unknown count 'validation'; expected train, test_good or test_defe"):
        generate(tmp_path, validation=3)


def test_all_and_one_name_are_understood(tmp_path: Path) -> None:
    counts = {"train": 1, "test_good": 1, "test_defective": 1}
    everything, one = (generate(tmp_path, names, 32, **counts) for names in ("all", "washer"))
    assert {path.name for path in everything.iterdir()} == {*CATEGORIES, "digests.json"}
    assert {path.name for path in one.iterdir()} == {"washer", "digests.json"}


def test_damaged_image_is_noticed_and_drawn_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = generate_tiny(tmp_path)
    files = files_of(folder)
    path = folder / "washer/train/good/001.png"
    content = path.read_bytes()
    path.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])
    assert generate_tiny(tmp_path) == folder
    assert files_of(folder) == files
    (message,) = caplog.messages
    assert message.startswith(f"{path}: the file is damaged")


def test_code_of_all_scenes_is_in_the_key() -> None:
    drawn_by = {"drawing", "generator", "objects", "rgb", "textures"}
    assert {f"datasets.synthetic.{name}" for name in drawn_by} <= set(code_of(RGBGenerator))


def test_unwritable_root_is_named(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.write_text("not a folder")
    with pytest.raises(StoreError, match=r"cannot write .*file.synthetic-"):
        generate_tiny(root)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    folder = tmp_path_factory.mktemp("synthetic")
    return Synthetic(folder, image_size=32, train=2, test_good=2, test_defective=1)


def test_ordinary_loader_reads_every_category(tiny: Synthetic) -> None:
    assert tiny.categories == tuple(sorted(CATEGORIES))
    for name in CATEGORIES:
        category = tiny.category(name)
        assert len(category.train) == 2
        assert [sample.kind for sample in category.test] == sorted(["good", "good", *KINDS[name]])


@pytest.mark.parametrize("name", CATEGORIES)
def test_defective_images_have_masks_and_good_ones_none(tiny: Synthetic, name: str) -> None:
    for sample in tiny.category(name).test:
        assert (sample.mask is not None) == (sample.label == 1)
        assert sample.mask is None or read_mask(sample.mask, (32, 32)).any()


@pytest.mark.parametrize("asked", ["washer", ["washer"]])
def test_loader_takes_one_category(tmp_path: Path, asked: str | list[str]) -> None:
    dataset = Synthetic(tmp_path, asked, image_size=32, train=1, test_good=1, test_defective=1)
    assert dataset.categories == ("washer",)


def textures_of(image: NDArray[np.uint8]) -> NDArray[np.floating]:
    """Describe neighbourhoods of an image by means and deviations of colour and by edges: (32, 32, 18)."""
    red, green, blue = np.moveaxis(image.astype(np.float32) / 255, -1, 0)
    grey = (red + green + blue) / 3
    maps = []
    for channel in (grey, red - blue, green - red):
        for width in (8, 16):
            mean = uniform_filter(channel, width)
            maps += [mean, np.sqrt(np.maximum(uniform_filter(channel**2, width) - mean**2, 0))]
    for sigma in (1, 2):
        smooth = gaussian_filter(grey, sigma)
        edges = [smooth - gaussian_filter(grey, 2 * sigma), *np.gradient(smooth)]
        maps += [uniform_filter(np.abs(edge), 8) for edge in edges]
    return np.stack(maps, axis=-1)[2::4, 2::4]


def gaussian_scores(train: NDArray[np.floating], test: NDArray[np.floating]) -> NDArray[np.floating]:
    """Score images by their largest Mahalanobis distance to a Gaussian fitted at each place."""
    mean = train.mean(axis=0)
    centred, shared = train - mean, np.eye(train.shape[-1])
    local = np.einsum("nijf,nijg->ijfg", centred, centred) / len(train)
    pooled = local.mean(axis=(0, 1))
    precision = np.linalg.inv(0.5 * local + 0.5 * pooled + 1e-4 * np.trace(pooled) / len(pooled) * shared)
    return np.einsum("nijf,ijfg,nijg->nij", test - mean, precision, test - mean).max(axis=(1, 2))


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_fair_detector_beats_mean_brightness(category: str) -> None:
    def images(split: str, kind: str, count: int) -> list[NDArray[np.uint8]]:
        return [draw(category, split, kind, i, image_size=128, seed=0).image for i in range(count)]

    train, good = images("train", "good", 40), images("test", "good", 16)
    test = good + [image for kind in KINDS[category] for image in images("test", kind, 8)]
    defective = np.arange(len(test)) >= len(good)
    scores = gaussian_scores(*(np.stack([textures_of(image) for image in part]) for part in (train, test)))
    brightness = roc_auc_score(defective, [image.mean() for image in test])
    assert roc_auc_score(defective, scores) > 0.8
    assert max(brightness, 1 - brightness) < 0.75
