"""Small images, masks and categories to read."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Pixels:
    """Draw random pixels: (height, width) grey, (height, width, 3) RGB."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.generic] | Image.Image) -> Path:
    """Write an image file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path)
    return path


def square_mask(height: int = 12, width: int = 16) -> Pixels:
    """Draw a mask whose upper left 4x4 pixels are defective."""
    mask = np.zeros((height, width), np.uint8)
    mask[:4, :4] = 255
    return mask


def make_category(folder: Path, train: int = 4, good: int = 2, scratched: int = 2) -> Path:
    """Write a category in MVTec AD's layout, of 16x12 pixels and one kind of defect, ``scratch``."""
    parts = (("train/good", train), ("test/good", good), ("test/scratch", scratched))
    for seed, (part, count) in enumerate(parts):
        for i in range(count):
            save(folder / part / f"{i:03d}.png", noise(12, 16, 3, seed=100 * seed + i))
    for i in range(scratched):
        save(folder / "ground_truth/scratch" / f"{i:03d}_mask.png", square_mask())
    return folder
