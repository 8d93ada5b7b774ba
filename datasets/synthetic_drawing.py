"""The drawing kit of the synthetic datasets: anti-aliased shapes, smooth noise, a camera and a depth sensor.

Lengths are fractions of the image's side and positions run from -0.5 to 0.5, so that one description of a
scene serves every image size; heights and distances from the sensor are in metres. Shapes are signed distances
(negative inside).
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


FIELD_OF_VIEW = 0.14
"""The side of the picture at the depth sensor's usual distance, metres."""

_DISTANCE = 0.5  # metres, from the sensor to the ground
_PROJECTOR_SLOPE = 0.35  # of its rays against the view axis: how long a shadow one unit of height casts
_SPECKLES = 0.01  # of the pixels


class Defect(NamedTuple):
    """What a defect lays over a scene.

    Attributes
    ----------
    colour
        (size, size, 3), 0..1.
    opacity
        (size, size), 0..1.
    rise
        (size, size), metres by which it raises the surface; for scenes with depth.
    """

    colour: Field
    opacity: Field
    rise: Field | float = 0.0


@dataclass(frozen=True)
class Camera:
    """What one exposure does to a scene: its light (size, size, 3) and its sensor noise (size, size, 3)."""

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


@dataclass(frozen=True)
class Sensor:
    """What a depth sensor sees of one scene; a pinhole camera whose projector stands at its left.

    Attributes
    ----------
    ground
        The distance of the ground along the view axis, (size, size) metres.
    noise
        What is added to every distance, (size, size) metres.
    holes
        Which pixels have no value, (size, size).
    """

    ground: Field
    noise: Field
    holes: NDArray[np.bool_]

    @classmethod
    def sample(cls, rng: np.random.Generator, height: Field, tilt: tuple[float, float]) -> "Sensor":
        """Draw the ground's place, the noise and the holes.

        Parameters
        ----------
        rng
            The random numbers.
        height
            The height of the defect-free scene above the ground, (size, size) metres. Holes depend on it and on
            no defect: else their number would tell the defective pictures.
        tilt
            The ground's usual slopes along x and y, degrees.
        """
        size = len(height)
        x, y = grid(size)
        along_x, along_y = np.tan(np.radians(np.asarray(tilt) + rng.normal(0, 0.7, 2)))
        distance = _DISTANCE + rng.normal(0, 0.002)
        # In perspective, the plane z = distance + along_x * X + along_y * Y is linear in 1 / z.
        ground = distance / (1 - FIELD_OF_VIEW / _DISTANCE * (along_x * x + along_y * y))
        noise = rng.normal(0, 0.00015, (size, size))
        holes = _shadow(height) | (rng.random((size, size)) < _SPECKLES)
        for _ in range(rng.integers(3, 7)):
            cx, cy = rng.uniform(-0.5, 0.5, 2)
            holes |= blob(rng, x, y, (float(cx), float(cy)), rng.uniform(0.012, 0.028)) < 0
        # What takes the ground for the plane through the picture's corners finds them.
        holes[:: size - 1, :: size - 1] = False
        return cls(ground.astype(np.float32), noise.astype(np.float32), holes)

    def measure(self, height: Field) -> NDArray[np.float32]:
        """Measure x, y and z of every pixel: (size, size, 3) metres, 0 in the holes."""
        z = self.ground - height + self.noise
        x, y = grid(len(z))
        scale = np.float32(FIELD_OF_VIEW / _DISTANCE)
        points = np.stack([scale * x * z, scale * y * z, z], axis=-1)
        points[self.holes] = 0
        return points.astype(np.float32)


def _shadow(height: Field) -> NDArray[np.bool_]:
    """Find the pixels that the projector's light does not reach, (size, size)."""
    pixel = FIELD_OF_VIEW / len(height)
    hidden = np.zeros(height.shape, bool)
    for step in range(1, 1 + int(_PROJECTOR_SLOPE * height.max() / pixel)):
        hidden[:, step:] |= height[:, :-step] - step * pixel / _PROJECTOR_SLOPE > height[:, step:]
    return hidden


class Scene:
    """One defect-free scene of a category; a subclass draws it when built and has a method per defect kind.

    Attributes
    ----------
    kinds
        The names of the defect kinds, which are those of the methods that draw them.
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
    """Give the coordinates x and y of the pixels' centres, each (size, size)."""
    axis = ((np.arange(size) + 0.5) / size - 0.5).astype(np.float32)
    x, y = np.meshgrid(axis, axis)
    return x, y


def rotate(x: Field, y: Field, angle: float) -> tuple[Field, Field]:
    """Give the coordinates in a frame turned by ``angle`` (radians)."""
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return cos * x + sin * y, cos * y - sin * x


def cover(distance: Field, softness: float = 0.0) -> Field:
    """Say how much of each pixel a shape covers, 0..1; its edge is ``softness`` wide, one pixel at least."""
    return np.clip(0.5 - distance / max(softness, 1 / len(distance)), 0, 1)


def mix(below: Field, above: Field | tuple[float, ...], opacity: Field | float) -> Field:
    """Lay the colour ``above`` over the image ``below``, with an opacity per pixel."""
    weight = np.asarray(opacity, dtype=np.float32)[..., None]
    return below + weight * (np.asarray(above, dtype=np.float32) - below)


def smooth_noise(rng: np.random.Generator, size: int, rows: int, columns: int) -> Field:
    """Draw noise of unit variance that varies over ``rows`` by ``columns`` cells of the image, smoothly."""
    cells = Image.fromarray(rng.normal(0, 1, (rows + 1, columns + 1)).astype(np.float32))
    noise = np.asarray(cells.resize((size, size), Image.Resampling.BICUBIC))
    return noise / (noise.std() + 1e-6)


def blob(rng: np.random.Generator, x: Field, y: Field, centre: Point, radius: float) -> Field:
    """Draw an irregular round shape: an ellipse whose radius wobbles. Gives its (approximate) distance."""
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
    """Draw a line along a path, thinner towards both ends. Gives its distance."""
    distance = np.full_like(x, np.inf)
    last = len(path) - 1
    for index, ((ax, ay), (bx, by)) in enumerate(pairwise(path)):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        taper = 1 - np.abs(2 * (index + along) / last - 1) ** 3
        segment = np.hypot(x - ax - along * dx, y - ay - along * dy) - width / 2 * (0.35 + 0.65 * taper)
        distance = np.minimum(distance, segment)
    return distance
