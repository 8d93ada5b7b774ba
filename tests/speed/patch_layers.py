"""The layers of the dense patch networks of uninformed students: direct, and by way of the Fourier transform.

    python -m tests.speed.patch_layers [--side 256] [--rounds 3] [--out JSON]

For each layer, the multiply-adds of the direct form for one image and one network; the fraction of the peak that it
reaches; and, where the networks use tiles (`methods.fourier`), their multiply-adds and what they save. The peak is that
of matrix products, taken in turn with the layers. All times are those that one thread spends computing, medians of the
rounds, so that other processes disturb them little. Timings decide nothing.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import conv2d, leaky_relu, max_pool2d

from benchmark.runtime import keep_freed_memory
from methods.fourier import best_tiling, conv
from methods.patches import NETWORKS, SLOPE
from tests.speed.commands import positive
from tests.speed.pairs import Pair, markdown, write

PEAK = 2048  # side of the matrices whose product is the peak


@dataclass(frozen=True)
class Layer:
    """A convolution of a dense network, with LeakyReLU and pool where they follow."""

    name: str
    multiply_adds: float
    tiled: float | None
    direct: Callable[[], Tensor]
    used: Callable[[], Tensor]
    rest: Callable[[], Tensor]


@dataclass(frozen=True)
class Measured:
    """A row of the table, and the seconds of the direct form and of the one that is used, with what follows."""

    row: dict[str, str]
    seconds: tuple[float, float]


def layers_of(patch_size: int, side: int) -> list[Layer]:
    """Return the layers of the network of a patch size for an image of so many pixels a side."""
    found: list[Layer] = []
    dilation, channels, extent = 1, 3, side + patch_size - 1
    network = NETWORKS[patch_size]
    for kernel, out, pool in network:
        image = torch.randn(1, channels, extent, extent).contiguous(memory_format=torch.channels_last)
        weight = torch.randn(out, channels, kernel, kernel).contiguous(memory_format=torch.channels_last)
        tiling = best_tiling(tuple(image.shape), tuple(weight.shape), dilation)
        extent -= dilation * (kernel - 1)
        result = torch.randn(1, out, extent, extent).contiguous(memory_format=torch.channels_last)
        found.append(
            Layer(
                f"{patch_size}: {kernel}x{kernel}, {channels} to {out}, dilation {dilation}",
                float(weight.numel() * extent**2),
                None if tiling is None else float(tiling.multiply_adds(1, channels, out)),
                partial(conv2d, image, weight, torch.zeros(out), dilation=dilation),
                partial(conv, image, weight, torch.zeros(out), dilation),
                partial(_rest, result, pool, dilation, is_last=len(found) + 1 == len(network)),
            )
        )
        channels = out
        if pool:
            extent -= dilation
            dilation *= 2
    return found


def _rest(result: Tensor, pool: bool, dilation: int, is_last: bool) -> Tensor:
    result = result if is_last else leaky_relu(result, SLOPE)
    return max_pool2d(result, 2, stride=1, dilation=dilation) if pool else result


def cpu_seconds(run: Callable[[], Tensor]) -> float:
    """Return the time that the process computes in a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


@torch.no_grad()
def measure(layer: Layer, rounds: int) -> Measured:
    """Time a layer in turn with the peak."""
    square = torch.randn(PEAK, PEAK)
    runs: list[Callable[[], Tensor]] = [
        partial(torch.matmul, square, square),
        layer.direct,
        layer.used,
        layer.rest,
    ]
    times = [[cpu_seconds(run) for run in runs] for _ in range(rounds + 1)][1:]  # the first one warms up
    peak, direct, used, rest = (statistics.median(each) for each in zip(*times, strict=True))
    rate = PEAK**3 / peak
    row = {
        "layer": layer.name,
        "G multiply-adds": f"{layer.multiply_adds / 1e9:.1f}",
        "of the peak": f"{100 * layer.multiply_adds / direct / rate:.0f} %",
        "in tiles": "" if layer.tiled is None else f"{layer.tiled / 1e9:.1f}",
        "of the peak, in tiles": "" if layer.tiled is None else f"{100 * layer.tiled / used / rate:.0f} %",
        "direct / used": f"{direct / used:.2f}",
        "LeakyReLU, pool / used": f"{rest / used:.2f}",
    }
    return Measured(row, (direct + rest, used + rest))


def main() -> None:
    """Print the table, and write the times of the networks to a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.speed.patch_layers", description=__doc__)
    parser.add_argument("--side", type=positive, default=256, help="of the image, pixels")
    parser.add_argument("--rounds", type=positive, default=3)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    rows, pairs = [], []
    for patch_size in NETWORKS:
        measured = [measure(layer, given.rounds) for layer in layers_of(patch_size, given.side)]
        rows += [each.row for each in measured]
        direct, used = (sum(seconds) for seconds in zip(*(each.seconds for each in measured), strict=True))
        what = f"descriptors of all patches of {patch_size} px, {given.side} px, a network"
        pairs.append(Pair(what, "s", [used], [direct], "direct form"))
    print(markdown(rows) + "\n")
    write(given.out, "patch_layers", pairs)


if __name__ == "__main__":
    main()
