"""The detector: what training leaves, and all that its use needs.

Example, from the project's root::

    from benchmark.detector import load_detector

    detector = load_detector("runs:/<run id>")
    detector.predict("bottle.png").scores
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch

from benchmark.detector_files import (
    ABOUT,
    Thresholds,
    check_files,
    check_shapes,
    is_of_suite,
    known_class,
    read_about,
    read_thresholds,
    read_weights,
    write_files,
    write_thresholds,
)
from benchmark.errors import BenchmarkError
from benchmark.prediction import ImageInput, Predictions, score_inputs
from benchmark.runtime import Runtime, float32_as_such
from benchmark.settings.values import typed
from benchmark.training.records import StageRecord
from methods.backbone import FeatureBackbone
from methods.method import Method
from metrics import JUDGES_MAPS
from store.errors import StoreError
from store.folders import seal
from store.passwords import without_password
from store.tags import DETECTOR, STORE

BATCH_SIZE = 16
"""Images that are scored at once if no cell says how many."""


@dataclass(frozen=True)
class Detector:
    """A trained detector.

    Attributes
    ----------
    method
        The trained networks, in evaluation mode.
    backbone
        The source of the teacher.
    runtime
        Device, precision and memory format.
    about
        The content of `detector.json`: method and options, category, seed, teacher and digests of its weights,
        preprocessing, training records, versions, commit, training key.
    thresholds
        {policy: {"pixel": ..., "image": ...}} for every threshold policy that could be evaluated; empty
        for a detector that no cell has measured yet.
    policy
        The threshold policy of the cell.
    batch_size
        The `evaluation.batch_size` of the cell; None before one, and in detectors of earlier versions.
    """

    method: Method
    backbone: FeatureBackbone
    runtime: Runtime
    about: Mapping[str, Any]
    thresholds: Thresholds = field(default_factory=dict)
    policy: str | None = None
    batch_size: int | None = None

    @property
    def own_batch_size(self) -> int:
        """Images that are scored at once unless a caller says otherwise: as in the cell."""
        return self.batch_size or BATCH_SIZE

    @property
    def records(self) -> list[StageRecord]:
        """Records of the training stages."""
        return [StageRecord(**record) for record in self.about["stages"]]

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        xyz: str | Path | Sequence[str | Path] | None = None,
        policy: str | None = None,
        batch_size: int | None = None,
    ) -> Predictions:
        """Score images of any size; on the test images of its cell it returns the recorded numbers.

        Parameters
        ----------
        images
            One image or several: a path, a PIL image, or an (H, W, 3) uint8 RGB array each.
        xyz
            Point clouds of the images, one path each, for a method with `mode` depth or rgbd.
        policy
            The threshold policy of the verdicts; None: that of the detector's cell.
        batch_size
            Images that are scored at once; None: as in the detector's cell, whose numbers repeat to the last bit.

        Raises
        ------
        DatasetError
            If a file cannot be read.
        BenchmarkError
            If an array is no RGB image, point clouds are missing, the policy has no threshold, or the batch size is
            out of range.
        """
        if policy is not None and policy not in self.thresholds:
            known = ", ".join(self.thresholds) or "none, as no cell has measured this detector"
            raise BenchmarkError(f"policy={policy}: the detector has no such threshold; known: {known}")
        preprocessing = self.about["preprocessing"]
        size = self.own_batch_size if batch_size is None else batch_size
        with float32_as_such():  # the caller's process need not have set torch up as the commands do
            scored = score_inputs(self.method, self.backbone, self.runtime, preprocessing, images, xyz, size)
        policy = policy or self.policy or ""
        if policy not in self.thresholds:
            return scored
        judged = scored.maps.max((1, 2), initial=-np.inf) if policy == JUDGES_MAPS else scored.scores
        return replace(scored, verdicts=judged >= np.float64(self.thresholds[policy]["image"]))

    def save(self, folder: Path) -> None:
        """Write the detector to a folder, with digests of its files.

        Raises
        ------
        StoreError
            If the folder exists and is not empty, or cannot be written.
        """
        if folder.exists() and any(folder.iterdir()):
            raise StoreError(f"{folder}: found files in it; expected a new or empty folder")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_files(folder, self.method, self.about)
            if self.thresholds or self.batch_size:
                write_thresholds(folder, self.thresholds, self.policy, self.batch_size)
            seal(folder)
        except OSError as error:
            raise StoreError(f"cannot write {folder}: {error}") from error


def load_detector(
    where: str | Path,
    *,
    weights: str | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    tracking_uri: str = STORE,
    method_class: type[Method] | None = None,
) -> Detector:
    """Load a detector; nothing that its files hold is run as code.

    Parameters
    ----------
    where
        A folder of a detector, the id of a cell's MLflow run, or `runs:/<id>`.
    weights
        Weights of the teacher, as in `backbone.weights`; None: those of the training.
    device
        Where it is applied.
    tracking_uri
        The store of the run; default: the local one, `results/mlflow.db`.
    method_class
        The class of a method that is not part of this suite. A class whose module is imported already is found.

    Raises
    ------
    StoreError
        If there is no such detector, or one of its files is damaged; the message names it.
    MethodError, BenchmarkError
        If its teacher's weights are not available or not those of the training, or its class is unknown.
    """
    folder = Path(where)
    if not (folder / ABOUT).is_file():
        run = re.fullmatch(r"(?:runs:/)?([0-9a-f]{32})(?:/.*)?", str(where))
        if run is None:
            raise StoreError(f"{where}: expected a folder with {ABOUT}, a run id, or runs:/<id>")
        with TemporaryDirectory() as temporary:
            return load_detector(
                _download(run[1], tracking_uri, Path(temporary)),
                weights=weights,
                device=device,
                method_class=method_class,
            )
    check_files(folder)
    about = read_about(folder)
    options = dict(about["method"]["options"])
    found = method_class or known_class(folder, options["_target_"])
    made = about["backbone"]
    backbone = FeatureBackbone(
        made["name"], weights or made["weights"], made["seed"], made.get("padding_side")
    )
    build = partial(
        typed, found, {k: v for k, v in options.items() if k != "_target_"}, "method", backbone=backbone
    )
    with torch.random.fork_rng(devices=[]):
        if is_of_suite(found):  # a class of one's own need not take torch's device "meta"
            check_shapes(folder, build)
        _check_teacher(folder, backbone, made)
        return with_weights(folder, build(), backbone, _runtime(about, device))


def _check_teacher(folder: Path, backbone: FeatureBackbone, made: Mapping[str, Any]) -> None:
    """Refuse weights of the teacher other than those of the training."""
    if made["layers"] and backbone.digest(made["layers"]) != made["layers_sha256"]:
        raise BenchmarkError(
            f"{folder}: the weights of its teacher ({backbone.name}, {backbone.weights}) are not those that it was "
            f"trained with (found SHA-256 {backbone.digest(made['layers'])[:12]}, expected "
            f"{str(made['layers_sha256'])[:12]}); give them with weights=..."
        )


def _runtime(about: Mapping[str, Any], device: str) -> Runtime:
    """Return how the detector computes: as in its training, on the device that is asked for."""
    has_cuda = torch.cuda.is_available()
    if device == "cuda" and not has_cuda:
        raise BenchmarkError("device=cuda: torch finds no CUDA device here; expected auto or cpu")
    made = about["runtime"]
    chosen = "cuda" if device != "cpu" and has_cuda else "cpu"
    return Runtime(torch.device(chosen), made["precision"], made["channels_last"])


def with_weights(folder: Path, method: Method, backbone: FeatureBackbone, runtime: Runtime) -> Detector:
    """Give a method with fresh weights those of a kept detector."""
    about = read_about(folder)
    read_weights(folder, method)
    runtime.move(method).eval()
    return Detector(method, backbone, runtime, about, *read_thresholds(folder))


def _download(run_id: str, tracking_uri: str, folder: Path) -> Path:
    """Fetch the detector among a run's artifacts."""
    from mlflow.exceptions import MlflowException  # seconds, which a detector from a folder need not wait for

    from store.table import open_store, reading_errors

    try:
        with reading_errors(tracking_uri):
            client = open_store(tracking_uri)
            try:
                return Path(client.download_artifacts(run_id, DETECTOR, str(folder)))
            except (MlflowException, OSError) as error:
                reason = str(error).splitlines()[0]
                raise StoreError(
                    f"{tracking_uri} holds no detector of it ({reason}); tracking.detector=true keeps one"
                ) from None
    except StoreError as error:
        raise StoreError(f"runs:/{run_id}: {without_password(str(error))}") from None
