"""Weights read strictly from a file; errors name the file."""

import argparse
import datetime
import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save, save_file
from torch import Tensor

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from methods.weights import PREFIXES, SUFFIXES, WRAPPERS
from tests.conftest import PROJECT_ROOT
from tests.methods.samples import LAYERS

FOLDED = PROJECT_ROOT.parent / "shared/weights/resnet18_imagenet_bnfolded_conv1_to_layer3.pth"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def full() -> State:
    """A whole resnet18, with layer4 and the classifier, as torchvision and timm publish it."""
    torch.manual_seed(5)
    network = timm.create_model("resnet18")
    return {k: v + 7 if k.endswith("num_batches_tracked") else v for k, v in network.state_dict().items()}


def opened(path: Path, name: str = "resnet18") -> FeatureBackbone:
    return FeatureBackbone(f"{name}.tv_in1k", str(path))


def stored(path: Path, state: object) -> Path:
    torch.save(state, path)
    return path


def error_of(path: Path) -> str:
    """Return the error message for an unusable file, which always names the file."""
    with pytest.raises(MethodError) as caught:
        opened(path).teacher(LAYERS)
    assert f"backbone.weights={path}" in str(caught.value)
    return str(caught.value)


def test_pth_and_safetensors_of_the_same_weights_are_one_identity(tmp_path: Path, full: State) -> None:
    save_file(full, tmp_path / "a.safetensors")
    first = opened(stored(tmp_path / "a.pth", full)).identity(LAYERS)
    assert first == opened(tmp_path / "a.safetensors").identity(LAYERS)
    assert first.startswith("resnet18.tv_in1k/layer1+layer2+layer3:")


def test_the_digest_is_that_of_the_weights_used_and_the_file_digest_that_of_the_file(
    tmp_path: Path, full: State
) -> None:
    first, other = opened(stored(tmp_path / "a.pth", full)), opened(tmp_path / "a.safetensors")
    save_file(full, tmp_path / "a.safetensors")
    assert first.digest(LAYERS) == other.digest(LAYERS) == first.identity(LAYERS).partition(":")[2]
    assert first.digest(LAYERS) != first.digest(LAYERS[:2])
    assert first.file_digest() == hashlib.sha256((tmp_path / "a.pth").read_bytes()).hexdigest()
    assert first.file_digest() != other.file_digest()
    assert FeatureBackbone("resnet18", "random").file_digest() is None
    assert FeatureBackbone("resnet18", "imagenet").file_digest() is None
    with pytest.raises(MethodError, match=r"missing\.pth: found no such file"):
        opened(tmp_path / "missing.pth").file_digest()


