"""Solids on a plane ground: a biscuit and a half-round wooden rod."""

from typing import ClassVar

import numpy as np

from datasets.synthetic.drawing import (
    Defect,
    Field,
    Scene,
    blob,
    cover,
    mix,
    rotate,
    smooth_noise,
)
from datasets.synthetic.sensor import FIELD_OF_VIEW

MARGIN = 0.03
"""Distance of defects from the outline of their solid."""

_LIGHT = np.array(
    [-0.42, -0.50, 0.76], dtype=np.float32
)  # direction towards the light; z points to the camera


class Solid(Scene):
    """A solid on a ground.

    Attributes
    ----------
    tilt
        The usual slopes of the ground along x and y, degrees.
    body
        The solid's distance, (size, size).
    height
        The height of the normal scene above the ground, (size, size) metres.
    """

    tilt: ClassVar[tuple[float, float]]
    body: Field
    height: Field

    def _pose(self, rng: np.random.Generator, angle: float) -> tuple[Field, Field]:
        """Return the pixels' coordinates in the solid's frame: shifted, turned and scaled."""
        shift_x, shift_y = rng.uniform(-0.025, 0.025, 2)
        scale = rng.uniform(0.95, 1.05)
        u, v = rotate(self.x - shift_x, self.y - shift_y, angle + rng.uniform(-0.1, 0.1))
        return u / scale, v / scale

    def _relief(self, rng: np.random.Generator) -> Field:
        """Draw the unevenness of a real surface, which ends at the outline: (size, size) metres."""
        return 0.0003 * smooth_noise(rng, self.size, 7, 7) * cover(self.body + 0.02, 0.04)

    def _shade(self, height: Field) -> Field:
        """Return the brightness of a surface of some height, (size, size); 1 where it is level."""
        down, right = np.gradient(height, FIELD_OF_VIEW / self.size)
        facing = (_LIGHT[2] - _LIGHT[0] * right - _LIGHT[1] * down) / np.sqrt(1 + right**2 + down**2)
        return (0.3 + 0.7 * np.maximum(facing, 0) / _LIGHT[2]).astype(np.float32)

    def _lay(self, surface: Field, ground: Field) -> Field:
        """Lay the shaded surface on the ground, on which it casts a soft shadow."""
        shadow = cover(self.body - 0.06 * (self.x + self.y) - 0.01, 0.07)
        lit = ground * (1 - 0.45 * shadow[..., None])
        return mix(lit, surface * self._shade(self.height)[..., None], cover(self.body))

    def _patch(self, rng: np.random.Generator, radius: float) -> Field:
        """Draw the shape of a defect at a position where it fits into the solid. Return its distance."""
        places = np.flatnonzero(self.body < -MARGIN - radius)
        row, column = divmod(int(rng.choice(places)), self.size)
        return blob(rng, self.x, self.y, (float(self.x[row, column]), float(self.y[row, column])), radius)

    def _deformed(self, rng: np.random.Generator, rise: float) -> Defect:
        """Raise or lower a patch, in metres; the colour image does not show it."""
        radius = rng.uniform(0.07, 0.12)
        shape = self._patch(rng, radius)
        return Defect(self.colour, np.zeros_like(shape), rise * _mound(shape, 0.45 * radius))

    def _coloured(self, rng: np.random.Generator, paints: list[tuple[float, float, float]]) -> Defect:
        """Colour a patch with one of some paints; the surface keeps its height."""
        shape = self._patch(rng, rng.uniform(0.06, 0.12))
        grain = 1 + 0.08 * smooth_noise(rng, self.size, self.size // 4, self.size // 4)
        paint = np.array(paints[rng.integers(len(paints))], dtype=np.float32)
        shade = (grain * self._shade(self.height))[..., None]
        return Defect(paint * shade, rng.uniform(0.8, 0.95) * cover(shape, 0.015))

    def _covered(self, rng: np.random.Generator, colour: tuple[float, float, float], rough: float) -> Defect:
        """Put a lump of another material on the surface; ``rough`` is the share of its height that varies."""
        radius = rng.uniform(0.06, 0.10)
        shape = self._patch(rng, radius)
        uneven = 1 + rough * np.clip(smooth_noise(rng, self.size, 16, 16), -1.5, 1.5)
        rise = rng.uniform(0.005, 0.007) * uneven * _mound(shape, 0.4 * radius)
        shade = self._shade(self.height + rise)[..., None]
        return Defect(np.asarray(colour, dtype=np.float32) * shade, cover(shape), rise)


class Biscuit(Solid):
    """A round, domed biscuit with a baker's pricks, browned towards its rim, on a dark belt."""

    kinds = ("dent", "stain", "lump")
    tilt = (6.0, -3.0)
    radius = 0.335

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        u, v = self._pose(rng, 0.0)
        radius = np.hypot(u, v)
        angle = np.arctan2(v, u)
        wobble = sum(
            0.006 * rng.normal() * np.cos(waves * angle + rng.uniform(0, 6.3)) for waves in range(2, 6)
        )
        self.body = radius - self.radius * (1 + wobble)
        pricks = self._pricks(u, v)
        dome = np.maximum(1 - (radius / self.radius) ** 2, 0)
        thickness = rng.uniform(0.92, 1.08) * (0.0145 + 0.0065 * dome)
        self.height = thickness * _rounded(self.body, 0.035) + self._relief(rng) - 0.0008 * pricks
        belt = 0.17 + 0.012 * smooth_noise(rng, size, size // 2, size // 2)
        ground = belt[..., None] * np.array([0.90, 1.0, 1.12], dtype=np.float32)
        self.colour = self._lay(self._crust(rng, dome, pricks), ground)

    def _pricks(self, u: Field, v: Field) -> Field:
        """Prick a ring of holes and one in the middle: how much of each pixel they cover."""
        turns = np.linspace(0, 2 * np.pi, 8, endpoint=False)
        centres = [(0.0, 0.0), *((0.19 * np.cos(turn), 0.19 * np.sin(turn)) for turn in turns)]
        return cover(np.min([np.hypot(u - cu, v - cv) for cu, cv in centres], axis=0) - 0.013, 0.012)

    def _crust(self, rng: np.random.Generator, dome: Field, pricks: Field) -> Field:
        """Draw the baked dough: pale in the middle, brown at the rim and in patches, grained all over."""
        patches = smooth_noise(rng, self.size, 9, 9)
        brown = np.clip(rng.normal(0.22, 0.05) + 0.55 * (1 - dome) ** 2 + 0.10 * patches, 0, 1)
        dough = np.broadcast_to(np.array([0.85, 0.66, 0.40], dtype=np.float32), (self.size, self.size, 3))
        crust = mix(mix(dough, (0.55, 0.31, 0.13), brown), (0.24, 0.13, 0.07), 0.75 * pricks)
        grain = 1 + 0.05 * smooth_noise(rng, self.size, self.size // 2, self.size // 2)
        crumbs = 1 + 0.05 * smooth_noise(rng, self.size, 26, 26)
        return crust * (grain * crumbs)[..., None]

    def dent(self, rng: np.random.Generator) -> Defect:
        """Press in the dough before it is baked: visible in depth only."""
        return self._deformed(rng, -rng.uniform(0.0048, 0.007))

    def stain(self, rng: np.random.Generator) -> Defect:
        """Stain the crust with ink, jam or mould: visible in colour only."""
        return self._coloured(rng, [(0.20, 0.26, 0.52), (0.48, 0.06, 0.14), (0.34, 0.46, 0.36)])

    def lump(self, rng: np.random.Generator) -> Defect:
        """Bake a burnt lump onto the crust: visible in both."""
        return self._covered(rng, (0.27, 0.17, 0.12), 0.12)


class Rod(Solid):
    """A half-round wooden rod with its flat side down, its grain lengthwise, on a grey table."""

    kinds = ("swelling", "paint", "glue")
    tilt = (-4.0, 7.0)
    half_length, half_width = 0.365, 0.22

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        u, v = self._pose(rng, -0.45)
        self.body = np.maximum(np.abs(u) - self.half_length, np.abs(v) - self.half_width)
        across = np.minimum(np.abs(v) / self.half_width, 1)
        # Slightly fuller than a circle, so that little of it is near the ground.
        vault = (1 - across**2.3) ** (1 / 2.3)
        ends = _rounded(np.abs(u) - self.half_length, 0.03)
        self.height = rng.uniform(0.92, 1.08) * 0.0215 * vault * ends + self._relief(rng)
        table = 0.42 + 0.010 * smooth_noise(rng, size, size // 2, size // 2)
        ground = table[..., None] * np.array([0.97, 1.0, 1.0], dtype=np.float32)
        self.colour = self._lay(self._wood(rng, u, v), ground)

    def _wood(self, rng: np.random.Generator, u: Field, v: Field) -> Field:
        """Draw planed wood: year rings cut lengthwise, which sway a little, and fine fibres."""
        sway = v + 0.010 * smooth_noise(rng, self.size, 4, 4) + rng.uniform(-0.05, 0.05) * u
        places = np.linspace(-0.7, 0.7, 70)
        rings = np.interp(sway, places, rng.normal(0, 1, len(places)))
        fibres = np.interp(v + 0.02 * u, np.linspace(-1, 1, 400), rng.normal(0, 1, 400))
        grain = smooth_noise(rng, self.size, self.size // 2, self.size // 2)
        bright = 1 + 0.07 * rings + 0.03 * fibres + 0.02 * grain
        wood = np.array([0.78, 0.60, 0.40]) * rng.normal(1, 0.02)
        return (bright[..., None] * wood).astype(np.float32)

    def swelling(self, rng: np.random.Generator) -> Defect:
        """Let the wood swell: visible in depth only."""
        return self._deformed(rng, rng.uniform(0.0048, 0.007))

    def paint(self, rng: np.random.Generator) -> Defect:
        """Stain the wood with a thin paint: visible in colour only."""
        return self._coloured(rng, [(0.66, 0.12, 0.10), (0.12, 0.30, 0.62), (0.16, 0.17, 0.18)])

    def glue(self, rng: np.random.Generator) -> Defect:
        """Leave a drop of white glue: visible in both."""
        return self._covered(rng, (0.93, 0.93, 0.88), 0.0)


def _rounded(distance: Field, width: float) -> Field:
    """Round off an edge: 0 outside the shape, 1 from ``width`` inside it on, a quarter of a circle between."""
    inside = np.clip(-distance / width, 0, 1)
    return np.sqrt(1 - (1 - inside) ** 2)


def _mound(distance: Field, width: float) -> Field:
    """Raise a shape smoothly: 0 outside it, 1 from ``width`` inside it on, level at both ends."""
    inside = np.clip(-distance / width, 0, 1)
    return inside**2 * (3 - 2 * inside)
