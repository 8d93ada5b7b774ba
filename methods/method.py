"""The contract of a student-teacher detector: what a plug-in defines, and nothing else."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from datasets.batch import Batch


@dataclass(frozen=True)
class Crops:
    """Random crops of natural images, which a stage trains on instead of the category's images.

    Attributes
    ----------
    size
        Side of a crop, pixels: the stage's batches carry images (B, 3, size, size).
    zoom
        Least and largest side to which an image is brought before it is cropped, in crop sizes.
    layers
        Layers of the backbone whose features the batches must carry.
    feature_size
        Side to which a crop is resized for the backbone, pixels.
    """

    size: int
    zoom: tuple[float, float]
    layers: tuple[str, ...]
    feature_size: int


@dataclass(frozen=True)
class Stage:
    """One training stage; the shared loop runs a method's stages in order.

    Attributes
    ----------
    name
        Unique among the method's stages; letters, digits and _.
    module
        What is trained: its parameters go to the optimiser, and it alone is in training mode.
    loss
        Batch -> scalar loss.
    select
        Batch of held-out defect-free images -> (B,) values: the weights of the epoch with the lowest mean
        are kept. None: those of the last epoch.
    prepare
        Is handed the train images once before the stage trains: for statistics of its targets, say.
    constant
        Batch -> {name: (B, ...)}: what the loss reads that does not change while the stage trains, such as
        targets from a network that an earlier stage has trained. It is computed once per train image, in
        evaluation mode, and stands in `features` beside the layers. Not with `crops`.
    schedule
        `training.stages.<schedule>` in the method's YAML may override `training` for this stage, and for
        all that go by the same; "": the stage's name.
    crops
        What to train on instead of the category's images. What such a stage learns belongs to no category:
        it is kept on disk, and reused wherever the same training would be repeated.
    depends_on
        With crops: names of the method's options on which the loss depends; None: on all of them.
    limit
        An epoch whose mean loss is further from 0 has diverged, and the training stops.
    """

    name: str
    module: nn.Module
    loss: Callable[[Batch], Tensor]
    select: Callable[[Batch], Tensor] | None = None
    prepare: Callable[[Iterable[Batch]], None] | None = None
    constant: Callable[[Batch], dict[str, Tensor]] | None = None
    schedule: str = ""
    crops: Crops | None = None
    depends_on: tuple[str, ...] | None = None
    limit: float = math.inf


class Method(nn.Module):
    """A student-teacher detector.

    A subclass is built from its YAML (`conf/method/<name>.yaml`): the values beside `_target_` are its
    arguments, and `backbone` is the shared `FeatureBackbone`. It never runs the teacher: it names the
    layers that it needs, and finds the teacher's features in every batch.

    Parameters
    ----------
    needs
        Layers of the backbone whose features the batches must carry.
    """

    modes: tuple[str, ...] = ("rgb",)  # what it can work on: `rgb`, `depth`, `rgbd` (both)
    mode = "rgb"  # what it works on; others than `rgb` find depth and foreground in every batch
    channels_last = True  # whether this memory format makes the method faster
    calibrates_on_validation = False  # whether calibrate() must be handed images that no stage trained on

    def __init__(self, needs: Sequence[str] = ()) -> None:
        super().__init__()
        self.needs = tuple(needs)

    def stages(self) -> Iterator[Stage]:
        """Yield what is trained, in order."""
        raise NotImplementedError(f"{type(self).__name__} defines no stages()")

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Adapt to defect-free images after training (normalisation of scores, say); default: nothing.

        They are the held-out validation images; the train images if there are none and
        `calibrates_on_validation` does not insist.
        """

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Return (B, h, w) scores, large where the student fails; the benchmark brings them to image size.

        It is called once before any training, too: what cannot work is told before hours are spent.
        """
        raise NotImplementedError(f"{type(self).__name__} defines no anomaly_map()")

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Return (B,) scores of whole images; default: the largest value of the map."""
        return anomaly_map.flatten(1).amax(1)

    def outputs(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor] | None:
        """Return what teacher and student say, for a figure of the pairs; default: None, there is none.

        Returns
        -------
        Teacher and student, (B, C, h, w), and the locations that count, (B, h, w) bool.
        """
        return None
