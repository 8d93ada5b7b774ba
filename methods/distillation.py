"""A patch description network that is distilled from a pretrained network's features of natural images."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, interpolate, mse_loss

from datasets.batch import Batch
from methods.moments import EPSILON, Moments
from methods.pdn import PatchDescriptionNetwork

PATCH = 3  # side of the patches of features that are pooled, locations
POOLED = 1024  # numbers that stand for a patch of one layer


class Distillation(nn.Module):
    """The teacher in the making: at every fourth pixel it predicts the pooled features of a pretrained network.

    Parameters
    ----------
    network
        The teacher.
    channels
        Number of channels of its descriptors.
    layers, depths
        The keys of the pretrained network's features in the batch, and their numbers of channels.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self, network: PatchDescriptionNetwork, channels: int, layers: Sequence[str], depths: Sequence[int]
    ) -> None:
        super().__init__()
        self.network, self.layers = network, tuple(layers)
        for place, weight in enumerate(pooling(depths, channels)):
            self.register_buffer(f"pooling_{place}", weight, persistent=False)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def fit_targets(self, batches: Iterable[Batch]) -> None:
        """Compute mean and deviation of each pooled channel over natural images."""
        moments = Moments()
        for batch in batches:
            moments.add(self.pooled(batch))
        moments.store(self.mean, self.deviation)

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of the padded network of normalised pooled features; it sees images at half their side."""
        image = interpolate(batch.image, scale_factor=0.5, mode="bilinear", antialias=True)
        mean, deviation = (value[:, None, None] for value in (self.mean, self.deviation))
        predicted = self.network(image, padded=True).float()
        pooled = interpolate(self.pooled(batch), predicted.shape[-2:], mode="bilinear")
        return mse_loss(predicted, (pooled - mean) / (deviation + EPSILON))

    def pooled(self, batch: Batch) -> Tensor:
        """Pool the features of the layers: (B, channels, h, w), at the locations of the first layer."""
        features = [batch.features[layer] for layer in self.layers]
        size = features[0].shape[-2:]
        total = features[0].new_zeros(())
        for place, feature in enumerate(features):
            own = conv2d(feature, self.get_buffer(f"pooling_{place}"), padding=PATCH // 2)
            total = total + interpolate(own.float(), size, mode="bilinear")
        return total


def pooling(depths: Sequence[int], channels: int) -> list[Tensor]:
    """Return the kernels of convolutions whose sum pools patches of several layers' features as PatchCore does.

    There, the C x 3 x 3 numbers of a layer's patch are averaged in 1024 bins, and then the bins of all layers, one
    layer after the other, in as many bins as there are channels. All of it is linear, and so is the resizing of deep
    layers to the locations of the first, which may as well come last.

    Returns
    -------
    (channels, C, 3, 3) for each layer.
    """
    joint = bins(POOLED * len(depths), channels)
    own = joint.split(POOLED, 1)
    return [
        (part @ bins(depth * PATCH**2, POOLED)).view(channels, depth, PATCH, PATCH)
        for part, depth in zip(own, depths, strict=True)
    ]


def bins(count: int, number: int) -> Tensor:
    """Return the matrix (number, count) of `torch.nn.functional.adaptive_avg_pool1d` from count to number values.

    Examples
    --------
    >>> bins(3, 2)
    tensor([[0.5000, 0.5000, 0.0000],
            [0.0000, 0.5000, 0.5000]])
    """
    place = torch.arange(number)[:, None]
    first, end = place * count // number, -(-(place + 1) * count // number)
    at = torch.arange(count)
    return ((at >= first) & (at < end)) / (end - first)
