"""Drawing functions of the generators: anti-aliased shapes, smooth noise, the camera, and the base of scenes.

Lengths are fractions of the image's side and positions run from -0.5 to 0.5, so that one description of a
scene serves every image size; heights are in metres. Shapes are signed distances (negative inside).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.floating]
"""One number per pixel, (size, size); or one colour per pixel, (size, size, 3), in 0..1."""

Point = tuple[float, float]


class Defect(NamedTuple):
    """The changes that a defect makes to a scene.

    Attributes
    ----------
    colour
        (size, size, 3), 0..1.
    opacity
        (size, size), 0..1.
    rise
        (size, size), the height by which it raises the surface, metres; for scenes with depth.
    """

    colour: Field
    opacity: Field
    rise: Field | float = 0.0


@dataclass(frozen=True)
class Camera:
    """The light and the sensor noise of one exposure, each (size, size, 3)."""

    light: Field
    noise: Field

    @classmethod
    def sample(cls, rng: np.random.Generator, size: int) -> "Camera":
        """Draw an exposure, the colour and the direction of its light, and the noise of every pixel."""
        x, y = grid(size)
        angle = rng.uniform(0, 2 * np.pi)
        slope = rng.uniform(0.0, 0.16)
        gradient = 1 + slope * (np.cos(angle) * x + np.sin(angle) * y)
        tint = rng.uniform(0.94, 1.06) * (1 + rng.normal(0, 0.012, 3))
        noise = rng.normal(0, 0.012, (size, size, 3))
        return cls((gradient[..., None] * tint).astype(np.float32), noise.astype(np.float32))

    def photograph(self, colour: Field) -> NDArray[np.uint8]:
        """Expose a scene: (size, size, 3) uint8."""
        exposed = np.clip(colour * self.light + self.noise, 0, 1)
        return np.rint(exposed * 255).astype(np.uint8)


class Scene:
    """One normal scene of a category; a subclass draws it when built and has a method per kind of defect.

    Attributes
    ----------
    kinds
        The kinds of defects: the names of the methods that draw them.
    colour
        The scene without any defect, (size, size, 3).
    """

    kinds: ClassVar[tuple[str, ...]]
    colour: Field

    def __init__(self, rng: np.random.Generator, size: int):
        self.size = size
        self.x, self.y = grid(size)

    def defect(self, kind: str, rng: np.random.Generator) -> Defect:
        """Draw one defect of a kind, at a random place."""
        draw: Callable[[np.random.Generator], Defect] = getattr(self, kind)
        return draw(rng)


def grid(size: int) -> tuple[Field, Field]:
    """Return the coordinates x and y of the pixels' centres, each (size, size)."""
    axis = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def rotate(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    """Return the coordinates in a frame turned by ``angle`` (radians)."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def cover(distance: Field, softness: float = 0.0) -> Field:
    """Return the covered share of each pixel, 0..1; the shape's edge is ``softness`` wide, at least one pixel."""
    return np.clip(0.5 - distance / max(softness, 1 / len(distance)), 0, 1)


def mix(below: Field, above: Field | tuple[float, ...], opacity: Field | float) -> Field:
    """Blend the colour ``above`` over the image ``below``, with an opacity per pixel."""
    weight = np.asarray(opacity, dtype=np.float32)[..., None]
    return below + weight * (np.asarray(above, dtype=np.float32) - below)


def smooth_noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Field:
    """Draw noise of unit variance that varies over ``rows`` by ``columns`` cells of the image, smoothly."""
    cells = Image.fromarray(rng.normal(0, 1, (rows + 1, columns + 1)).astype(np.float32))
    noise = np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC))
    return noise / (noise.std() + 1e-6)


def blob(rng: np.random.Generator, x: Field, y: Field, centre: Point, radius: float) -> Field:
    """Draw an irregular round shape: an ellipse whose radius wobbles. Return its (approximate) distance."""
    stretch = rng.uniform(0.65, 1.0)
    u, v = rotate(x - centre[0], y - centre[1], rng.uniform(0, np.pi))
    u, v = u * stretch, v / stretch
    angle = np.arctan2(v, u)
    wobble = np.zeros_like(angle)
    for waves in range(2, 7):
        wobble += rng.uniform(0, 0.3) / waves * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(u, v) - radius * (1 + wobble)


def wandering_path(rng: np.random.Generator, centre: Point, length: float, wander: float) -> list[Point]:
    """Draw the points of a line of a given length that bends by about ``wander`` radians at each point."""
    steps = 12
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, wander, steps))
    points = np.cumsum(np.stack([np.cos(angles), np.sin(angles)], axis=1), axis=0) * length / steps
    points += np.asarray(centre) - points.mean(axis=0)
    return [(float(px), float(py)) for px, py in points]


def stroke(x: Field, y: Field, path: list[Point], width: float) -> Field:
    """Draw a line along a path, thinner towards both ends. Return its distance."""
    distance = np.full_like(x, np.inf)
    last = len(path) - 1
    for index, ((ax, ay), (bx, by)) in enumerate(pairwise(path)):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        taper = 1 - np.abs(2 * (index + along) / last - 1) ** 3
        segment = np.hypot(x - ax - along * dx, y - ay - along * dy) - width / 2 * (0.35 + 0.65 * taper)
        distance = np.minimum(distance, segment)
    return distance
