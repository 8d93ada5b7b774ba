"""Backbones of other families, with weights files as timm saves them: one cell each by the real command."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from tests.end_to_end.command import TINY, run_here


@pytest.mark.parametrize(
    ("name", "method", "layers", "file"),
    [
        *(
            pytest.param(*values, marks=pytest.mark.slow)
            for values in (
                ("convnext_atto", "rd", "stages.0+stages.1+stages.2", "weights.pth"),
                ("mobilenetv3_small_100", "simple_student", "blocks.0+blocks.1+blocks.3", "weights.bin"),
            )
        ),
        ("regnetx_002", "feature_variance", "s1+s2+s3", "weights.safetensors"),
        ("vit_tiny_patch16_224", "stfpm", "blocks.3+blocks.7+blocks.11", "weights.pth.tar"),
    ],
    ids=lambda value: value if "_" in str(value) else None,
)
def test_a_cell_with_weights_from_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, method: str, layers: str, file: str
) -> None:
    torch.manual_seed(0)
    state = timm.create_model(name).state_dict()
    if file.endswith(".safetensors"):
        save_file(state, tmp_path / file)
    else:
        torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}}, tmp_path / file)
    # a transformer has one stride, and no deepest layer at 4, 8 and 16
    chosen = [f"method.layers=[{layers.replace('+', ',')}]"] if name.startswith("vit") else []
    outcome = run_here(
        tmp_path / "results",
        capfd,
        f"method={method}",
        f"backbone.name={name}",
        f"backbone.weights={tmp_path / file}",
        "dataset.categories=[washer]",
        *chosen,
        *TINY,
    )
    assert outcome.code == 0, outcome.stdout
    (cell,) = outcome.runs("cell")
    assert cell.info.status == "FINISHED"
    assert cell.data.tags["weights"] == str(tmp_path / file)
    assert cell.data.tags["teacher"].startswith(f"{name}/{layers}:")
