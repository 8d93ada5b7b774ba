"""Small trees of official datasets in their own layouts and file formats."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from datasets.mvtec_ad_2 import PRIVATE_SPLITS
from datasets.visa import COLUMNS, SPLIT_FILE
from tests.datasets.helpers import Pixels, noise, save

SCRATCH, STAIN = 1, 3
"""Values by which the masks of VisA tell kinds of defects apart."""


def picture(height: int, width: int, seed: int, is_defective: bool = False) -> Pixels:
    """Draw a dark stripe on light noise; a defect is a bright patch in the upper left quarter."""
    pixels = 160 + noise(height, width, 3, seed=seed) // 8
    pixels[:, width // 2 : width // 2 + width // 8] = 40
    if is_defective:
        pixels[: height // 4, : width // 4] = 255
    return pixels


def patch(height: int, width: int, value: int = 255) -> Pixels:
    """Draw the mask of a defect."""
    mask = np.zeros((height, width), np.uint8)
    mask[: height // 4, : width // 4] = value
    return mask


def make_visa(root: Path, categories: Sequence[str], train: int = 4, good: int = 2, bad: int = 2) -> Path:
    """Write VisA as it is released: JPEG images with upper-case suffixes, PNG masks of small values, one split file.

    One more normal image than the split file names is there, as in a newer release.
    """
    rows = [COLUMNS]
    for name in categories:
        data = f"{name}/Data"
        for i in range(train + good + 1):
            image = f"{data}/Images/Normal/{i:04d}.JPG"
            save(root / image, Image.fromarray(picture(24, 32, seed=i)))
            if i < train + good:
                rows.append((name, "train" if i < train else "test", "normal", image, ""))
        for i in range(bad):
            image, mask = f"{data}/Images/Anomaly/{i:03d}.JPG", f"{data}/Masks/Anomaly/{i:03d}.png"
            save(root / image, picture(24, 32, seed=500 + i, is_defective=True))
            save(root / mask, patch(24, 32, (SCRATCH, STAIN)[i % 2]))
            rows.append((name, "test", "anomaly", image, mask))
    write_split(root, rows)
    return root


def write_split(root: Path, rows: Sequence[Sequence[str]]) -> None:
    """Write VisA's split file."""
    path = root / SPLIT_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(",".join(row) + "\n" for row in rows))


def make_mvtec_ad_2(
    root: Path,
    categories: Sequence[str],
    train: int = 4,
    validation: int = 2,
    good: int = 2,
    bad: int = 2,
    private: int = 2,
    size: tuple[int, int] = (24, 32),
) -> Path:
    """Write MVTec AD 2's layout: PNG images, masks next to the public test images, private ones without labels.

    Parameters
    ----------
    size
        Height and width of the images; those of the private splits are a pixel wider each.
    """
    height, width = size
    for place, name in enumerate(categories):
        parts = (("train/good", train), ("validation/good", validation), ("test_public/good", good))
        for number, (part, count) in enumerate(parts):
            for i in range(count):
                pixels = picture(height, width, seed=1000 * place + 100 * number + i)
                save(root / name / part / f"{i:03d}_regular.png", pixels)
        for i in range(bad):
            stem = f"{i:03d}_overexposed"
            pixels = picture(height, width, seed=1000 * place + 300 + i, is_defective=True)
            save(root / name / "test_public/bad" / f"{stem}.png", pixels)
            save(root / name / "test_public/ground_truth/bad" / f"{stem}_mask.png", patch(height, width))
        for number, (split, suffix) in enumerate(PRIVATE_SPLITS.items()):
            for i in range(private):
                seed = 1000 * place + 400 + 50 * number + i
                pixels = picture(height, width + 1 + number, seed, is_defective=i % 2 == 0)
                save(root / name / split / f"{i:03d}_{suffix}.png", pixels)
    return root


def make_btad(root: Path, train: int = 4, good: int = 2, bad: int = 2) -> Path:
    """Write BTAD's layout: numbered products, BMP images of two of them and PNG of the other, PNG masks."""
    for place, (name, suffix) in enumerate((("01", "bmp"), ("02", "png"), ("03", "bmp"))):
        parts = (("train/ok", train), ("test/ok", good), ("test/ko", bad))
        for number, (part, count) in enumerate(parts):
            for i in range(count):
                pixels = picture(24, 24, seed=1000 * place + 100 * number + i, is_defective=part == "test/ko")
                save(root / name / part / f"{i:04d}.{suffix}", pixels)
        for i in range(bad):
            save(root / name / "ground_truth/ko" / f"{i:04d}.png", patch(24, 24))
    return root
