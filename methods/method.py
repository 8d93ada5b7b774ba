"""The contract of a student-teacher detector: what a plug-in defines, and nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from datasets.batch import Batch


@dataclass(frozen=True)
class Stage:
    """One training stage; the shared loop runs a method's stages in order.

    Attributes
    ----------
    name
        As in the method's YAML, where `training.stages.<name>` may override `training` for this stage.
    module
        What is trained: its parameters go to the optimiser, and it alone is in training mode.
    loss
        Batch -> scalar loss.
    select
        Batch of held-out defect-free images -> (B,) values: the weights of the epoch with the lowest mean
        are kept. None: those of the last epoch.
    """

    name: str
    module: nn.Module
    loss: Callable[[Batch], Tensor]
    select: Callable[[Batch], Tensor] | None = None


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

    channels_last = (
        True  # whether this memory format makes the method faster on convolution-friendly hardware
    )

    def __init__(self, needs: Sequence[str] = ()) -> None:
        super().__init__()
        self.needs = tuple(needs)

    def stages(self) -> Iterator[Stage]:
        """Yield what is trained, in order."""
        raise NotImplementedError(f"{type(self).__name__} defines no stages()")

    def calibrate(self, batches: Iterable[Batch]) -> None:
        """Adapt to defect-free images after training (normalisation of scores, say); default: nothing."""

    def anomaly_map(self, batch: Batch) -> Tensor:
        """Return (B, h, w) scores, large where the student fails; the benchmark brings them to image size."""
        raise NotImplementedError(f"{type(self).__name__} defines no anomaly_map()")

    def image_score(self, anomaly_map: Tensor, batch: Batch) -> Tensor:
        """Return (B,) scores of whole images; default: the largest value of the map."""
        return anomaly_map.flatten(1).amax(1)
