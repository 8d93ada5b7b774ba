"""Weights read strictly from a file; errors name the file."""

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
from tests.methods.samples import LAYERS

FOLDED = Path(__file__).parents[3] / "shared/weights/resnet18_imagenet_bnfolded_conv1_to_layer3.pth"
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


def test_an_efficientnet_is_read_up_to_its_deepest_stage(tmp_path: Path) -> None:
    torch.manual_seed(5)
    network = timm.create_model("tf_efficientnet_b0").eval()
    state = network.state_dict()
    path, image = stored(tmp_path / "full.pth", state), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = network.blocks[:4](network.bn1(network.conv_stem(image)))
        features = FeatureBackbone("tf_efficientnet_b0", str(path)).teacher(["blocks.3"])(image)
    torch.testing.assert_close(features["blocks.3"], expected)
    kept = ("conv_stem", "bn1", "blocks.0", "blocks.1", "blocks.2", "blocks.3")
    stored(tmp_path / "part.pth", {key: value for key, value in state.items() if key.startswith(kept)})
    files = (FeatureBackbone("tf_efficientnet_b0", str(tmp_path / name)) for name in ("full.pth", "part.pth"))
    assert len({backbone.identity(["blocks.3"]) for backbone in files}) == 1
    with pytest.raises(MethodError, match=r"the file lacks \d+ entries, e.g. blocks.4"):
        FeatureBackbone("tf_efficientnet_b0", str(tmp_path / "part.pth")).teacher(["blocks.4"])


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
        (lambda s: {f"module.{k}": v for k, v in s.items()}, "lacks 75 entries"),
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
        (lambda s: s | {1: torch.ones(1)}, "expected a state dict (names and tensors)"),
        (lambda s: {"state_dict": s}, "expected a state dict (names and tensors)"),
        (lambda s: list(s.values()), "expected a state dict (names and tensors)"),
    ],
    ids=[
        "missing entry",
        "unknown entry",
        "other shape",
        "prefixed names",
        "no entry",
        "NaN",
        "infinity",
        "too large for float32",
        "name that is a number",
        "nested",
        "list",
    ],
)
def test_a_state_dict_that_does_not_fit_is_refused(
    tmp_path: Path, full: State, change: Callable[[State], object], problem: str
) -> None:
    assert problem in error_of(stored(tmp_path / "changed.pth", change(full)))


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


@pytest.mark.parametrize("name", ["weights.bin", "weights", "weights.onnx"])
def test_another_suffix_is_answered_with_the_expected_ones(tmp_path: Path, full: State, name: str) -> None:
    message = error_of(stored(tmp_path / name, full))
    assert f"found suffix '{Path(name).suffix}'; expected .pth, .safetensors" in message


def test_a_missing_file_is_answered_with_the_choices(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        assert "no such file; expected imagenet, random, or a .pth or .safetensors file" in error_of(path)


def test_the_project_s_own_weights_load_and_give_finite_features() -> None:
    if not FOLDED.is_file():
        pytest.skip(f"{FOLDED} is not on this machine")
    features = opened(FOLDED).teacher(LAYERS)(torch.randn(1, 3, 64, 64))
    assert [tuple(value.shape[1:]) for value in features.values()] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    for value in features.values():
        assert value.isfinite().all()
        assert value.std() > 0.01
