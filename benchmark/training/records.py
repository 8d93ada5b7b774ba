"""The record that a training stage leaves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRecord:
    """How the training of one stage went.

    Attributes
    ----------
    losses
        The mean loss of every round: an epoch, or `every` batches.
    every
        1 for epochs; otherwise the batches between two losses.
    selection
        The mean validation scores by which an epoch was chosen; empty if the last one is used.
    best_epoch
        The round whose weights are used, from 1.
    seconds, images
        Duration of the training itself, and the number of images it processed.
    shared
        Whether the stage is independent of the category, and may have been trained by an earlier run.
    steps
        Number of optimiser steps; 0 in a record of an earlier version.
    batches
        Number of batches; likewise.
    """

    name: str
    losses: list[float]
    every: int
    selection: list[float]
    best_epoch: int
    seconds: float
    images: int
    shared: bool = False
    steps: int = 0
    batches: int = 0

    @property
    def places(self) -> list[int]:
        """Where the values of the rounds belong: the epochs, or the batches that had been seen."""
        counted = [self.every * number for number in range(1, len(self.losses) + 1)]
        if self.every > 1 and self.batches:  # which may end within a round
            return [min(place, self.batches) for place in counted]
        return counted
