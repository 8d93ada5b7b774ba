"""The record that a training stage leaves."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StageRecord:
    """How the training of one stage went.

    Attributes
    ----------
    losses
        The mean loss of every round: an epoch, or `every` steps.
    every
        1 for epochs; otherwise the steps between two losses.
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
