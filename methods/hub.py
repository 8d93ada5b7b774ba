"""Checks of the hub, so that a machine without it gets its answer in seconds."""

import os
import threading
import urllib.error
import urllib.request

import timm

HUB_TIMEOUT = 3.0  # seconds


def in_hub_cache(name: str) -> bool:
    """Return whether the hub's local cache holds the weights of a timm model."""
    from huggingface_hub import try_to_load_from_cache

    repository = timm.get_pretrained_cfg(name).hf_hub_id
    files = ("model.safetensors", "pytorch_model.bin")
    return any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)


def check_hub() -> None:
    """Fail at once if the hub does not answer, where its own client would retry for most of a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "ON", "YES", "TRUE"):
        raise ConnectionError("HF_HUB_OFFLINE is set and its cache does not hold them")
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    outcome: list[BaseException | None] = [TimeoutError(f"no answer from {address} in {HUB_TIMEOUT:g} s")]

    def request() -> None:
        try:
            head = urllib.request.Request(address, method="HEAD")
            urllib.request.urlopen(head, timeout=HUB_TIMEOUT).close()
            outcome[0] = None
        except urllib.error.HTTPError as error:
            error.close()
            outcome[0] = None  # an error status is an answer, too
        except OSError as error:
            outcome[0] = ConnectionError(f"{address}: {error}")

    # In a thread, as the timeout of a connection does not cover the look-up of its name.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT + 0.5)
    if outcome[0] is not None:
        raise outcome[0]
