"""Textures that fill the image: a woven cloth and a granite slab."""

import numpy as np

from datasets.synthetic.drawing import (
    Defect,
    Field,
    Point,
    Scene,
    blob,
    cover,
    mix,
    rotate,
    smooth_noise,
    stroke,
    wandering_path,
)


def _place(rng: np.random.Generator) -> Point:
    """Draw the position of a defect: anywhere except near the border."""
    x, y = rng.uniform(-0.38, 0.38, 2)
    return float(x), float(y)


class Weave(Scene):
    """A plain weave of ochre warp and blue weft threads, each of its own thickness and shade."""

    kinds = ("stain", "cut", "pulled_threads")

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        self.threads = min(18, size // 4)  # threads of fewer than 4 pixels would look like noise
        u, v = rotate(self.x, self.y, rng.normal(0, 0.03))
        bend = 0.10 * smooth_noise(rng, size, 4, 4)
        self.u = u * self.threads + rng.uniform(0, 2) + bend
        self.v = v * self.threads + rng.uniform(0, 2) - bend
        self.shades = rng.normal(1, 0.045, (2, 4 * self.threads)).astype(np.float32)
        self.fibres = [
            1 + 0.05 * smooth_noise(rng, size, size // 6, size // 2),
            1 + 0.05 * smooth_noise(rng, size, size // 2, size // 6),
        ]
        self.colour = self._flecked(rng, self._woven(self.u, self.v))

    def _flecked(self, rng: np.random.Generator, cloth: Field) -> Field:
        """Leave a few dark seed flecks in the yarn: normal, but as dark as many defects."""
        for _ in range(rng.integers(1, 6)):
            fleck = blob(rng, self.x, self.y, _place(rng), rng.uniform(0.007, 0.013))
            cloth = mix(cloth, (0.06, 0.05, 0.04), 0.9 * cover(fleck))
        return cloth

    def _woven(self, u: Field, v: Field) -> Field:
        """Draw the cloth; ``u`` counts the warp threads and ``v`` the weft threads at each pixel."""
        column, row = np.floor(u).astype(int), np.floor(v).astype(int)
        across, along = np.cos(np.pi * (u - column - 0.5)), np.cos(np.pi * (v - row - 0.5))
        middle = 2 * self.threads
        warp = (
            self.fibres[0] * self.shades[0][column + middle] * (0.40 + 0.60 * across) * (0.70 + 0.30 * along)
        )
        weft = self.fibres[1] * self.shades[1][row + middle] * (0.40 + 0.60 * along) * (0.70 + 0.30 * across)
        warp_on_top = (column + row) % 2 == 0
        ochre = np.array([0.78, 0.68, 0.50], dtype=np.float32)
        blue = np.array([0.42, 0.50, 0.60], dtype=np.float32)
        return np.where(warp_on_top[..., None], warp[..., None] * ochre, weft[..., None] * blue)

    def stain(self, rng: np.random.Generator) -> Defect:
        """Soak a patch of the cloth with a darker, coloured liquid."""
        shape = blob(rng, self.x, self.y, _place(rng), rng.uniform(0.05, 0.12))
        dye = np.array([[0.55, 0.42, 0.38], [0.50, 0.62, 0.45], [0.62, 0.45, 0.60]])[rng.integers(3)]
        strength = rng.uniform(0.75, 1.0)
        return Defect((self.colour * dye).astype(np.float32), strength * cover(shape, 0.02))

    def cut(self, rng: np.random.Generator) -> Defect:
        """Cut the threads along a line: the dark ground shows, and pale frayed ends stand at its edges."""
        width = rng.uniform(0.028, 0.045)
        path = wandering_path(rng, _place(rng), rng.uniform(0.25, 0.55), 0.08)
        gap = stroke(self.x, self.y, path, width)
        frayed = 0.004 * smooth_noise(rng, self.size, self.size // 4, self.size // 4)
        colour = mix(0.05 + 0.25 * self.colour, (0.74, 0.70, 0.62), cover(-gap - 0.2 * width))
        return Defect(colour, cover(gap + np.clip(frayed, -0.01, 0.01)))

    def pulled_threads(self, rng: np.random.Generator) -> Defect:
        """Push a bundle of threads aside: they crowd on one side and leave the ground bare on the other."""
        cx, cy = _place(rng)
        x, y = self.x - cx, self.y - cy
        of_warp = rng.random() < 0.5
        if not of_warp:
            x, y = y, x
        reach = np.hypot(x / rng.uniform(0.07, 0.10), y / rng.uniform(0.11, 0.17))
        window = np.clip(1.1 - reach**2, 0, 1)
        side = rng.choice([-1, 1])
        shift = side * rng.uniform(1.0, 1.6) * window
        bare = 1 - 0.7 * np.clip(2 * window, 0, 1) * (0.5 + 0.5 * np.tanh(60 * side * x))
        colour = self._woven(self.u + of_warp * shift, self.v + (not of_warp) * shift)
        return Defect(colour * bare[..., None], cover((reach - 1) * 0.05))


class Granite(Scene):
    """Polished granite: irregular grains of quartz, feldspar, mica and a little tourmaline."""

    kinds = ("stain", "crack", "pit")
    minerals = np.array(
        [[0.61, 0.60, 0.59], [0.76, 0.74, 0.71], [0.66, 0.53, 0.48], [0.36, 0.36, 0.38], [0.14, 0.13, 0.14]]
    )
    shares = (0.38, 0.28, 0.22, 0.105, 0.015)

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        self.colour = self._grains(rng)

    def _grains(self, rng: np.random.Generator) -> Field:
        """Draw the grains: each pixel takes the colour of the nearest seed, blended at the borders."""
        seeds = rng.uniform(-0.55, 0.55, (1400, 2))
        colours = self.minerals[rng.choice(len(self.minerals), len(seeds), p=self.shares)] * rng.normal(
            1, 0.07, (len(seeds), 1)
        )
        warp_x, warp_y = (0.006 * smooth_noise(rng, self.size, 28, 28) for _ in range(2))
        pixels = np.stack([self.x + warp_x, self.y + warp_y], axis=-1)
        from scipy.spatial import cKDTree  # 0.3 s, which images that are kept need not cost

        distances, nearest = cKDTree(seeds).query(pixels, k=2)
        border = np.clip((distances[..., 1] - distances[..., 0]) * self.size / 2 + 0.5, 0.5, 1)[..., None]
        colour = border * colours[nearest[..., 0]] + (1 - border) * colours[nearest[..., 1]]
        clouds = 1 + 0.03 * smooth_noise(rng, self.size, 5, 5)
        speckle = 1 + 0.06 * smooth_noise(rng, self.size, self.size // 2, self.size // 2)
        return (colour * (clouds * speckle)[..., None]).astype(np.float32)

    def stain(self, rng: np.random.Generator) -> Defect:
        """Let rust, oil or paint seep into the stone."""
        shape = blob(rng, self.x, self.y, _place(rng), rng.uniform(0.05, 0.12))
        dye = np.array([[0.78, 0.52, 0.30], [0.55, 0.52, 0.42], [0.45, 0.60, 0.72]])[rng.integers(3)]
        strength = rng.uniform(0.8, 1.0)
        return Defect((self.colour * dye).astype(np.float32), strength * cover(shape, 0.025))

    def crack(self, rng: np.random.Generator) -> Defect:
        """Break the slab along a jagged dark line."""
        path = wandering_path(rng, _place(rng), rng.uniform(0.4, 0.75), 0.4)
        shape = stroke(self.x, self.y, path, rng.uniform(0.020, 0.032))
        return Defect(0.05 + 0.08 * self.colour, cover(shape))

    def pit(self, rng: np.random.Generator) -> Defect:
        """Chip a hollow out of the surface: dark, dull, and lit at one of its walls."""
        shape = blob(rng, self.x, self.y, _place(rng), rng.uniform(0.055, 0.11))
        angle = rng.uniform(0, 2 * np.pi)
        depth = np.clip(-shape / 0.04, 0, 1)
        slope_y, slope_x = np.gradient(depth)
        lit = (np.cos(angle) * slope_x + np.sin(angle) * slope_y) * self.size / 40
        rough = 1 + 0.10 * smooth_noise(rng, self.size, self.size // 4, self.size // 4)
        grey = rough * (0.42 - 0.18 * depth + 0.35 * lit)
        return Defect(np.clip(grey, 0.03, 0.95)[..., None] * np.ones(3, np.float32), cover(shape))