def test_a_file_in_the_home_folder_can_be_named_by_a_tilde(
    tmp_path: Path, full: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    path = stored(tmp_path / "a.pth", full)
    backbone = FeatureBackbone("resnet18.tv_in1k", "~/a.pth")
    assert backbone.identity(LAYERS) == opened(path).identity(LAYERS)
    assert backbone.file_digest() == opened(path).file_digest()


def test_features_come_from_the_file(tmp_path: Path, full: State) -> None:
    network = timm.create_model("resnet18", features_only=True, out_indices=(1, 2, 3)).eval()
    network.load_state_dict({key: full[key] for key in network.state_dict()})
    image = torch.randn(1, 3, 64, 64)
    features = opened(stored(tmp_path / "a.pth", full)).teacher(LAYERS)(image)
    for ours, theirs in zip(features.values(), network(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_one_changed_value_is_another_identity(tmp_path: Path, full: State) -> None:
    changed = {key: value.clone() for key, value in full.items()}
    changed["layer3.1.conv2.weight"][0, 0, 0, 0] += 1e-3
    first = opened(stored(tmp_path / "a.pth", full))
    second = opened(stored(tmp_path / "b.pth", changed))
    assert first.identity(LAYERS) != second.identity(LAYERS)
    assert first.identity(LAYERS[:2]).partition(":")[2] == second.identity(LAYERS[:2]).partition(":")[2]


def test_counters_of_batchnorm_may_be_missing_and_change_no_identity(tmp_path: Path, full: State) -> None:
    old = {key: value for key, value in full.items() if not key.endswith("num_batches_tracked")}
    identities = [opened(stored(tmp_path / f"{len(s)}.pth", s)).identity(LAYERS) for s in (full, old)]
    assert identities[0] == identities[1]


def test_a_file_may_end_at_the_deepest_layer(tmp_path: Path, full: State) -> None:
    part = {key: value for key, value in full.items() if not key.startswith(("layer4", "fc"))}
    path = stored(tmp_path / "part.pth", part)
    opened(path).teacher(LAYERS)
    with pytest.raises(MethodError, match=r"the file lacks \d+ entries, e.g. layer4"):
        opened(path).teacher([*LAYERS, "layer4"])


def test_loading_draws_nothing_from_the_global_generator(tmp_path: Path, full: State) -> None:
    before = torch.get_rng_state()
    opened(stored(tmp_path / "a.pth", full)).teacher(LAYERS)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("other", ["resnet34", "resnet50"])
def test_weights_of_another_network_are_refused(tmp_path: Path, other: str) -> None:
    message = error_of(stored(tmp_path / "other.pth", timm.create_model(other).state_dict()))
    assert "not the weights of resnet18.tv_in1k" in message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (
            lambda s: {k: v for k, v in s.items() if k != "layer2.0.bn1.bias"},
            "lacks 1 entries, e.g. layer2.0.bn1.bias",
        ),
        (
            lambda s: s | {"layer3.9.conv1.weight": torch.ones(1)},
            "unknown 1 entries, e.g. layer3.9.conv1.weight",
        ),
        (lambda s: s | {"bn1.weight": torch.ones(3)}, "other shapes for 1 entries, e.g. bn1.weight"),
        (
            lambda s: {f"module.{k}" if k.startswith("layer1") else k: v for k, v in s.items()},
            "lacks 20 entries",
        ),
        (lambda s: {f"other.{k}": v for k, v in s.items()}, "lacks 75 entries"),
        (lambda s: {}, "lacks 75 entries"),
        (
            lambda s: s | {"bn1.bias": torch.full((64,), torch.nan)},
            "NaN or infinity in 1 entries, e.g. bn1.bias",
        ),
        (
            lambda s: s | {"bn1.bias": torch.full((64,), torch.inf)},
            "NaN or infinity in 1 entries, e.g. bn1.bias",
        ),
        (
            lambda s: s | {"bn1.bias": torch.full((64,), 1e300, dtype=torch.float64)},
            "NaN or infinity in 1 entries",
        ),
        (
            lambda s: s | {"bn1.bias": torch.ones(64, dtype=torch.int8)},
            "no plain floating-point values for 1 entries, e.g. bn1.bias",
        ),
        (
            lambda s: s | {"bn1.bias": torch.ones(64).to_sparse()},
            "no plain floating-point values for 1 entries",
        ),
        (lambda s: s | {"bn1.bias": torch.ones(64, device="meta")}, "no plain floating-point values for 1 e"),
        (lambda s: s | {1: torch.ones(1)}, "found a dict with other entries: 1; expected a state dict"),
        (lambda s: s | {"epoch": 3}, "found a dict with other entries: epoch; expected a state dict"),
        (lambda s: {"teacher": s, "epoch": 3}, "found a dict with other entries: teacher, epoch; expected"),
        (lambda s: list(s.values()), "found list; expected a state dict (names and tensors)"),
    ],
    ids=[
        "missing entry",
        "unknown entry",
        "other shape",
        "some names with a prefix",
        "another prefix",
        "no entry",
        "NaN",
        "infinity",
        "too large for float32",
        "integers",
        "sparse",
        "without data",
        "name that is a number",
        "no tensor",
        "another wrapper",
        "list",
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(
    tmp_path: Path, full: State, change: Callable[[State], object], problem: str
) -> None:
    assert problem in error_of(stored(tmp_path / "changed.pth", change(full)))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_state_dict_may_be_one_entry_of_a_checkpoint(tmp_path: Path, full: State, wrapper: str) -> None:
    plain = opened(stored(tmp_path / "plain.pth", full)).identity(LAYERS)
    checkpoint = {"epoch": 3, wrapper: full, "optimizer": {"state": {}, "param_groups": []}, "loss": 0.5}
    assert opened(stored(tmp_path / "checkpoint.pth", checkpoint)).identity(LAYERS) == plain


def test_a_checkpoint_with_several_state_dicts_is_refused(tmp_path: Path, full: State) -> None:
    message = error_of(stored(tmp_path / "a.pth", {"state_dict": full, "epoch": 3, "state_dict_ema": full}))
    assert "found 2 state dicts: state_dict, state_dict_ema; expected one" in message


@pytest.mark.parametrize("prefix", [*PREFIXES, "module._orig_mod.", "model.backbone.module."])
def test_a_prefix_that_all_names_share_is_left_out(tmp_path: Path, full: State, prefix: str) -> None:
    prefixed = {prefix + key: value for key, value in full.items()}
    plain = opened(stored(tmp_path / "plain.pth", full)).identity(LAYERS)
    assert opened(stored(tmp_path / "a.pth", prefixed)).identity(LAYERS) == plain
    assert opened(stored(tmp_path / "b.pth", {"state_dict": prefixed})).identity(LAYERS) == plain


def test_the_options_in_a_checkpoint_of_timm_are_harmless(tmp_path: Path, full: State) -> None:
    options = argparse.Namespace(lr=0.1, model="resnet18", crop=[224, 224])
    checkpoint = {"epoch": 3, "arch": "resnet18", "state_dict": full, "args": options, "version": 2}
    plain = opened(stored(tmp_path / "plain.pth", full)).identity(LAYERS)
    assert opened(stored(tmp_path / "checkpoint.pth.tar", checkpoint)).identity(LAYERS) == plain


def test_other_objects_in_a_checkpoint_are_refused_with_the_way_out(tmp_path: Path, full: State) -> None:
    message = error_of(stored(tmp_path / "a.pth", {"state_dict": full, "day": datetime.date(2020, 1, 1)}))
    assert message.endswith(
        "found datetime.date; expected names and tensors alone, as reading other objects could run code: "
        "torch.save(network.state_dict(), 'weights.pth')"
    )


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PTH", ".Bin", ".PTH.TAR", ".SafeTensors"])
def test_suffixes_in_any_case(tmp_path: Path, full: State, suffix: str) -> None:
    path = tmp_path / f"weights.v1{suffix}"
    if suffix.lower() == ".safetensors":
        save_file(full, path)
    else:
        stored(path, full)
    assert opened(path).identity(LAYERS) == opened(stored(tmp_path / "a.pth", full)).identity(LAYERS)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"hello world\n", b"<!DOCTYPE html>\n", bytes(100)], ids=repr
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert "not readable as names and tensors" in error_of(path)


@pytest.mark.parametrize("kept", [0.0001, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["zip.pth", "old.pth", "new.safetensors"])
def test_a_file_cut_short_is_refused(tmp_path: Path, full: State, kind: str, kept: float) -> None:
    path = tmp_path / kind
    if path.suffix == ".pth":
        torch.save(full, path, _use_new_zipfile_serialization=kind == "zip.pth")
        content = path.read_bytes()
    else:
        content = save(full)
    path.write_bytes(content[: int(len(content) * kept)])
    assert "not readable as names and tensors" in error_of(path)


class MakesFolder:
    """An object whose unpickling runs code."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [None, 2, 5], ids=["torch.save", "pickle 2", "pickle 5"])
def test_code_in_a_file_is_not_run(tmp_path: Path, full: State, protocol: int | None) -> None:
    path, folder = tmp_path / "code.pth", tmp_path / "made"
    content = full | {"fc.bias": MakesFolder(folder)}
    if protocol is None:
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content["fc.bias"], protocol))
    error_of(path)
    assert not folder.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    error_of(stored(tmp_path / "module.pth", torch.nn.Linear(2, 2)))


ACCEPTED = ".pth, .pt, .bin, .ckpt, .pth.tar, .tar, .safetensors"


@pytest.mark.parametrize("name", ["weights", "weights.onnx", "weights.npz", "weights.pth.gz", "pth"])
def test_another_suffix_is_answered_with_the_expected_ones(tmp_path: Path, full: State, name: str) -> None:
    message = error_of(stored(tmp_path / name, full))
    assert message.endswith(f"found suffix '{Path(name).suffix}'; expected {ACCEPTED}")


def test_a_missing_file_is_answered_with_the_choices(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        message = error_of(path)
        assert message.endswith(f"no such file; expected imagenet, package, random, or a file ({ACCEPTED})")


def test_a_part_of_the_right_network_names_no_other(tmp_path: Path, full: State) -> None:
    part = {key: value for key, value in full.items() if not key.startswith("layer3")}
    assert "backbone=" not in error_of(stored(tmp_path / "a.pth", part))


def test_the_project_s_own_weights_load_and_give_finite_features() -> None:
    if not FOLDED.is_file():
        pytest.skip(f"{FOLDED} is not on this machine")
    features = opened(FOLDED).teacher(LAYERS)(torch.randn(1, 3, 64, 64))
    assert [tuple(value.shape[1:]) for value in features.values()] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    for value in features.values():
        assert value.isfinite().all()
        assert value.std() > 0.01
