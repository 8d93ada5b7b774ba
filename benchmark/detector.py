"""The detector: what training leaves, and all that its use needs.

Example, from the project's root::

    from benchmark.detector import load_detector

    detector = load_detector("runs:/<run id>")
    detector.predict("bottle.png").scores
"""

import json
import pkgutil
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from benchmark.errors import BenchmarkError
from benchmark.prediction import ImageInput, Predictions, score_inputs
from benchmark.runtime import Runtime
from benchmark.settings.values import typed
from benchmark.training.records import StageRecord
from methods.backbone import FeatureBackbone
from methods.method import Method
from store.errors import StoreError
from store.folders import seal, verify
from store.passwords import without_password
from store.tags import DETECTOR, STORE

ABOUT, WEIGHTS, THRESHOLDS = "detector.json", "weights.safetensors", "thresholds.json"
FORMAT = 1


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
    """

    method: Method
    backbone: FeatureBackbone
    runtime: Runtime
    about: Mapping[str, Any]
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    policy: str | None = None

    @property
    def records(self) -> list[StageRecord]:
        """Records of the training stages."""
        return [StageRecord(**record) for record in self.about["stages"]]

    def predict(
        self,
        images: ImageInput | Sequence[ImageInput],
        xyz: str | Path | Sequence[str | Path] | None = None,
        policy: str | None = None,
        batch_size: int = 16,
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
            Images that are scored at once. Recorded numbers repeat to the last bit with the cell's
            `evaluation.batch_size`.

        Raises
        ------
        DatasetError
            If a file cannot be read.
        BenchmarkError
            If an array is no RGB image, point clouds are missing, or the policy has no threshold.
        """
        if policy is not None and policy not in self.thresholds:
            known = ", ".join(self.thresholds) or "none, as no cell has measured this detector"
            raise BenchmarkError(f"policy={policy}: the detector has no such threshold; known: {known}")
        preprocessing = self.about["preprocessing"]
        scored = score_inputs(
            self.method, self.backbone, self.runtime, preprocessing, images, xyz, batch_size
        )
        policy = policy or self.policy or ""
        if policy not in self.thresholds:
            return scored
        # the policy dice_max judges images by the pixels of their maps
        judged = scored.maps.max((1, 2), initial=-np.inf) if policy == "dice_max" else scored.scores
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
            write_detector(folder, self.method, self.about)
            if self.thresholds:
                content = {"policy": self.policy, "thresholds": self.thresholds}
                (folder / THRESHOLDS).write_text(json.dumps(content, indent=1))
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
    verify(folder)
    about = read_about(folder)
    made = about["backbone"]
    backbone = FeatureBackbone(made["name"], weights or made["weights"], made["seed"])
    if made["layers"] and backbone.digest(made["layers"]) != made["layers_sha256"]:
        raise BenchmarkError(
            f"{folder}: the weights of its teacher ({backbone.name}, {backbone.weights}) are not those that it was "
            f"trained with (found SHA-256 {backbone.digest(made['layers'])[:12]}, expected "
            f"{made['layers_sha256'][:12]}); give them with weights=..."
        )
    use_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    trained_on = about["runtime"]
    runtime = Runtime(
        torch.device("cuda" if use_cuda else "cpu"), trained_on["precision"], trained_on["channels_last"]
    )
    options = about["method"]["options"]
    found = method_class or _known_class(folder, options["_target_"])
    with torch.random.fork_rng(devices=[]):
        arguments = {name: value for name, value in options.items() if name != "_target_"}
        method = typed(found, arguments, "method", backbone=backbone)
    return with_weights(folder, method, backbone, runtime)


def write_detector(folder: Path, method: Method, about: Mapping[str, Any]) -> None:
    """Write the files that training leaves: the weights, and `about` as JSON."""
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(about, indent=1))


def read_about(folder: Path) -> dict[str, Any]:
    """Return the content of `detector.json`."""
    path = folder / ABOUT
    try:
        about = json.loads(path.read_text())
        found = about["format"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path}: the file is damaged ({error})") from None
    if found != FORMAT:
        raise StoreError(f"{path}: found format {found}; expected {FORMAT}")
    return about


def with_weights(folder: Path, method: Method, backbone: FeatureBackbone, runtime: Runtime) -> Detector:
    """Give a method with fresh weights those of a kept detector."""
    about = read_about(folder)
    try:
        method.load_state_dict(load_file(folder / WEIGHTS))
    except Exception as error:  # safetensors has errors of its own; torch's lists every name
        reason = str(error).splitlines()[0]
        raise StoreError(f"{folder / WEIGHTS}: not the weights of {about['name']} ({reason})") from None
    runtime.move(method).eval()
    thresholds: dict[str, Any] = {}
    policy = None
    if (folder / THRESHOLDS).exists():
        content = json.loads((folder / THRESHOLDS).read_text())
        thresholds, policy = content["thresholds"], content["policy"]
    return Detector(method, backbone, runtime, about, thresholds, policy)


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


def _known_class(folder: Path, target: str) -> type[Method]:
    """Return the class of a method of this suite, or of a module that is imported already.

    A detector's files may come from anywhere: they must not decide what is imported.
    """
    module = target.rpartition(".")[0]
    if re.fullmatch(r"methods\.\w+", module) or module in sys.modules:
        with suppress(ImportError, AttributeError):
            found = pkgutil.resolve_name(target)
            if isinstance(found, type) and issubclass(found, Method):
                return found
    raise BenchmarkError(
        f"{folder / ABOUT}: the method {target} is not part of this suite; import its module first, or give "
        "method_class=..."
    )
