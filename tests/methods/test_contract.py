"""Every method with a YAML fulfils the contract."""

import copy
import dataclasses
import inspect
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor

from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from tests.methods.samples import batch_of, crops_of

CONF = Path(__file__).parents[2] / "conf"
METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
STAND_INS = {
    **dict.fromkeys(["resnet18", "wide_resnet50_2", "wide_resnet101_2"], "test_resnet"),
    "efficientnet_b5": "tf_efficientnet_b0.aa_in1k",
    "vit_base_patch14_reg4_dinov2": "vit_tiny_patch16_224",
}
"""Networks too large for a quick test, and timm's names of those used instead: `test_resnet` has a block per stage."""
SMALLER: dict[str, dict[str, Any]] = {
    "ast": {"flow_hidden": 16, "student_hidden": 16},
    "efficient_ad": {"channels": 16, "width": 0.125, "pretrained_size": 72},
    "dinomaly": {"width": 32, "blocks": 2, "map_size": 64},
    "simple_student": {"decoupled": True},  # test_resnet cannot be narrowed
    "uninformed_students": {"patch_sizes": [33], "students": 2, "pretrained_size": 32},
}
"""Options that make a method small enough for a quick test."""
SIDES = {"uninformed_students": 40}
"""Sides of the images of methods that are slow on 64 pixels."""
EACH_METHOD = pytest.mark.parametrize("name", METHODS)


@cache
def read(name: str) -> dict[str, Any]:
    """Return the YAML as a dictionary, without its defaults list."""
    config = load(f"method/{name}")
    config.pop("defaults", None)
    values: Any = OmegaConf.to_container(config, resolve=True)
    return values


@cache
def backbone_of(name: str) -> FeatureBackbone:
    """Return the backbone that the YAML chooses, with random weights."""
    lines = load(f"method/{name}").get("defaults", [])
    chosen = [choice for line in lines for key, choice in line.items() if "backbone" in key]
    choice = chosen[0] if chosen else "resnet18"
    return FeatureBackbone(STAND_INS.get(choice) or load(f"backbone/{choice}").name, "random")


def load(path: str) -> Any:
    return OmegaConf.load(CONF / f"{path}.yaml")


def make(name: str, seed: int = 0) -> Method:
    values = {key: value for key, value in read(name).items() if key != "training"} | SMALLER.get(name, {})
    torch.manual_seed(seed)
    return get_class(values.pop("_target_"))(backbone_of(name), **values)


def example(name: str) -> Batch:
    side = SIDES.get(name, 64)
    return batch_of(make(name).teacher_layers, size=(side, side), backbone=backbone_of(name))


def test_there_are_methods() -> None:
    known = {
        "ast",
        "dinomaly",
        "efficient_ad",
        "feature_variance",
        "rd",
        "rd_plus_plus",
        "simple_student",
        "stfpm",
    }
    known.add("uninformed_students")
    assert known <= set(METHODS)


@EACH_METHOD
def test_it_is_a_method_built_from_its_yaml(name: str) -> None:
    assert isinstance(make(name), Method)


@EACH_METHOD
def test_the_yaml_names_every_option_of_the_class(name: str) -> None:
    parameters = set(inspect.signature(get_class(read(name)["_target_"])).parameters) - {"backbone"}
    assert parameters == set(read(name)) - {"_target_", "training"}


@EACH_METHOD
def test_its_teacher_layers_are_layers_of_its_backbone(name: str) -> None:
    layers = make(name).teacher_layers
    assert set(read(name).get("layers") or []) <= set(layers) <= set(backbone_of(name).layers)
    assert len(set(layers)) == len(layers)


@EACH_METHOD
def test_its_stages_have_names_of_their_own_and_train_its_modules(name: str) -> None:
    method = make(name)
    stages = list(method.stages())
    names = [stage.name for stage in stages]
    assert names
    assert len(set(names)) == len(names)
    for configured in read(name)["training"].get("stages", {}):
        assert any(stage == configured or stage.startswith(f"{configured}_") for stage in names)
    own = set(method.modules())
    for stage in stages:
        assert isinstance(stage, Stage)
        assert any(parameter.requires_grad for parameter in stage.module.parameters())
        assert stage.module in own


