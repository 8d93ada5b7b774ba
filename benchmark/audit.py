"""An audit: what a cell gains if the epoch is chosen on test images. Nothing of it enters the cell's results."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmark.cell import Cell, CellImages
from benchmark.limits import explain_resource_errors
from benchmark.scoring import score
from benchmark.signals import keep_interruption
from benchmark.sweep import Sweep
from benchmark.training.checkpoint import Checkpoint, random_states_kept
from benchmark.training.trained import train_method
from metrics import image_auroc
from store.audits import Audit, audit_file

log = logging.getLogger(__name__)


class EpochScores(Checkpoint):
    """Scores the test images after every n-th epoch of a training that offers its state, as for a checkpoint.

    Another instance of the method gets the weights, is calibrated as at the end of a training, and scores; the
    training that is watched takes the steps that it takes without.

    Parameters
    ----------
    cell, images
        The cell, and its decoded images.
    every
        Number of epochs between two looks at the test images.

    Attributes
    ----------
    image_auroc
        {epoch of the method's last stage: image AUROC}; the stages before have ended.
    """

    def __init__(self, cell: Cell, images: CellImages, every: int) -> None:
        super().__init__(cell.settings.cache_dir / "audit", seconds=0)  # no file is written
        assert images.test is not None
        self.cell, self.every = cell, every
        self.test = cell.as_batches(images.test)
        self.labels = np.array([sample.label for sample in images.test.samples])
        # as the training calibrates: on held-out images, or else on those that it trains on
        self.calibration = cell.held_out_batches(images, of_training=True) or cell.as_batches(images.train)
        self.image_auroc: dict[int, float] = {}
        self._stages = 0

    def load(self) -> None:
        """Return nothing: an audit trains from the beginning."""

    def maybe_save(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Score the test images if an n-th epoch has ended."""
        current = state()
        if len(current["records"]) != self._stages:
            self._stages, self.image_auroc = len(current["records"]), {}
        epoch = len(current["stage"]["progress"]["losses"])
        if epoch % self.every == 0:
            with random_states_kept(self.cell.runtime.device):
                self.image_auroc[epoch] = self._score(current["module"])

    def _score(self, weights: Mapping[str, Tensor]) -> float:
        cell = self.cell
        method = cell.runtime.move(cell.build_method())
        method.load_state_dict(weights)
        method.eval()
        with torch.no_grad(), cell.runtime.autocast():
            method.calibrate(self.calibration.batches(cell.training.batch_size))
        scores = score(method, self.test, cell.evaluation.batch_size, cell.settings.cache_dir)
        return image_auroc(self.labels, scores.images)


def audit(cell: Cell, every: int) -> dict[int, float]:
    """Train a cell once more, and return the image AUROC of its test images after every n-th epoch."""
    images = cell.open_images()
    watching = EpochScores(cell, images, every)
    train_method(cell, images, watching)
    return watching.image_auroc


def record_audit(cell: Cell, identity: str, every: int, sweep: Sweep, known: Mapping[str, Audit]) -> None:
    """Audit a finished cell, and log what is found with the sweep's parent run, unless its audit is `known`.

    Raises
    ------
    DatasetError, MethodError, BenchmarkError, StoreError
        As for the cell itself.
    """
    if not cell.category.test or not sweep.tracker.is_finished(identity):
        return
    if identity in known and known[identity].every == every:
        return
    log.info("%s: audit, trains again and looks at the test images after every %d epochs", cell.name, every)
    with keep_interruption(), explain_resource_errors():
        found = Audit(identity, every, audit(cell, every))
    sweep.parent.log_text(found.to_json(), audit_file(identity))
