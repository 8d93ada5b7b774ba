"""EfficientAD (Batzner et al., WACV 2024, arXiv:2303.14535)."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss, pad

from datasets.batch import Batch
from methods.backbone import FeatureBackbone, isolated_rng
from methods.distillation import Distillation
from methods.errors import MethodError
from methods.jitter import jittered
from methods.method import Crops, Method, Stage
from methods.moments import EPSILON, Moments
from methods.pdn import RECEPTIVE_FIELD, STRIDE, Autoencoder, PatchDescriptionNetwork, Size
from methods.ranges import CHANNELS, SEED, Range, check_option

BORDER = RECEPTIVE_FIELD // STRIDE // 2  # locations that a map lacks at each side
START, END = 0.9, 0.995  # quantiles of held-out maps that become 0 and 0.1
JITTER = 0.2  # of the images that the autoencoder learns
SIDES = Range(at_least=2 * RECEPTIVE_FIELD, at_most=8192, note="pixels")
TEACHER_GREY, PENALTY_GREY = 0.1, 0.3  # shares of natural images that are shown in grey


class EfficientAD(Method):
    """A small student copies a small teacher on normal images, and an autoencoder that has learnt the teacher.

    The teacher is distilled from a pretrained network's features and describes patches of 33 pixels. One half of the
    student's output learns the teacher where it is worst at it, and to be 0 on natural images, so that it does not
    generalise: on a local anomaly it misses the teacher. The autoencoder restores the teacher's output from one vector
    of the whole image, and the other half of the student's output learns the autoencoder, with its errors on normal
    images. Where usual parts are arranged unusually, the autoencoder errs in a way that the student has not seen.

    As published, it scores an image of 256 pixels by 38 giga multiply-adds (`medium`: 118), and is trained in 70,000
    steps of one image. Take it where parts may be missing or misplaced, and a GPU is at hand.

    Parameters
    ----------
    backbone
        The pretrained network.
    size
        `small` or `medium`: EfficientAD-S and -M.
    channels
        Number of channels of a descriptor.
    width
        Channels inside all networks, per published one.
    pretrained_layers
        Layers of the pretrained network; None: the deepest at strides 8 and 16.
    pretrained_size
        Side of natural images for the pretrained network, pixels. The teacher is distilled on them, and the student
        sees crops of them, at half this side.
    dropout
        Inside the autoencoder's decoder.
    hard_quantile
        Quantile of the squared distances above which they count in the student's loss.
    teacher_seed
        Seed of the teacher's initial weights; those of the others come from the run's seed.

    Raises
    ------
    MethodError
        If an option is out of range, or an image smaller than a patch.
    """

    needs_validation = True
    mean: Tensor
    deviation: Tensor
    quantiles: Tensor

    def __init__(
        self,
        backbone: FeatureBackbone,
        size: Size = "small",
        channels: int = 384,
        width: float = 1.0,
        pretrained_layers: Sequence[str] | None = None,
        pretrained_size: int = 512,
        dropout: float = 0.2,
        hard_quantile: float = 0.999,
        teacher_seed: int = 0,
    ) -> None:
        super().__init__()
        check_option("channels", channels, CHANNELS)
        check_option("width", width, Range(above=0, at_most=16))
        check_option("pretrained_size", pretrained_size, SIDES)
        check_option("dropout", dropout, Range(at_least=0, below=1))
        check_option("hard_quantile", hard_quantile, Range(at_least=0, below=1))
        check_option("teacher_seed", teacher_seed, SEED)
        self.channels, self.hard_quantile, self.pretrained_size = channels, hard_quantile, pretrained_size
        self.normalisation = backbone.normalisation
        layers = backbone.layers_at([8, 16]) if pretrained_layers is None else pretrained_layers
        if not layers or len(set(layers)) < len(layers):
            raise MethodError(
                f"method.pretrained_layers: found {list(layers)}; expected one or more, each layer once"
            )
        with isolated_rng(teacher_seed):
            teacher = PatchDescriptionNetwork(size, channels, width)
        self.distillation = Distillation(teacher, channels, layers, backbone.channels(layers))
        self.trained = nn.ModuleDict(
            {
                "student": PatchDescriptionNetwork(size, channels, width, copies=2),
                "autoencoder": Autoencoder(channels, width, dropout),
            }
        )
        for name, value in (("mean", 0.0), ("deviation", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))
        self.register_buffer("quantiles", torch.tensor([[0.0, 0.0], [1.0, 1.0]]))

    def stages(self) -> Iterator[Stage]:
        """Distil the teacher on natural images, then train student and autoencoder together."""
        yield Stage("teacher", self.distillation, self.distillation.loss)
        yield Stage("student", self.trained, self.loss)

    def crops(self, stage: Stage) -> Crops | None:
        """Return whole natural images, on which the teacher is distilled."""
        if stage.module is not self.distillation:
            return None
        side = self.pretrained_size
        return Crops(side, (1, 1), self.distillation.layers, side, options=(), grey=TEACHER_GREY)

    def natural(self, stage: Stage) -> Crops | None:
        """Return quarters of natural images, on which the student is to say nothing."""
        if stage.module is not self.trained:
            return None
        side = self.pretrained_size // 2
        return Crops(side, (2, 2), (), side, grey=PENALTY_GREY)

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        """Compute the normalisation of the pretrained features, or of the teacher's descriptors of the category."""
        if stage.module is self.distillation:
            self.distillation.fit_targets(batches)
            return
        moments = Moments()
        for batch in batches:
            moments.add(self.described(batch.image))
        moments.store(self.mean, self.deviation)

    def loss(self, batch: Batch) -> Tensor:
        """Sum of the losses of the student's first half, of the autoencoder and of the student's second half."""
        count = len(batch)
        image = torch.cat([batch.image, jittered(batch.image, self.normalisation, JITTER)])
        with torch.no_grad():
            teacher = self.teacher(image)
        student, of_autoencoder = self.trained["student"](image).float().split(self.channels, 1)
        restored = self.trained["autoencoder"](image[count:], teacher.shape[-2:]).float()
        loss = (
            hardest((teacher[:count] - student[:count]).square(), self.hard_quantile)
            + mse_loss(restored, teacher[count:])
            + mse_loss(of_autoencoder[count:], restored)
        )
        if batch.natural is None:
            return loss
        return loss + self.trained["student"](batch.natural)[:, : self.channels].float().square().mean()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Compute quantiles of both maps over all locations of held-out images."""
        maps = torch.cat([self.distances(batch.image).cpu() for batch in batches])
        quantiles = np.quantile(maps.double().numpy(), (START, END), axis=(0, 2, 3))
        self.quantiles.copy_(torch.from_numpy(quantiles))

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Mean of the normalised maps, with zeros where no whole patch is seen: (B, H / 4, W / 4)."""
        start, end = self.quantiles[..., None, None]
        normalised = 0.1 * (self.distances(batch.image) - start) / (end - start + EPSILON)
        return pad(normalised.mean(1), [BORDER] * 4)

    def distances(self, image: Tensor) -> Tensor:
        """Mean squared distances of teacher and student, and of autoencoder and student: (B, 2, h, w)."""
        teacher = self.teacher(image)
        student, of_autoencoder = self.trained["student"](image).float().split(self.channels, 1)
        restored = self.trained["autoencoder"](image, teacher.shape[-2:]).float()
        pairs = ((teacher, student), (restored, of_autoencoder))
        return torch.stack([(target - found).square().mean(1) for target, found in pairs], 1)

    def teacher(self, image: Tensor) -> Tensor:
        """Return the teacher's descriptors, normalised by those of the train images: (B, C, h, w)."""
        mean, deviation = (value[:, None, None] for value in (self.mean, self.deviation))
        return (self.described(image) - mean) / (deviation + EPSILON)

    def described(self, image: Tensor) -> Tensor:
        """Return the teacher's descriptors of an image that is not padded."""
        height, width = image.shape[-2:]
        if min(height, width) < RECEPTIVE_FIELD:
            raise MethodError(
                f"method.training.image_size: found {height} x {width}; expected {RECEPTIVE_FIELD} or more"
            )
        return self.distillation.network(image).float()


def hardest(distance: Tensor, quantile: float) -> Tensor:
    """Mean of the values at or above a quantile of all values, interpolated as `torch.quantile` does."""
    values = distance.flatten()
    above = len(values) - ceil(quantile * (len(values) - 1))
    least = values.detach().topk(above).values[-1]
    is_hard = values >= least
    return values.where(is_hard, 0).sum() / is_hard.sum()
