"""The patch networks of uninformed students, and the distillation of a pretrained network into one."""

from typing import cast

from torch import Tensor, nn
from torch.nn.functional import leaky_relu, max_pool2d

from datasets.batch import Batch
from methods.fourier import conv

DESCRIPTOR = 128  # d
SLOPE = 5e-3  # negative slope of LeakyReLU
# patch size: (kernel size, channels, whether a pool follows) of each convolution
NETWORKS: dict[int, tuple[tuple[int, int, bool], ...]] = {
    17: ((6, 128, False), (5, 256, False), (5, 256, False), (4, DESCRIPTOR, False)),
    33: ((5, 128, True), (5, 256, True), (2, 256, False), (4, DESCRIPTOR, False)),
    65: (
        (5, 128, True),
        (5, 128, True),
        (5, 256, True),
        (4, 256, False),
        (1, DESCRIPTOR, False),
    ),
}


class PatchNetwork(nn.Module):
    """Maps patches of p x p pixels to descriptors of 128 numbers: no padding, pools 2x2.

    The pools drop the last row and column of odd sizes, so the networks of 33 and 65 pixels see only the
    first 32 and 60 rows and columns of their patches.

    Parameters
    ----------
    patch_size
        p: 17, 33 or 65.
    """

    def __init__(self, patch_size: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        layers = NETWORKS[patch_size]
        inputs = (3, *(channels for _, channels, _ in layers))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(inputs[i], channels, kernel) for i, (kernel, channels, _) in enumerate(layers)
        )
        self.pooled = tuple(pool for *_, pool in layers)

    @property
    def stride(self) -> int:
        """Pixels between neighbouring patches of a pass that is not `dense`: 2 for every pool."""
        return int(2 ** sum(self.pooled))

    @property
    def seen(self) -> int:
        """Rows and columns of a patch, from the first, that its descriptor depends on: 17, 32 or 60."""
        side = 1
        for kernel, _, pool in reversed(NETWORKS[self.patch_size]):
            side = side * (2 if pool else 1) + kernel - 1
        return side

    def forward(self, image: Tensor, dense: bool = False) -> Tensor:
        """Return the descriptors of the patches of (B, 3, H, W), H and W at least p: (B, 128, h, w).

        Patch (i, j) has its first pixel at (s*i, s*j), s being 1 if `dense`, else `stride`; so
        h = (H - p) // s + 1. Dense is exact too: every pool is applied at all pixels, and all layers after it
        are dilated by 2, so that each patch sees the pixels that it would see alone.
        """
        height, width = image.shape[-2:]
        dilation = 1
        features = image
        for layer, pool in zip(cast("list[nn.Conv2d]", self.convolutions), self.pooled, strict=True):
            features = conv(features, layer.weight, cast("Tensor", layer.bias), dilation)
            if layer is not self.convolutions[-1]:
                features = leaky_relu(features, SLOPE, inplace=True)  # the next layer alone needs it
            if pool:
                features = max_pool2d(features, 2, stride=1 if dense else 2, dilation=dilation)
                dilation *= 2 if dense else 1
        step = 1 if dense else self.stride
        rows, columns = ((side - self.patch_size) // step + 1 for side in (height, width))
        return features[..., :rows, :columns]


class Distillation(nn.Module):
    """A teacher T that is trained with a linear decoder D to reproduce the output of a pretrained network P.

    Parameters
    ----------
    patch_size
        p.
    channels
        Number of channels of P's output.
    layer
        The key of P's features in the batch.
    squared
        Whether the compactness sums squared correlations.
    """

    def __init__(self, patch_size: int, channels: int, layer: str, squared: bool) -> None:
        super().__init__()
        self.network = PatchNetwork(patch_size)
        self.decoder = nn.Linear(DESCRIPTOR, channels)
        self.layer, self.squared = layer, squared

    def loss(self, batch: Batch) -> Tensor:
        """||D(T(p)) - P(p)||^2 averaged over patches (thesis, eq. 2), plus the compactness of T(p)."""
        descriptors = self.network(batch.image).flatten(1)
        target = batch.features[self.layer].mean((2, 3))
        error = (self.decoder(descriptors) - target).square().sum(1).mean()
        return error + compactness(descriptors.float(), self.squared)


def compactness(descriptors: Tensor, squared: bool) -> Tensor:
    """Sum over i != j of the correlation of components i and j over the batch, or of its square.

    The plain sum has its minimum, -d, where the standardised components add up to 0: components that are
    equal up to their signs reach it. The sum of squares prevents that.

    Parameters
    ----------
    descriptors
        (B, d) float32.
    """
    centred = descriptors - descriptors.mean(0)
    standard = centred / (centred.square().mean(0) + 1e-12).sqrt()
    correlation = standard.T @ standard / len(standard)
    if squared:
        correlation = correlation.square()
    return correlation.sum() - correlation.diagonal().sum()
