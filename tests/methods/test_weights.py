"""Weights: read strictly from a file, had from the hub, or refused at once with the file or the ways out."""

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
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


def refusal(path: Path) -> str:
    """Return what is said about a file that cannot be used, which always names it."""
    with pytest.raises(MethodError) as caught:
        opened(path).teacher(LAYERS)
    assert f"backbone.weights={path}" in str(caught.value)
    return str(caught.value)


def test_pth_and_safetensors_of_the_same_weights_are_one_identity(tmp_path: Path, full: State) -> None:
    save_file(full, tmp_path / "a.safetensors")
    first = opened(stored(tmp_path / "a.pth", full)).identity(LAYERS)
    assert first == opened(tmp_path / "a.safetensors").identity(LAYERS)
    assert first.startswith("resnet18.tv_in1k/layer1+layer2+layer3:")


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
    message = refusal(stored(tmp_path / "other.pth", timm.create_model(other).state_dict()))
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
        (lambda s: s | {1: torch.ones(1)}, "no state dict (names and tensors)"),
        (lambda s: {"state_dict": s}, "no state dict (names and tensors)"),
        (lambda s: list(s.values()), "no state dict (names and tensors)"),
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
    assert problem in refusal(stored(tmp_path / "changed.pth", change(full)))


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"\x80", b"hello world\n", b"<!DOCTYPE html>\n", bytes(100)], ids=repr
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"file{suffix}"
    path.write_bytes(content)
    assert "not readable as names and tensors" in refusal(path)


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
    assert "not readable as names and tensors" in refusal(path)


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
    refusal(path)
    assert not folder.exists()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    refusal(stored(tmp_path / "module.pth", torch.nn.Linear(2, 2)))


@pytest.mark.parametrize("name", ["weights.bin", "weights", "weights.onnx"])
def test_another_suffix_is_answered_with_the_accepted_ones(tmp_path: Path, full: State, name: str) -> None:
    message = refusal(stored(tmp_path / name, full))
    assert f"found suffix '{Path(name).suffix}'; accepted: .pth, .safetensors" in message


def test_a_missing_file_is_answered_with_what_is_accepted(tmp_path: Path) -> None:
    for path in (tmp_path / "missing.pth", tmp_path):
        assert "no such file; accepted: imagenet, random, or a .pth or .safetensors file" in refusal(path)


def test_the_project_s_own_weights_load_and_give_finite_features() -> None:
    if not FOLDED.is_file():
        pytest.skip(f"{FOLDED} is not on this machine")
    features = opened(FOLDED).teacher(LAYERS)(torch.randn(1, 3, 64, 64))
    assert [tuple(value.shape[1:]) for value in features.values()] == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]
    for value in features.values():
        assert value.isfinite().all()
        assert value.std() > 0.01


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def refusal_of_the_hub() -> str:
    start = time.monotonic()
    with pytest.raises(MethodError) as caught:
        FeatureBackbone("resnet18.tv_in1k").teacher(LAYERS)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    for part in ("backbone.weights=imagenet", "resnet18.tv_in1k", "HF_HOME", "weights.pth", "weights=random"):
        assert part in message
    return message


@pytest.mark.usefixtures("empty_cache")
def test_offline_the_three_ways_out_are_named_at_once() -> None:
    assert "HF_HUB_OFFLINE is set" in refusal_of_the_hub()


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert address in refusal_of_the_hub()


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_refuses_connections_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert address in refusal_of_the_hub()


@pytest.mark.usefixtures("empty_cache")
def test_a_name_server_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        over.wait(20)
        return []

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert "TimeoutError: no answer from" in refusal_of_the_hub()
    over.set()


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "resnet18"])
def test_weights_in_the_hub_s_cache_need_no_hub(
    name: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch, full: State
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    repository, revision = timm.get_pretrained_cfg(name).hf_hub_id, "0" * 40
    folder = empty_cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True)
    save_file(full, folder / "snapshots" / revision / "model.safetensors")
    save_file(full, empty_cache / "same.safetensors")
    expected = FeatureBackbone(name, str(empty_cache / "same.safetensors")).identity(LAYERS)
    assert FeatureBackbone(name).identity(LAYERS) == expected
