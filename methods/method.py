"""The contract of a student-teacher detector: required methods and optional hooks."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor, nn
from torch.nn.functional import interpolate

from datasets.batch import Batch
from methods.errors import MethodError


@dataclass(frozen=True)
class Stage:
    """One training stage; the shared loop trains a method's stages in order.

    Attributes
    ----------
    name
        Unique among the method's stages; letters, digits and _. `training.stages.<name>` in the method's YAML
        overrides `training` for this stage; without such an entry, that of a prefix applies: `teacher` to all
        stages named `teacher_<anything>`.
    module
        The network to train: its parameters go to the optimiser, and it alone is in training mode.
    loss
        Batch -> scalar loss.
    groups
        Parts of the module with optimiser options of their own, those of `optimizer.groups.<name>` in the YAML.
    """

    name: str
    module: nn.Module
    loss: Callable[[Batch], Tensor]
    groups: Mapping[str, nn.Module] = field(default_factory=dict)


@dataclass(frozen=True)
class Crops:
    """Random crops of natural images, on which a stage trains instead of the category's images.

    Attributes
    ----------
    size
        Side of a crop, pixels: the stage's batches carry images (B, 3, size, size).
    zoom
        Smallest and largest side to which an image is resized before it is cropped, in crop sizes.
    layers
        Layers of the backbone whose features the batches carry.
    feature_size
        Side to which a crop is resized for the backbone, pixels.
    options
        Names of the method's options on which the stage's training depends; None: all of them.
    grey
        Share of the crops that are shown in grey.
    """

    size: int
    zoom: tuple[float, float]
    layers: tuple[str, ...]
    feature_size: int
    options: tuple[str, ...] | None = None
    grey: float = 0.0


class Method(nn.Module):
    """A student-teacher detector.

    A subclass is built from its YAML (`conf/method/<name>.yaml`): its arguments are the shared
    `FeatureBackbone` as `backbone`, and the options listed there. It never runs the teacher: it names the
    layers it needs and finds the teacher's features in every batch. It must define `stages` and
    `anomaly_map`; the other methods are hooks.

    Parameters
    ----------
    teacher_layers
        Layers of the backbone whose features the batches must carry, each once.

    Attributes
    ----------
    modes
        Inputs that the class supports: `rgb`, `depth`, `rgbd` (both).
    mode
        Input of this instance; with `depth` or `rgbd` every batch carries depth and foreground.
    channels_last
        Whether this memory format makes the method faster.
    keeps_best_epoch
        Whether each stage that trains on the category's images keeps the weights of the epoch with the lowest
        mean `validation_score`; otherwise those of the last epoch.
    needs_validation
        Whether `calibrate` must receive images that no stage has trained on.
    max_loss
        Training stops as diverged once the absolute mean loss of an epoch exceeds this value.
    interpolation
        How the benchmark enlarges the maps to the size of the image: `bilinear` or `bicubic`.
    scores_enlarged_maps
        Whether `image_score` receives the maps after they have been enlarged, or as `anomaly_map` returns them.
    """

    modes: tuple[str, ...] = ("rgb",)
    mode = "rgb"
    channels_last = True
    keeps_best_epoch = False
    needs_validation = False
    max_loss = math.inf
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    scores_enlarged_maps = True

    def __init__(self, teacher_layers: Sequence[str] = ()) -> None:
        super().__init__()
        if len(set(teacher_layers)) < len(teacher_layers):
            raise MethodError(f"method.layers: found {list(teacher_layers)}; expected each layer once")
        self.teacher_layers = tuple(teacher_layers)

    def stages(self) -> Iterator[Stage]:
        """Yield the training stages, in order."""
        raise NotImplementedError(f"{type(self).__name__} defines no stages()")

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Return (B, h, w) scores, large where the student fails; the benchmark resizes them to the images.

        A rehearsal before the training calls it on another instance, so that wrong settings are reported early.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no anomaly_map()")

    def enlarged(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Return the maps (B, h, w) of `anomaly_map` at the size of the images: (B, H, W)."""
        height, width = batch.image.shape[-2:]
        if anomaly_map.shape[-2:] == (height, width):
            return anomaly_map
        return interpolate(anomaly_map[:, None], (height, width), mode=self.interpolation)[:, 0]

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Return (B,) scores of whole images; default: the maximum of the map (see `scores_enlarged_maps`)."""
        return anomaly_map.flatten(1).amax(1)

    def crops(self, stage: Stage) -> Crops | None:
        """Return the crops of natural images on which a stage trains; None (default): the category's images.

        Such a stage is independent of the category: its weights are kept on disk and reused wherever the same
        training would be repeated.
        """
        return None

    def natural(self, stage: Stage) -> Crops | None:
        """Return the crops of natural images that a stage sees besides the category's; None (default): none.

        Its batches carry as many of them as images, as `batch.natural`, if `training.pretraining.images` names some:
        a loss must do without.
        """
        return None

    def changed(self, stage: Stage, batch: Batch) -> Tensor | None:
        """Return changed images (B, 3, H, W) of a training step, of which the stage needs the teacher's features.

        The loss finds them as `batch.changed`. The teacher runs at every step then. None (default): no features.
        """
        return None

    def on_train_start(self, stage: Stage, batches: Iterable[Batch]) -> None:
        """Look at the train images before a stage trains, e.g. for statistics of its targets.

        Runs in evaluation mode and without gradients. A stage on crops sees as many crops as there are natural images,
        and all that it learns from them must be in its module's state dict. In the rehearsal before the training, the
        batches hold few images. Default: nothing.
        """

    def targets(self, stage: Stage, batch: Batch) -> dict[str, Tensor]:
        """Return {name: (B, ...)}, inputs of the stage's loss that stay constant while the stage trains.

        They are computed once per train image, in evaluation mode and without gradients, and the loss finds
        them in `batch.targets`; elsewhere that is empty. Default: none. Not for stages on crops.
        """
        return {}

    def validation_score(self, stage: Stage, batch: Batch) -> Tensor:
        """Return (B,) values of held-out normal images, low if the stage is good; see `keeps_best_epoch`.

        Default: the mean of the anomaly map.
        """
        return self.anomaly_map(batch).mean((1, 2))

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Adapt to normal images after training, e.g. normalise the scores; default: nothing.

        They are the held-out validation images, or the train images if there are none and `needs_validation`
        is False. Runs in evaluation mode and without gradients. All that it learns must be in the state dict.
        """

    def teacher_student_pairs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return the outputs that are compared, for a figure of the pairs; default: None, no figure.

        Returns
        -------
        Outputs of teacher and student, (B, C, h, w) each, and the locations that count, (B, h, w) bool.
        """
        return None
