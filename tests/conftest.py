"""Fixtures that several folders share."""

import os
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"

PROJECT_ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def shared() -> Path:
    """Return the folder of real images and weights; the test is skipped where it is missing."""
    folder = PROJECT_ROOT.parent / "shared"
    if not (folder / "data" / "mvtec_ad" / "bottle").is_dir():
        pytest.skip("no ../shared with real images and weights here")
    return folder
