"""What a training stage leaves behind for the record."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRecord:
    """The course of one stage.

    Attributes
    ----------
    losses
        The mean loss of every epoch, or of every `every` steps.
    every
        1 for epochs; else the steps between two losses.
    selection
        The values by which an epoch was chosen; empty if the last one is used.
    best_epoch
        From 1, in units of `losses`.
    seconds, images
        Of the training itself, and how many images it went through.
    shared
        Whether what it learnt belongs to no category, and may come from a training before this one.
    """

    name: str
    losses: list[float]
    every: int
    selection: list[float]
    best_epoch: int
    seconds: float
    images: int
    shared: bool = False
