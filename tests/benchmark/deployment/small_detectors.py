"""Detectors of every method, too small to detect anything, that the tests of exported files share."""

from functools import cache
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class

from benchmark.detector import Detector
from benchmark.prediction import DecodedInput
from benchmark.runtime import Runtime
from methods.backbone import FeatureBackbone

DEPTH_SIDE = 8
AST = {
    "_target_": "methods.ast.AsymmetricStudentTeacher",
    "unshuffle": 4,
    "coupling_blocks": 1,
    "flow_hidden": 8,
    "student_hidden": 8,
    "student_blocks": 1,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "ast": AST,
    "ast_depth": {**AST, "mode": "depth"},
    "ast_rgbd": {**AST, "mode": "rgbd"},
    "efficient_ad": {
        "_target_": "methods.efficient_ad.EfficientAD",
        "channels": 8,
        "width": 0.05,
        "pretrained_size": 66,
    },
    "dinomaly": {"_target_": "methods.dinomaly.Dinomaly", "width": 8, "blocks": 2, "map_size": 16},
    "feature_variance": {
        "_target_": "methods.feature_variance.FeatureVariance",
        "layers": ["layer1"],
        "students": 2,
    },
    "rd": {"_target_": "methods.rd.ReverseDistillation"},
    "rd_plus_plus": {"_target_": "methods.rd_plus_plus.RDPlusPlus"},
    "simple_student": {
        "_target_": "methods.simple_student.SimpleStudent",
        "layers": ["layer1"],
        "decoupled": True,
        "width": 0.05,
    },
    "stfpm": {"_target_": "methods.stfpm.STFPM", "layers": ["layer1"]},
    "uninformed_students": {
        "_target_": "methods.uninformed_students.UninformedStudents",
        "patch_sizes": [17],
        "students": 2,
    },
}
SIDES = {"uninformed_students": 17, "efficient_ad": 40}
"""Sides of the images of methods that are slow on 32 pixels, or need more."""
THRESHOLDS = {"f1_image": {"pixel": 0.1, "image": 0.3}, "train_quantile": {"pixel": 0.2, "image": 0.4}}


@cache
def backbone() -> FeatureBackbone:
    """Return a network of timm's for tests, of one block per stage."""
    return FeatureBackbone("test_resnet", "random")


def make_detector(name: str, precision: str = "fp32") -> Detector:
    options = dict(OPTIONS[name])
    torch.manual_seed(0)
    method = get_class(options["_target_"])(
        backbone(), **{k: v for k, v in options.items() if k != "_target_"}
    )
    layers = list(method.teacher_layers)
    about = {
        "format": 1,
        "name": f"{name} washer",
        "method": {"name": name, "options": options},
        "category": "washer",
        "seed": 0,
        "training_key": "0" * 32,
        "backbone": {
            "name": backbone().name,
            "weights": "random",
            "seed": 0,
            "layers": layers,
            "layers_sha256": backbone().digest(layers) if layers else None,
        },
        "preprocessing": {
            "image_size": SIDES.get(name, 32),
            "depth_size": DEPTH_SIDE,
            "mean": [0.485, 0.456, 0.406],
            "std": [0.229, 0.224, 0.225],
        },
        "runtime": {"precision": precision, "channels_last": True},
        "stages": [],
        "peak_memory_gb": 0.0,
        "versions": {"torch": torch.__version__},
    }
    runtime = Runtime(torch.device("cpu"), precision, channels_last=True)
    return Detector(runtime.move(method).eval(), backbone(), runtime, about, THRESHOLDS, "f1_image")


def inputs(detector: Detector, count: int) -> list[DecodedInput]:
    """Return images of noise, with depth on a part of them for a method that sees it."""
    random, found, side = np.random.default_rng(count), [], detector.about["preprocessing"]["image_size"]
    for number in range(count):
        arrays = {"images": random.integers(0, 256, (side, side, 3), np.uint8)}
        if detector.method.mode != "rgb":
            foreground = random.random((DEPTH_SIDE, DEPTH_SIDE)) > 0.4
            depth = random.normal(size=foreground.shape).astype(np.float32)
            arrays |= {"depth": np.where(foreground, depth, np.float32(0)), "foreground": foreground}
        found.append(DecodedInput(number, arrays))
    return found
