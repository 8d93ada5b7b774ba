"""`runtime`: on what and how the work is done."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class FeatureLimits:
    """Room for teacher features, in GB: per split on the device and in memory, and for all on disk."""

    device_gb: float
    memory_gb: float
    disk_gb: float

    def resident_gb(self, device: str) -> float:
        """Return the room for features that are held in the memory of a device of this type."""
        return self.device_gb if device == "cuda" else self.memory_gb


@dataclass(frozen=True)
class RuntimeSettings:
    """conf/runtime/default.yaml."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    malloc: bool
    threads: int | None
    deterministic: bool
    progress: bool
    cache_dir: Path
    features: FeatureLimits
    checkpoint_seconds: float | None
