"""The state of a training on disk: an interrupted training resumes from it, with the same results."""

import contextlib
import hashlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from torch import nn

from benchmark.training.records import StageRecord

log = logging.getLogger(__name__)

MAGIC = b"training state 2\n"  # a new form of the state gets a new number
HEADER = len(MAGIC) + hashlib.sha256().digest_size


class Checkpoint:
    """A file that holds the latest state of one training, replaced from time to time.

    It is replaced as a whole: a writer that is killed, or finds the disk full, leaves the previous state. A
    damaged file (its SHA-256 is kept with it) is never used, and reading one runs no code.

    Parameters
    ----------
    path
        The file; trainings that may end with different numbers must not share one.
    seconds
        Least time between two states, and before the first; 0: every state is written.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self._partial = path.with_name(f".{path.name}.partial")
        self._last = time.monotonic()
        self._failed = False

    def load(self) -> dict[str, Any] | None:
        """Return the latest state, its tensors on the CPU; None if there is none, or it is damaged."""
        try:
            with self.path.open("rb") as file:
                return _read(file)
        except FileNotFoundError:
            return None
        except Exception as error:  # torch raises nearly anything on what it did not write
            self.reject(f"it cannot be read: {error}")
        return None

    def reject(self, reason: str) -> None:
        """Log that the file exists and why it is not used."""
        log.warning("%s: ignored; the training starts from the beginning (%s)", self.path, reason)

    def maybe_save(self, state: Callable[[], Mapping[str, Any]]) -> None:
        """Write the state if enough time has passed; if that fails, the training continues without.

        Parameters
        ----------
        state
            Returns the state: tensors, numbers, strings, lists and dictionaries of them.
        """
        if time.monotonic() - self._last < self.seconds:
            return
        try:
            self._write(state())
        except OSError as error:
            if not self._failed:
                log.warning("%s: cannot be written; the training continues without it (%s)", self.path, error)
            self._failed = True
        self._last = time.monotonic()

    def discard(self) -> None:
        """Remove the file."""
        for path in (self.path, self._partial):
            try:
                if path.exists():  # a missing file in a read-only folder is no fault
                    path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("%s: cannot be removed (%s)", path, error)

    def _write(self, state: Mapping[str, Any]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._partial.open("wb") as file:
                file.write(bytes(HEADER))
                hashing = _Hashing(file)
                try:
                    torch.save(dict(state), cast("IO[bytes]", hashing))
                except RuntimeError as error:
                    # torch closes its archive, which fails and hides an interruption or a full disk
                    raise (error.__context__ or error) from None
                file.seek(0)
                file.write(MAGIC + hashing.sha256.digest())
                file.flush()
                os.fsync(file.fileno())
            self._partial.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)
            raise


class _Hashing:
    """A file that hashes what is written to it: large states are never in memory a second time."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256 = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def _read(file: BufferedReader) -> dict[str, Any]:
    header = file.read(HEADER)
    if header[: len(MAGIC)] != MAGIC:
        raise ValueError("not the state of a training, or of another version")
    if hashlib.file_digest(file, "sha256").digest() != header[len(MAGIC) :]:
        raise ValueError("its content is not what was written")
    file.seek(HEADER)
    return torch.load(file, map_location="cpu", weights_only=True)


@dataclass(frozen=True)
class TrainingState:
    """The state that a training saves after a round, and from which it resumes.

    Attributes
    ----------
    checkpoint
        None: nothing is saved.
    module
        The network whose weights and buffers are the part of the state that all stages share.
    plan
        Distinguishes this training from others, in addition to names and shapes of the module's weights.
    device
        The device whose random state is saved in addition to the CPU's.
    records
        Records of the finished stages.
    """

    checkpoint: Checkpoint | None
    module: nn.Module
    plan: Mapping[str, str]
    device: torch.device
    records: list[StageRecord] = field(default_factory=list)

    def load(self) -> dict[str, Any] | None:
        """Restore weights and records from the checkpoint; return the rest, for the stage that resumes."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if self.checkpoint is None or saved is None:
            return None
        if saved["plan"] != self.plan or _shapes(saved["module"]) != _shapes(self.module.state_dict()):
            self.checkpoint.reject("it belongs to another training")
            return None
        self.module.load_state_dict(saved.pop("module"))
        self.records[:] = [StageRecord(**record) for record in saved["records"]]
        return saved

    def maybe_save(self, stage: Callable[[], Mapping[str, Any]]) -> None:
        """Save the state if enough time has passed; `stage` returns that of the current stage."""
        if self.checkpoint is not None:
            self.checkpoint.maybe_save(
                lambda: {
                    "plan": dict(self.plan),
                    "records": [asdict(record) for record in self.records],
                    "module": dict(self.module.state_dict()),
                    "stage": stage(),
                    "random": random_states(self.device),
                }
            )


def _shapes(state: Mapping[str, Any]) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (value.shape, value.dtype) for name, value in state.items()}


def random_states(device: torch.device) -> dict[str, Any]:
    """Return the states of the global generators of Python, numpy and torch, and of a GPU."""
    version, words, gauss = random.getstate()
    name, key, *rest = np.random.get_state()  # noqa: NPY002 - a user's method may draw from it
    states = {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(key).tolist(), *rest],
        "torch": torch.get_rng_state(),
    }
    return states | ({"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else {})


def restore_random_states(states: Mapping[str, Any], device: torch.device) -> None:
    """Set the global generators to what `random_states` has returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    np.random.set_state(tuple(states["numpy"]))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)


@contextmanager
def random_states_kept(device: torch.device) -> Iterator[None]:
    """Leave the global generators as they were, whatever is drawn meanwhile."""
    states = random_states(device)
    try:
        yield
    finally:
        restore_random_states(states, device)
