"""`runtime`: on what and how the work is done."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from benchmark.settings.ranges import Gigabytes
from methods.ranges import Range

MAX_THREADS = 8 * (os.cpu_count() or 1)
"""More do not make anything faster, and tens of thousands end torch with a segmentation fault."""

Precision = Literal["fp32", "bf16"]
Threads = Annotated[int, Range(at_least=1, at_most=MAX_THREADS, note="8 for each core of this machine")]
CheckpointSeconds = Annotated[float, Range(at_least=0)]


@dataclass(frozen=True)
class FeatureLimits:
    """Room for teacher features, in GB: per split on the device and in memory, and for all on disk."""

    device_gb: Gigabytes
    memory_gb: Gigabytes
    disk_gb: Gigabytes

    def resident_gb(self, device: str) -> float:
        """Return the room for features that are held in the memory of a device of this type."""
        return self.device_gb if device == "cuda" else self.memory_gb


@dataclass(frozen=True)
class RuntimeSettings:
    """conf/runtime/default.yaml."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Precision
    channels_last: bool
    malloc: bool
    threads: Threads | Literal["auto"] | None
    deterministic: bool
    progress: bool
    cache_dir: Path
    features: FeatureLimits
    checkpoint_seconds: CheckpointSeconds | None
