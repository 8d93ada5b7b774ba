"""Objects on a plain ground: a metal washer and a capsule."""

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


class _Object(Scene):
    """An object on a ground: a subclass sets ``ground``, a colour, and ``body``, the object's distance."""

    ground: Field
    body: Field

    def _pose(self, rng: np.random.Generator, angle: float) -> tuple[Field, Field]:
        """Return the pixels' coordinates in the object's frame: slightly shifted, rotated and scaled."""
        shift_x, shift_y = rng.normal(0, 0.010, 2)
        scale = rng.normal(1, 0.012)
        u, v = rotate(self.x - shift_x, self.y - shift_y, angle + rng.normal(0, 0.03))
        return u / scale, v / scale

    def _on_body(self, rng: np.random.Generator, depth: float) -> Point:
        """Draw a point of the object that lies about ``depth`` inside its outline (0: on it)."""
        near = np.argsort(np.abs(self.body + depth).ravel())[: max(8, self.size**2 // 50)]
        row, column = divmod(int(rng.choice(near)), self.size)
        return float(self.x[row, column]), float(self.y[row, column])

    def _bite(self, rng: np.random.Generator, radius: float) -> Defect:
        """Take a piece out of the object at its outline; the ground shows, shaded by the broken edge."""
        shape = blob(rng, self.x, self.y, self._on_body(rng, 0.01), radius)
        shade = 1 - 0.35 * np.exp(-((np.maximum(-shape, 0) / 0.015) ** 2))
        return Defect(self.ground * shade[..., None], cover(shape) * cover(self.body - 0.5 / self.size))

    def _scratch(self, rng: np.random.Generator, depth: float, bright: float) -> Defect:
        """Scrape a line into the surface: a bright groove with a dark flank."""
        path = wandering_path(rng, self._on_body(rng, depth), rng.uniform(0.22, 0.45), 0.10)
        width = rng.uniform(0.020, 0.032)
        groove = stroke(self.x, self.y, path, width)
        flank = stroke(self.x - 0.4 * width, self.y - 0.4 * width, path, width)
        colour = mix(0.35 * self.colour, (bright, bright, 0.97 * bright), cover(groove - flank))
        return Defect(colour, cover(groove) * cover(self.body + 1 / self.size))


class Washer(_Object):
    """A turned steel washer with bevelled edges on dark felt."""

    kinds = ("broken", "scratch", "rust")
    outer, inner = 0.37, 0.16

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        u, v = self._pose(rng, 0.0)
        radius = np.hypot(u, v)
        self.body = np.maximum(radius - self.outer, self.inner - radius)
        felt = (
            0.20
            + 0.018 * smooth_noise(rng, size, size // 2, size // 2)
            + 0.010 * smooth_noise(rng, size, 8, 8)
        )
        self.ground = felt[..., None] * np.array([0.92, 1.0, 1.10], dtype=np.float32)
        shadow = cover(self.body + 0.012 * (u + v) / 0.4, 0.05)
        self.colour = mix(
            self.ground * (1 - 0.5 * shadow[..., None]), self._steel(rng, u, v, radius), cover(self.body)
        )

    def _steel(self, rng: np.random.Generator, u: Field, v: Field, radius: Field) -> Field:
        """Draw the turned face: rings from the tool, a highlight that sweeps round, lit and dark bevels."""
        sweep = np.cos(2 * (np.arctan2(v, u) - 0.8 - rng.normal(0, 0.06)))
        rings = np.interp(radius, np.linspace(0, 0.75, 120), rng.normal(0, 1, 120)).astype(np.float32)
        face = 0.58 + 0.09 * sweep + 0.025 * rings + 0.012 * smooth_noise(rng, self.size, self.size // 2, 16)
        facing = (u + v) / (1.414 * radius + 1e-6)
        bevel = cover(-self.body - 0.025)
        rim = np.where(radius > (self.outer + self.inner) / 2, -facing, facing)
        bright = face + bevel * (0.02 + 0.20 * rim)
        return bright[..., None] * np.array([0.98, 1.0, 1.03], dtype=np.float32)

    def broken(self, rng: np.random.Generator) -> Defect:
        """Break a piece off the outer or the inner edge."""
        return self._bite(rng, rng.uniform(0.06, 0.13))

    def scratch(self, rng: np.random.Generator) -> Defect:
        """Scratch the face."""
        return self._scratch(rng, 0.10, rng.uniform(0.85, 0.95))

    def rust(self, rng: np.random.Generator) -> Defect:
        """Let a patch of the face rust."""
        shape = blob(rng, self.x, self.y, self._on_body(rng, 0.08), rng.uniform(0.045, 0.11))
        grain = 1 + 0.25 * smooth_noise(rng, self.size, self.size // 3, self.size // 3)
        colour = grain[..., None] * np.array([0.50, 0.29, 0.15], dtype=np.float32)
        opacity = rng.uniform(0.65, 0.9) * cover(shape, 0.015) * cover(self.body)
        return Defect(colour.astype(np.float32), opacity)


class Capsule(_Object):
    """A two-coloured capsule with a printed mark on a pale ground."""

    kinds = ("missing_piece", "scratch", "contamination")
    half_length, radius = 0.22, 0.14

    def __init__(self, rng: np.random.Generator, size: int):
        super().__init__(rng, size)
        u, v = self._pose(rng, -0.45)
        outside = u - np.clip(u, -self.half_length, self.half_length)
        # The cap slides over the other half, so it is a little wider.
        self.body = np.hypot(outside, v) - self.radius - 0.008 * cover(-u)
        paper = (
            0.78
            + 0.012 * smooth_noise(rng, size, size // 2, size // 2)
            + 0.012 * smooth_noise(rng, size, 6, 6)
        )
        self.ground = paper[..., None] * np.array([1.0, 0.99, 0.96], dtype=np.float32)
        shadow = cover(self.body + 0.05 * (u - v) / 0.4 - 0.02, 0.09)
        self.colour = mix(
            self.ground * (1 - 0.4 * shadow[..., None]), self._shell(rng, u, v), cover(self.body)
        )

    def _shell(self, rng: np.random.Generator, u: Field, v: Field) -> Field:
        """Draw the two halves, the seam, the print, and the light on the round shell."""
        cap, half = (np.array(c) * rng.normal(1, 0.02) for c in ([0.10, 0.42, 0.46], [0.92, 0.70, 0.36]))
        colour = mix(
            np.broadcast_to(half.astype(np.float32), (self.size, self.size, 3)), tuple(cap), cover(-u)
        )
        colour = mix(colour, tuple(0.5 * half), 0.7 * cover(np.abs(u - 0.006) - 0.005))
        colour = mix(colour, tuple(0.25 * half), 0.8 * self._print(u - 0.13, v))
        across = np.clip(v / self.radius, -1, 1)
        light = 0.45 + 0.55 * np.sqrt(1 - across**2) - 0.12 * across
        gloss = 0.45 * np.exp(-(((across + 0.45) / 0.13) ** 2)) * cover(np.abs(u) - self.half_length, 0.06)
        grain = 1 + 0.02 * smooth_noise(rng, self.size, self.size // 2, self.size // 2)
        return mix(colour * (light * grain)[..., None], (1.0, 1.0, 1.0), gloss)

    def _print(self, u: Field, v: Field) -> Field:
        """Print the mark: a bar and two rings."""
        bar = np.maximum(np.abs(u + 0.075) - 0.007, np.abs(v) - 0.035)
        rings = [np.abs(np.hypot((u - shift) * 1.4, v) - 0.03) - 0.007 for shift in (-0.02, 0.05)]
        return cover(np.minimum(bar, np.minimum(*rings)))

    def missing_piece(self, rng: np.random.Generator) -> Defect:
        """Break a piece out of the shell."""
        return self._bite(rng, rng.uniform(0.06, 0.13))

    def scratch(self, rng: np.random.Generator) -> Defect:
        """Scratch the shell."""
        return self._scratch(rng, 0.08, rng.uniform(0.88, 0.98))

    def contamination(self, rng: np.random.Generator) -> Defect:
        """Spill crumbs of a foreign powder on the shell."""
        heap = blob(rng, self.x, self.y, self._on_body(rng, 0.06), rng.uniform(0.05, 0.11))
        crumbs = smooth_noise(rng, self.size, self.size // 4, self.size // 4)
        powder = np.array([[0.35, 0.22, 0.14], [0.30, 0.34, 0.20], [0.55, 0.52, 0.55]])[rng.integers(3)]
        colour = np.clip(1 + 0.3 * crumbs, 0.4, 1.6)[..., None] * powder
        return Defect(colour.astype(np.float32), rng.uniform(0.8, 0.95) * cover(heap - 0.006 * crumbs))
