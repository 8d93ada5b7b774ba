"""A depth sensor with noise, shadows and holes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from datasets.synthetic.drawing import Field, blob, grid

FIELD_OF_VIEW = 0.14
"""Width of the image at the depth sensor's usual distance, metres."""

_DISTANCE = 0.5  # metres, from the sensor to the ground
_PROJECTOR_SLOPE = 0.35  # of its rays against the view axis: how long a shadow one unit of height casts
_SPECKLES = 0.01  # share of the pixels


@dataclass(frozen=True)
class Sensor:
    """The depth sensor of one scene: a pinhole camera with a projector to its left.

    Attributes
    ----------
    ground
        The distance of the ground along the view axis, (size, size) metres.
    noise
        The noise of the distances, (size, size) metres.
    holes
        True on pixels without a value, (size, size).
    """

    ground: Field
    noise: Field
    holes: NDArray[np.bool_]

    @classmethod
    def sample(cls, rng: np.random.Generator, height: Field, tilt: tuple[float, float]) -> "Sensor":
        """Draw the position of the ground, the noise and the holes.

        Parameters
        ----------
        rng
            The random numbers.
        height
            The height of the normal scene above the ground, (size, size) metres. Holes depend on it and not on
            defects: otherwise their number would reveal the anomalous pictures.
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
        # The preparation of depth takes the ground for the plane through the picture's corners.
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
