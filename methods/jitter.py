"""Small random changes of the colours of images."""

from collections.abc import Callable

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import adjust_brightness, adjust_contrast, adjust_saturation

from datasets.batch import Normalisation

CHANGES: tuple[Callable[[Tensor, float], Tensor], ...] = (
    adjust_brightness,
    adjust_contrast,
    adjust_saturation,
)


def jittered(image: Tensor, normalisation: Normalisation, largest: float) -> Tensor:
    """Change one of brightness, contrast and saturation of each image by a random factor.

    Parameters
    ----------
    image
        (B, 3, H, W), normalised.
    largest
        The factors are between 1 - largest and 1 + largest.
    """
    mean, std = (image.new_tensor(value)[:, None, None] for value in (normalisation.mean, normalisation.std))
    changed = []
    for each in (image * std + mean).clamp(0, 1):
        change = CHANGES[int(torch.randint(len(CHANGES), ()))]
        changed.append(change(each, 1 + largest * (2 * torch.rand(()).item() - 1)))
    return (torch.stack(changed) - mean) / std
