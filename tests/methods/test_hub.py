"""The hub: weights from its cache, and an error at once, with the ways out, where it cannot be reached."""

import socket
import threading
import time
from pathlib import Path

import huggingface_hub
import pytest
import timm
from safetensors.torch import save_file

from methods.backbone import FeatureBackbone
from methods.errors import MethodError
from tests.methods.samples import LAYERS


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def hub_error() -> str:
    start = time.monotonic()
    with pytest.raises(MethodError) as caught:
        FeatureBackbone("resnet18.tv_in1k").teacher(LAYERS)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    ways = ("HF_HOME", "weights.pth", "backbone=efficientnet_lite0", "backbone.weights=random")
    for part in ("backbone.weights=imagenet", "resnet18.tv_in1k", *ways):
        assert part in message
    return message


@pytest.mark.usefixtures("empty_cache")
def test_offline_the_ways_out_are_named_at_once() -> None:
    assert "HF_HUB_OFFLINE is set" in hub_error()


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.delenv("HF_HUB_OFFLINE")
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert address in hub_error()


@pytest.mark.usefixtures("empty_cache")
def test_a_hub_that_refuses_connections_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert address in hub_error()


@pytest.mark.usefixtures("empty_cache")
def test_a_name_server_that_never_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()

    def never(*_: object, **__: object) -> list[object]:
        over.wait(20)
        return []

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(socket, "getaddrinfo", never)
    assert "TimeoutError: no answer from" in hub_error()
    over.set()


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "resnet18"])
def test_weights_in_the_hub_s_cache_need_no_hub(
    name: str, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    full = timm.create_model("resnet18").state_dict()
    repository, revision = timm.get_pretrained_cfg(name).hf_hub_id, "0" * 40
    folder = empty_cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text(revision)
    (folder / "snapshots" / revision).mkdir(parents=True)
    save_file(full, folder / "snapshots" / revision / "model.safetensors")
    save_file(full, empty_cache / "same.safetensors")
    expected = FeatureBackbone(name, str(empty_cache / "same.safetensors")).identity(LAYERS)
    assert FeatureBackbone(name).identity(LAYERS) == expected
