"""The time of preparing depth: `python -m tests.datasets.speed [rounds]`.

Milliseconds of each step on one thread, for two sizes of MVTec 3D-AD and two shares of missing pixels, half of
them single and half in one block; then the filling of holes compared with a plain loop over the missing pixels.
Medians of alternating rounds.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from datasets import depth
from tests.datasets.test_depth import Array, fill_by_loop

SIDE = 192


def scan(shape: tuple[int, int], missing: float) -> Array:
    """Return z of a dome on a tilted plane, in metres."""
    rows, columns = np.indices(shape, dtype=np.float32)
    z = 0.5 + 1e-4 * rows - 5e-5 * columns
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) / (0.4 * min(shape))
    z -= np.where(radius < 1, 0.01 + 0.02 * np.sqrt(np.maximum(1 - radius**2, 0)), 0)
    z[np.random.default_rng(0).random(shape) < missing / 2] = 0
    side = round((missing / 2 * z.size) ** 0.5)
    z[10 : 10 + side, 10 : 10 + side] = 0
    return z.astype(np.float32)


def medians(forms: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time all forms in turn, `rounds` times; return medians in milliseconds."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, run in forms.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(values) for name, values in times.items()}


def main(rounds: int) -> None:
    """Print a table per scan."""
    torch.set_num_threads(1)
    for shape in ((900, 400), (800, 800)):
        for missing in (0.02, 0.2):
            z = scan(shape, missing)
            filled = depth.fill_holes(z)
            corners = depth.corner_depths(filled)
            background = depth.corner_plane(corners, shape)
            inside = depth.foreground(filled, background)
            centred = depth.centre(filled, inside)
            small = depth.resize(inside.astype(np.float32), SIDE) > 0
            steps: dict[str, Callable[[], object]] = {
                "all steps": partial(depth.prepare, z, SIDE),
                "fill_holes": partial(depth.fill_holes, z),
                "corner_plane": partial(depth.corner_plane, corners, shape),
                "foreground": partial(depth.foreground, filled, background),
                "centre": partial(depth.centre, filled, inside),
                "resize": partial(depth.resize, centred, SIDE),
                "dilate": partial(depth.dilate, small),
                "border_plane, instead of corner_plane": partial(depth.border_plane, z),
            }
            forms: dict[str, Callable[[], object]] = {
                "vectorised": partial(depth.fill_holes, z),
                "loop": partial(fill_by_loop, z, 3),
            }
            found, filling = medians(steps, rounds), medians(forms, min(rounds, 3))
            np.testing.assert_allclose(filled, fill_by_loop(z, 3), rtol=1e-6)
            print(f"\n{shape[0]}x{shape[1]}, {100 * (z == 0).mean():.0f} % missing")
            for name, value in found.items():
                print(f"  {name:40} {value:8.2f} ms")
            ratio = filling["loop"] / filling["vectorised"]
            print(
                f"  {'filling by a loop over missing pixels':40} {filling['loop']:8.0f} ms, {ratio:.0f} times as long"
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
