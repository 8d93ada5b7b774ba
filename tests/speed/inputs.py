"""The inputs of the measurements: categories in MVTec AD's layout, and one file of teacher weights for all suites."""

import argparse
from dataclasses import dataclass
from pathlib import Path

from datasets.synthetic import generate
from tests.speed.commands import SpeedError, positive

GENERATED = ("washer", "weave")
LAYERS = ("layer1", "layer2", "layer3")


@dataclass(frozen=True)
class Inputs:
    """Categories, and the weights of ResNet-18 up to layer3.

    Attributes
    ----------
    root
        The folder of the categories.
    categories
        Their names.
    weights
        A state dict, read by every suite.
    description
        Both in words.
    """

    root: Path
    categories: tuple[str, ...]
    weights: Path
    description: str

    def arguments(self, count: int = 1) -> tuple[str, ...]:
        """Return the options that make this suite's command read the first categories."""
        return (
            "dataset=folder",
            f"dataset.root={self.root}",
            f"dataset.categories=[{','.join(self.categories[:count])}]",
            "backbone=resnet18",
            f"backbone.weights={self.weights}",
        )


def parser(
    part: str,
    text: str | None,
    data: bool = True,
    peers: bool = False,
    images: int | None = None,
    image_size: int = 256,
) -> argparse.ArgumentParser:
    """Return a parser of the options that the measurements share; `images`, `image_size`: their defaults."""
    made = argparse.ArgumentParser(prog=f"python -m tests.speed.{part}", description=text)
    if data:
        made.add_argument(
            "--data", type=Path, help="categories in MVTec AD's layout; default: generated ones"
        )
    made.add_argument(
        "--weights", default="random", help="of ResNet-18 to layer3, a .pth file; default: random"
    )
    if images is not None:
        made.add_argument("--image-size", type=positive, default=image_size)
        made.add_argument(
            "--images", type=positive, default=images, help="generated ones per category, if no --data"
        )
    made.add_argument("--out", type=Path, help="a JSON file for the results")
    if peers:
        made.add_argument("--peers", type=Path, help="the peers' environment or its Python; default: none")
    return made


def prepare(data: Path | None, weights: str, folder: Path, images: int = 200, side: int = 256) -> Inputs:
    """Find or make the inputs of the measurements.

    Parameters
    ----------
    data
        A folder in MVTec AD's layout, of categories or of one; None: two generated categories.
    weights
        `random`: this suite's untrained teacher, written to a file that the peers read, too; or a .pth file.
    folder
        The folder for generated images and weights.
    images
        Their number in a generated category, four fifths of them for training; about a tenth is anomalous.
    side
        Side of a generated image, pixels.

    Raises
    ------
    SpeedError
        If a named file or folder does not exist, or has no category.
    """
    if data is None:
        counts = {"train": images * 4 // 5, "test_good": images // 10, "test_defective": max(images // 30, 1)}
        root = generate(folder / "data", categories=GENERATED, image_size=side, **counts)
        names: tuple[str, ...] = GENERATED
        text = f"generated, {counts['train']} train images of {side} pixels"
    else:
        root, names, text = *_found(data), data.name
        if not names:
            raise SpeedError(f"--data {data}: no <category>/train/good below it")
    return Inputs(root.resolve(), names, _weights(weights, folder), f"{text}; weights: {Path(weights).name}")


def _found(data: Path) -> tuple[Path, tuple[str, ...]]:
    """Return the folder of the categories and their names; `data` may be one category itself."""
    if (data / "train").is_dir():
        return data.parent, (data.name,)
    folders = sorted(data.iterdir()) if data.is_dir() else []
    return data, tuple(path.name for path in folders if (path / "train").is_dir())


def _weights(weights: str, folder: Path) -> Path:
    path = Path(weights) if weights != "random" else folder / "random_resnet18.pth"
    if weights == "random" and not path.exists():
        import torch  # takes seconds, which a mistake need not wait for

        from methods.backbone import FeatureBackbone

        teacher = FeatureBackbone("resnet18.tv_in1k", "random").teacher(LAYERS)
        torch.save(teacher.network.state_dict(), path)
    if not path.is_file():
        raise SpeedError(f"--weights {weights}: there is no such file")
    return path.resolve()
