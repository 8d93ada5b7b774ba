"""Every method that a YAML names keeps the contract, whichever it is."""

import copy
import dataclasses
import inspect
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf
from torch import Tensor

from benchmark.settings import build
from datasets.batch import Batch
from methods.backbone import FeatureBackbone
from methods.method import Method, Stage
from tests.methods.samples import batch_of, crops_of

CONF = Path(__file__).parents[2] / "conf"
METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
STAND_INS = {"wide_resnet50_2": "resnet18.tv_in1k", "efficientnet_b5": "tf_efficientnet_b0.aa_in1k"}
"""Networks too large for a quick test, and what timm calls those used instead."""
SMALLER: dict[str, dict[str, Any]] = {
    "ast": {"flow_hidden": 16, "student_hidden": 16},
    "uninformed_students": {"patch_sizes": [33], "students": 2, "pretrained_size": 32},
}
"""Options by which a method is too large for a quick test, and their values here."""
SIDES = {"uninformed_students": 40}
"""Sides of the images of methods that are slow on 64 pixels."""
EACH_METHOD = pytest.mark.parametrize("name", METHODS)


@cache
def read(name: str) -> dict[str, Any]:
    """Return the YAML as a dictionary, without what Hydra composes."""
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
    return build("method", values, backbone=backbone_of(name))


def example(name: str) -> Batch:
    side = SIDES.get(name, 64)
    return batch_of(make(name).needs, size=(side, side), backbone=backbone_of(name))


def test_there_are_methods() -> None:
    six = {"ast", "feature_variance", "rd", "simple_student", "stfpm", "uninformed_students"}
    assert six <= set(METHODS)


@EACH_METHOD
def test_it_is_a_method_built_from_its_yaml(name: str) -> None:
    assert isinstance(make(name), Method)


@EACH_METHOD
def test_the_yaml_names_every_option_of_the_class(name: str) -> None:
    parameters = set(inspect.signature(get_class(read(name)["_target_"])).parameters) - {"backbone"}
    assert parameters == set(read(name)) - {"_target_", "training"}


@EACH_METHOD
def test_it_needs_layers_of_its_backbone(name: str) -> None:
    needs = make(name).needs
    assert set(read(name).get("layers", [])) <= set(needs) <= set(backbone_of(name).layers)
    assert len(set(needs)) == len(needs)


@EACH_METHOD
def test_its_stages_have_names_of_their_own_and_train_its_modules(name: str) -> None:
    method = make(name)
    stages = list(method.stages())
    names = [stage.name for stage in stages]
    assert names
    assert len(set(names)) == len(names)
    scheduled = {stage.schedule or stage.name for stage in stages}
    assert set(read(name)["training"].get("stages", {})) <= scheduled | set(names)
    own = set(method.modules())
    for stage in stages:
        assert isinstance(stage, Stage)
        assert any(parameter.requires_grad for parameter in stage.module.parameters())
        assert stage.module in own


@EACH_METHOD
def test_every_stage_gives_a_scalar_loss_that_can_be_differentiated(name: str) -> None:
    method, images = make(name), example(name)
    for stage in method.stages():
        batch = crops_of(stage.crops, backbone_of(name)) if stage.crops else images
        method.eval()
        stage.module.train()
        loss = stage.loss(batch)
        assert loss.shape == ()
        assert loss.isfinite()
        loss.backward()
        assert any(p.grad is not None and p.grad.any() for p in stage.module.parameters())


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
def test_what_looks_at_colour_is_not_changed_by_depth(name: str) -> None:
    method, batch = make(name), example(name)
    assert "rgb" in method.modes
    assert method.mode == "rgb"
    foreground = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    foreground[..., :4] = True
    deep = dataclasses.replace(batch, depth=torch.randn(2, 1, 16, 16), foreground=foreground)
    for value, expected in zip(scored(name, method, deep), scored(name, method, batch), strict=True):
        torch.testing.assert_close(value, expected, atol=0, rtol=0)


@EACH_METHOD
def test_selection_gives_one_value_per_image(name: str) -> None:
    method, batch = make(name).eval(), example(name)
    for stage in method.stages():
        if stage.select is not None:
            assert stage.select(batch).shape == (2,)


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
    if not method.needs:
        return
    teacher = backbone_of(name).teacher(method.needs)
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
def test_its_state_can_be_loaded_into_another_build(name: str) -> None:
    method, batch = make(name, seed=1), example(name)
    expected = scored(name, method, batch)[0]
    other = make(name, seed=2).eval()
    other.load_state_dict(method.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(other.anomaly_map(batch), expected, atol=0, rtol=0)


def test_without_stages_or_map_the_class_at_fault_is_named() -> None:
    class Unfinished(Method):
        pass

    with pytest.raises(NotImplementedError, match=r"Unfinished defines no stages\(\)"):
        Unfinished().stages()
    with pytest.raises(NotImplementedError, match=r"Unfinished defines no anomaly_map\(\)"):
        Unfinished().anomaly_map(batch_of([]))


def test_the_image_score_is_the_largest_value_unless_a_method_says_otherwise() -> None:
    anomaly_map = torch.tensor([[[0.0, 1.0], [5.0, 2.0]], [[-3.0, -1.0], [-2.0, -4.0]]])
    assert Method().image_score(anomaly_map, batch_of([])).tolist() == [5.0, -1.0]
