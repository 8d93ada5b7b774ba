"""Small images, masks and categories to read."""

from pathlib import Path

import numpy as np
import tifffile
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


def point_cloud(height: int = 12, width: int = 16, seed: int = 0) -> NDArray[np.float32]:
    """Draw an object of noise 2 to 3 cm above a plane, as x, y, z in metres."""
    xyz = np.zeros((height, width, 3), np.float32)
    xyz[..., 2] = 0.5
    xyz[3:9, 4:12, 2] -= 0.02 + 0.01 * np.random.default_rng(seed).random((6, 8))
    return xyz


def save_cloud(path: Path, xyz: NDArray[np.generic]) -> Path:
    """Write a TIFF file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, xyz, photometric="minisblack", planarconfig=None if xyz.ndim == 2 else "contig")
    return path


def make_category_3d(
    folder: Path, train: int = 4, validation: int = 2, good: int = 2, dented: int = 2
) -> Path:
    """Write a category in MVTec 3D-AD's layout, of 16x12 pixels and one kind of defect, ``dent``."""
    parts = (
        ("train/good", train),
        ("validation/good", validation),
        ("test/good", good),
        ("test/dent", dented),
    )
    for number, (part, count) in enumerate(parts):
        for i in range(count):
            seed = 100 * number + i
            save(folder / part / f"rgb/{i:03d}.png", noise(12, 16, 3, seed=seed))
            save_cloud(folder / part / f"xyz/{i:03d}.tiff", point_cloud(seed=seed))
            truth = square_mask() if part == "test/dent" else np.zeros((12, 16), np.uint8)
            save(folder / part / f"gt/{i:03d}.png", truth)
    return folder
