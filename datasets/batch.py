"""The input of a method: one batch of images with everything known about them."""

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation that a network expects of red, green and blue, for values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass
class Batch:
    """A batch of B images; tensors lie on the device of the run.

    Attributes
    ----------
    image
        (B, 3, H, W) float32, normalised with the backbone's mean and standard deviation.
    label
        (B,) int64: 0 normal, 1 anomalous.
    mask
        (B, 1, H, W) bool, True on anomalous pixels; None where there is no ground truth.
    depth, foreground
        (B, 1, h, w) depth in centimetres and its bool mask; None for RGB data.
    features
        {layer: (B, C, h, w)}: the frozen teacher's features at the layers that the method needs.
    targets
        {name: (B, ...)}: constant inputs of the loss (`Method.targets`) while a stage that has some trains.
    natural
        (B, 3, h, w) crops of natural images (`Method.natural`) while a stage that has some trains, normalised alike.
    changed
        {layer: (B, C, h, w)}: the teacher's features of what `Method.changed` returned.
    paths
        The image files, B strings.
    """

    image: Tensor
    label: Tensor
    mask: Tensor | None = None
    depth: Tensor | None = None
    foreground: Tensor | None = None
    features: dict[str, Tensor] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    natural: Tensor | None = None
    changed: dict[str, Tensor] = field(default_factory=dict)
    paths: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return B."""
        return len(self.image)
