"""Uninformed students (Bergmann et al., CVPR 2020, arXiv:1911.02357)."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from datasets.batch import Batch
from methods.backbone import FeatureBackbone, isolated_rng
from methods.ensemble import Ensemble, check_students, error_and_variance
from methods.errors import MethodError
from methods.method import Crops, Method, Stage
from methods.moments import EPSILON, Moments
from methods.patches import DESCRIPTOR, NETWORKS, Distillation, PatchNetwork
from methods.ranges import SEED, SIDE, check_option

MAX_ZOOM = 100  # patches a side: natural images of 6500 pixels for the largest


class UninformedStudents(Method):
    """Students regress the descriptors that a teacher gives to the patch around every pixel.

    The teacher is distilled from a large pretrained network on patches of natural images; the students see
    patches of normal images only, so on others they miss the teacher (e) and disagree (v). Each patch size has
    networks of its own, and their scores are averaged.

    Equations are the thesis' (2)-(4), which are those of the paper. The most expensive of the six: its networks
    work at full resolution, 0.5 to 0.8 tera multiply-adds per image of 256 pixels and patch size with three
    students, 0.14 to 0.16 in tiles (`methods.fourier`). Use it as the baseline of the later methods, or where a
    defect is a few pixels wide.

    Parameters
    ----------
    backbone
        The pretrained network P.
    pretrained_layer
        Layer of P whose features, averaged over locations, are its output; None: the last (ResNet-18's layer4:
        512-d).
    pretrained_size
        Side to which a patch is resized for P, pixels.
    zoom
        Natural images are resized to a side of zoom[0] to zoom[1] patches before a patch is cut out.
    compactness
        The loss that decorrelates the teacher's components: `squared`, the sum of their squared correlations,
        as in re-implementations; `signed`, the sum of the correlations, which lets descriptors collapse.
    patch_sizes
        Some of 17, 33 and 65 pixels.
    students
        M, per patch size.
    score
        `e+v`, or the regression error `e` or the predictive uncertainty `v` alone.
    positions
        Where a training step compares students and teacher. `all`: at every pixel, as published. `grid`: at
        every 4th (p = 33) or 8th (p = 65) pixel, from a random offset, which is cheaper; each pixel is
        equally likely, so the expected loss is the same. Scores always cover every pixel.
    crop
        Side of the random window that a training step uses, pixels; None: the whole image. The expected loss
        is the same except near the border, whose pixels are seen less often.
    teacher_seed
        Seed of the teachers' initial weights; those of the students come from the run's seed.

    Raises
    ------
    MethodError
        If a patch size is unknown, an image is smaller than a patch, or the score needs the variance of a
        single student.
    """

    needs_validation = True

    def __init__(
        self,
        backbone: FeatureBackbone,
        pretrained_layer: str | None = None,
        pretrained_size: int = 224,
        zoom: Sequence[float] = (4, 16),
        compactness: Literal["squared", "signed"] = "squared",
        patch_sizes: Sequence[int] = (17, 33, 65),
        students: int = 3,
        score: Literal["e+v", "e", "v"] = "e+v",
        positions: Literal["grid", "all"] = "grid",
        crop: int | None = None,
        teacher_seed: int = 0,
    ) -> None:
        super().__init__()
        sizes = set(patch_sizes)
        if not sizes or not sizes <= set(NETWORKS) or len(sizes) < len(patch_sizes):
            known = ", ".join(map(str, NETWORKS))
            raise MethodError(
                f"method.patch_sizes: found {list(patch_sizes)}; expected some of {known}, each once"
            )
        if len(zoom) != 2 or not 1 <= zoom[0] <= zoom[1] <= MAX_ZOOM:
            raise MethodError(
                f"method.zoom: found {list(zoom)}; expected [smallest, largest], 1 <= smallest <= largest <= {MAX_ZOOM}"
            )
        check_option("crop", crop, SIDE)
        check_option("pretrained_size", pretrained_size, SIDE)
        check_option("teacher_seed", teacher_seed, SEED)
        check_students(students, score)
        self.score, self.positions, self.crop = score, positions, crop
        layer = backbone.layers[-1] if pretrained_layer is None else pretrained_layer
        self.zoom, self.pretrained = (zoom[0], zoom[1]), (layer, pretrained_size)
        (channels,) = backbone.channels([layer])
        with isolated_rng(teacher_seed):
            squared = compactness == "squared"
            teachers = [Distillation(p, channels, layer, squared) for p in patch_sizes]
        self.networks = nn.ModuleList(
            Scale(teacher, Ensemble(partial(PatchNetwork, p), students))
            for p, teacher in zip(patch_sizes, teachers, strict=True)
        )

    @property
    def scales(self) -> dict[int, "Scale"]:
        """The networks of each patch size."""
        return {scale.patch_size: scale for scale in cast("list[Scale]", self.networks)}

    def stages(self) -> Iterator[Stage]:
        """For each patch size, train the teacher on crops of natural images, then its students."""
        for p, scale in self.scales.items():
            yield Stage(f"teacher_{p}", scale.distillation, scale.distillation.loss)
            yield Stage(f"students_{p}", scale.students, partial(self.loss, scale))

    def crops(self, stage: Stage) -> Crops | None:
        """Return the patches that a teacher is distilled on."""
        if not isinstance(stage.module, Distillation):
            return None
        layer, size = self.pretrained
        return Crops(stage.module.network.patch_size, self.zoom, (layer,), size, options=("compactness",))

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        """Compute the normalisation of the descriptors before their students train."""
        for scale in self.scales.values():
            if stage.module is scale.students:
                scale.fit_descriptors(batches)

    def loss(self, scale: "Scale", batch: Batch) -> Tensor:
        """Mean over positions of the squared distance to the teacher, summed over students: eq. 3."""
        image = scale.padded(batch.image)
        if self.crop is not None:
            image = random_window(image, self.crop + scale.patch_size - 1)
        dense = self.positions == "all"
        if not dense:
            top, left = torch.randint(scale.stride, (2,)).tolist()
            image = image[..., top:, left:]
        with torch.no_grad():
            target = scale.target(image, dense)
        return (scale.students(image, dense) - target[:, None]).square().sum(2).mean((0, 2, 3)).sum()

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Compute mean and deviation of e and v over all pixels of held-out images."""
        moments = {p: Moments() for p in self.scales}
        for batch in batches:
            for image in batch.image.split(1):
                for p, scale in self.scales.items():
                    moments[p].add(scale.scores(image))
        for p, scale in self.scales.items():
            moments[p].store(scale.score_mean, scale.score_deviation)

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Standardised e, v or their sum, averaged over patch sizes: (B, H, W)."""
        if torch.compiler.is_exporting():  # the number of images is not known
            return self._map(batch.image)
        # one image at a time: at full resolution, a few images would fill the memory
        return torch.cat([self._map(image) for image in batch.image.split(1)])

    def _map(self, image: Tensor) -> Tensor:
        parts = {"e+v": slice(0, 2), "e": slice(0, 1), "v": slice(1, 2)}[self.score]
        maps = [scale.standardised(image)[:, parts].sum(1) for scale in self.scales.values()]
        return torch.stack(maps).mean(0)


class Scale(nn.Module):
    """Teacher and students of one patch size, and the statistics that normalise them.

    Parameters
    ----------
    distillation
        The teacher and its decoder.
    students
        (B, 3, H, W) to (B, M, 128, h, w).
    """

    mean: Tensor
    deviation: Tensor
    score_mean: Tensor
    score_deviation: Tensor

    def __init__(self, distillation: Distillation, students: Ensemble) -> None:
        super().__init__()
        self.distillation, self.students = distillation, students
        self.patch_size, self.stride = distillation.network.patch_size, distillation.network.stride
        for name, size in (("", DESCRIPTOR), ("score_", 2)):
            self.register_buffer(f"{name}mean", torch.zeros(size))
            self.register_buffer(f"{name}deviation", torch.ones(size))

    def padded(self, image: Tensor) -> Tensor:
        """Mirror (B, 3, H, W) at its border, so that every pixel is the centre of what is seen of a patch.

        Where this has an even side, the centre lies between two pixels, and the descriptor belongs to the lower
        right one.
        """
        height, width = image.shape[-2:]
        if min(height, width) < self.patch_size:
            raise MethodError(
                f"method.training.image_size: found {height} x {width}; expected {self.patch_size} or more, or "
                "smaller method.patch_sizes"
            )
        before = self.distillation.network.seen // 2
        after = self.patch_size - 1 - before
        return pad(image, [before, after, before, after], mode="reflect")

    def fit_descriptors(self, batches: Iterable[Batch]) -> None:
        """Compute mean and deviation of each component of the teacher's descriptors over the train images.

        Every `stride`-th pixel is used, as neighbouring descriptors differ little.
        """
        moments = Moments()
        for batch in batches:
            moments.add(self.distillation.network(self.padded(batch.image)))
        moments.store(self.mean, self.deviation)

    def target(self, image: Tensor, dense: bool) -> Tensor:
        """Return the teacher's normalised descriptors (B, 128, h, w) of a padded image."""
        mean, deviation = (value[:, None, None] for value in (self.mean, self.deviation))
        return (self.distillation.network(image, dense).float() - mean) / (deviation + EPSILON)

    def scores(self, image: Tensor) -> Tensor:
        """Return e, the error of the students' mean, and v, their variance (eq. 4): (B, 2, H, W)."""
        padded = self.padded(image)
        outputs = self.students(padded, dense=True).float()
        return torch.stack(error_and_variance(self.target(padded, dense=True), outputs), 1)

    def standardised(self, image: Tensor) -> Tensor:
        """Return e and v, scaled to mean 0 and deviation 1 on held-out normal images: (B, 2, H, W)."""
        mean, deviation = (value[:, None, None] for value in (self.score_mean, self.score_deviation))
        return (self.scores(image) - mean) / (deviation + EPSILON)


def random_window(image: Tensor, side: int) -> Tensor:
    """Return a random square of (B, C, H, W); its side is `side` pixels, or that of the image if smaller."""
    height, width = image.shape[-2:]
    top = int(torch.randint(max(height - side, 0) + 1, ()))
    left = int(torch.randint(max(width - side, 0) + 1, ()))
    return image[..., top : top + side, left : left + side]