@EACH_METHOD
def test_crops_depend_on_options_that_the_yaml_names(name: str) -> None:
    method = make(name)
    for stage in method.stages():
        crops = method.crops(stage)
        assert crops is None or set(crops.options or ()) <= set(read(name))


@EACH_METHOD
def test_every_stage_gives_a_scalar_loss_that_can_be_differentiated(name: str) -> None:
    method = make(name)
    for stage in method.stages():
        batch = batch_for(name, method, stage)
        stage.module.train()
        loss = stage.loss(batch)
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
        assert any(p.grad is not None and p.grad.any() for p in stage.module.parameters())


@EACH_METHOD
def test_a_loss_with_its_targets_computed_before_is_the_same(name: str) -> None:
    method = make(name).eval()
    for stage in method.stages():
        batch = batch_for(name, method, stage)
        with torch.no_grad():
            targets = {} if method.crops(stage) else method.targets(stage, batch)
        losses = []
        for known in ({}, targets):
            torch.manual_seed(0)
            method.zero_grad()
            loss = stage.loss(dataclasses.replace(batch, targets=known))
            loss.backward()
            losses.append([loss, *(p.grad for p in stage.module.parameters())])
        torch.testing.assert_close(losses[1], losses[0], atol=0, rtol=0)
        assert all(len(value) == len(batch) for value in targets.values())


def batch_for(name: str, method: Method, stage: Stage) -> Batch:
    """Return images or crops for a stage, in evaluation mode and after the hook that precedes its training."""
    method.eval()
    crops = method.crops(stage)
    if crops is not None:
        return crops_of(crops, backbone_of(name))
    batch = example(name)
    with torch.no_grad():
        method.on_train_start(stage, [batch])
        image = method.changed(stage, batch)
        if image is None:
            return batch
        features = backbone_of(name).teacher(method.teacher_layers)(image)
    return dataclasses.replace(batch, changed=features)


def scored(name: str, method: Method, batch: Batch) -> tuple[Tensor, Tensor]:
    method.eval()
    with torch.no_grad():
        method.calibrate([batch])
        anomaly_map = method.anomaly_map(batch)
        return anomaly_map, method.image_score(anomaly_map, batch)


@EACH_METHOD
def test_maps_are_one_per_image_and_scores_one_number_each(name: str) -> None:
    anomaly_map, score = scored(name, make(name), example(name))
    assert anomaly_map.ndim == 3
    assert len(anomaly_map) == 2
    assert score.shape == (2,)
    assert anomaly_map.isfinite().all()
    assert score.isfinite().all()


@EACH_METHOD
def test_methods_for_rgb_ignore_depth(name: str) -> None:
    method, batch = make(name), example(name)
    assert "rgb" in method.modes
    assert method.mode == "rgb"
    foreground = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    foreground[..., :4] = True
    deep = dataclasses.replace(batch, depth=torch.randn(2, 1, 16, 16), foreground=foreground)
    for value, expected in zip(scored(name, method, deep), scored(name, method, batch), strict=True):
        torch.testing.assert_close(value, expected, atol=0, rtol=0)


@EACH_METHOD
def test_the_validation_score_is_one_value_per_image(name: str) -> None:
    method, batch = make(name).eval(), example(name)
    for stage in method.stages():
        if method.keeps_best_epoch:
            assert method.validation_score(stage, batch).shape == (2,)


@EACH_METHOD
def test_scoring_does_not_change_the_method_or_the_batch(name: str) -> None:
    method, batch = make(name), example(name)
    first = scored(name, method, batch)
    state, features = copy.deepcopy(method.state_dict()), copy.deepcopy(batch.features)
    with torch.no_grad():
        again = method.anomaly_map(batch)
    torch.testing.assert_close(again, first[0], atol=0, rtol=0)
    torch.testing.assert_close(method.state_dict(), state, atol=0, rtol=0)
    torch.testing.assert_close(batch.features, features, atol=0, rtol=0)


