"""Compare the packaged EfficientNet-Lite0 with the package that its weights were published for.

Run by hand, as the reference is not among the suite's dependencies:

    pip install --no-deps efficientnet-lite-pytorch
    python -m tests.methods.check_reference [folder with PNG images]

It compares the outputs of all stages and of the classifier, on noise and on real images, and fails if any value
differs by more than `TOLERANCE` of the largest.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from methods.backbone import FeatureBackbone
from methods.packaged import package_file, read_package
from tests.conftest import PROJECT_ROOT

NAME = "tf_efficientnet_lite0.in1k"
SIDE = 224  # pixels; the reference pads for this side only
IMAGES = PROJECT_ROOT.parent / "shared/data/mvtec_ad/bottle/test"
TOLERANCE = 1e-5


def reference() -> Any:
    """Return the network of the reference package with the weights file, which it loads strictly."""
    try:
        package = importlib.import_module("efficientnet_lite_pytorch")
    except ModuleNotFoundError:
        sys.exit(
            "found no package efficientnet_lite_pytorch; pip install --no-deps efficientnet-lite-pytorch"
        )
    network = package.EfficientNet.from_name("efficientnet-lite0", image_size=SIDE)
    network.load_state_dict(torch.load(package_file(NAME), weights_only=True))
    return network.eval()


def outputs_of_reference(network: Any, image: Tensor) -> Iterator[Tensor]:
    """Yield what the network makes at the end of each stage, then its logits."""
    blocks: list[Tensor] = []
    hooks = [block.register_forward_hook(lambda _, __, x: blocks.append(x)) for block in network._blocks]
    logits = network(image)
    for hook in hooks:
        hook.remove()
    last = -1
    for arguments in network._blocks_args:
        last += arguments.num_repeat
        yield blocks[last]
    assert last == len(blocks) - 1
    yield logits


def outputs_of_suite(teacher: nn.Module, whole: nn.Module, image: Tensor) -> Iterator[Tensor]:
    """Yield the features of the suite's teacher, then the logits of timm's whole network."""
    yield from teacher(image).values()
    yield whole(image)


def real_images(folder: Path, backbone: FeatureBackbone) -> Tensor:
    """Return the images of a folder, normalised as the suite does."""
    paths = sorted(folder.rglob("*.png"))[:8]
    if not paths:
        sys.exit(f"{folder}: found no PNG images; name a folder that has some")
    pixels = [np.asarray(Image.open(path).convert("RGB").resize((SIDE, SIDE))) for path in paths]
    images = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2) / 255
    mean, std = (
        torch.tensor(x).view(1, 3, 1, 1) for x in (backbone.normalisation.mean, backbone.normalisation.std)
    )
    return (images - mean) / std


@torch.no_grad()
def main() -> None:
    """Print the largest difference of each output; exit with 1 if one is too large."""
    theirs = reference()
    backbone = FeatureBackbone(NAME, "package")
    teacher = backbone.teacher(backbone.layers)
    whole = timm.create_model(NAME).eval()
    whole.load_state_dict(read_package(NAME))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    noise = torch.randn(8, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    inputs = {"noise": noise, "real": real_images(folder, backbone)}
    failed = False
    print(f"{'images':8}{'output':12}{'largest value':>16}{'largest difference':>20}")
    for kind, images in inputs.items():
        pairs = zip(
            (*backbone.layers, "logits"),
            outputs_of_suite(teacher, whole, images),
            outputs_of_reference(theirs, images),
            strict=True,
        )
        for output, ours, expected in pairs:
            largest, difference = expected.abs().max().item(), (ours - expected).abs().max().item()
            failed |= not difference <= TOLERANCE * largest
            print(f"{kind:8}{output:12}{largest:16.4f}{difference:20.2e}")
    sys.exit("the networks differ" if failed else 0)


if __name__ == "__main__":
    main()