@EACH_METHOD
def test_an_image_is_scored_the_same_alone_and_among_others(name: str) -> None:
    method, batch = make(name), example(name)
    anomaly_map, score = scored(name, method, batch)
    alone = Batch(batch.image[:1], batch.label[:1], features={k: v[:1] for k, v in batch.features.items()})
    with torch.no_grad():
        map_alone = method.anomaly_map(alone)
        score_alone = method.image_score(map_alone, alone)
    torch.testing.assert_close(map_alone, anomaly_map[:1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(score_alone, score[:1], atol=1e-4, rtol=1e-4)


@EACH_METHOD
def test_its_state_holds_no_weights_of_the_teacher(name: str) -> None:
    method = make(name)
    if not method.teacher_layers:
        return
    teacher = backbone_of(name).teacher(method.teacher_layers)
    assert not set(teacher.modules()) & set(method.modules())
    theirs = [value for value in teacher.state_dict().values() if value.ndim == 4]
    for ours in method.state_dict().values():
        assert not any(ours.shape == value.shape and torch.equal(ours, value) for value in theirs)


@EACH_METHOD
def test_a_seed_repeats_its_weights_and_another_gives_others(name: str) -> None:
    first, again, other = (make(name, seed).state_dict() for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, atol=0, rtol=0)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@EACH_METHOD
def test_its_state_loaded_into_another_build_gives_equal_maps_and_scores(name: str) -> None:
    method, batch = make(name, seed=1), example(name)
    for stage in method.stages():
        training = batch_for(name, method, stage)
        stage.module.train()
        optimizer = torch.optim.SGD(stage.module.parameters(), lr=1e-4)
        stage.loss(training).backward()
        optimizer.step()
    expected = scored(name, method, batch)
    other = make(name, seed=2).eval()
    other.load_state_dict(method.state_dict())
    with torch.no_grad():
        anomaly_map = other.anomaly_map(batch)
        torch.testing.assert_close(anomaly_map, expected[0], atol=0, rtol=0)
        torch.testing.assert_close(other.image_score(anomaly_map, batch), expected[1], atol=0, rtol=0)


def test_a_method_without_hooks_trains_its_stages_on_the_category_to_the_last_epoch() -> None:
    method, batch = Method(), batch_of([])
    stage = Stage("student", torch.nn.Identity(), lambda batch: batch.image.mean())
    assert method.crops(stage) is None
    assert method.targets(stage, batch) == {}
    assert method.teacher_student_pairs(batch) is None
    assert not method.keeps_best_epoch
    assert not method.needs_validation
    assert method.max_loss == math.inf


def test_the_validation_score_is_the_mean_of_the_map_unless_overridden() -> None:
    class Constant(Method):
        def anomaly_map(self, batch: Batch) -> Tensor:
            return torch.tensor([[[0.0, 1.0], [5.0, 2.0]], [[-3.0, -1.0], [-2.0, -4.0]]])

    stage = Stage("student", torch.nn.Identity(), lambda batch: batch.image.mean())
    assert Constant().validation_score(stage, batch_of([])).tolist() == [2.0, -2.5]


def test_without_stages_or_map_the_class_at_fault_is_named() -> None:
    class Unfinished(Method):
        pass

    with pytest.raises(NotImplementedError, match=r"Unfinished defines no stages\(\)"):
        Unfinished().stages()
    with pytest.raises(NotImplementedError, match=r"Unfinished defines no anomaly_map\(\)"):
        Unfinished().anomaly_map(batch_of([]))


def test_the_image_score_is_the_maximum_of_the_map_unless_overridden() -> None:
    anomaly_map = torch.tensor([[[0.0, 1.0], [5.0, 2.0]], [[-3.0, -1.0], [-2.0, -4.0]]])
    assert Method().image_score(anomaly_map, batch_of([])).tolist() == [5.0, -1.0]
