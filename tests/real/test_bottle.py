"""MVTec AD's bottle with ImageNet weights, as published: minutes of training, so `make measure` runs it."""

from pathlib import Path

import pytest

from tests.end_to_end.command import Outcome, run

EPOCHS = 40
LEAST = {  # published: STFPM 1.000 / 0.988; RD's wide_resnet50_2 1.000 / 0.987
    "stfpm": {"image_auroc": 0.99, "pixel_auroc": 0.98},
    "rd": {"image_auroc": 0.99, "pixel_auroc": 0.97},
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


def bottle(results: Path, shared: Path, method: str, *options: str) -> Outcome:
    return run(
        results,
        f"method={method}",
        "dataset=mvtec_ad",
        f"dataset.root={shared / 'data' / 'mvtec_ad'}",
        "dataset.categories=[bottle]",
        "backbone=resnet18",
        f"backbone.weights={shared / 'weights' / 'resnet18_imagenet_bnfolded_conv1_to_layer3.pth'}",
        f"method.training.epochs={EPOCHS}",
        "evaluation.pro_variants=[exact,official_100,per_image_200,rescaled]",
        *options,
        timeout=3000,
    )


@pytest.mark.slow
@pytest.mark.timeout(3200)
@pytest.mark.parametrize("method", list(LEAST))
def test_bottle_reaches_what_was_published(results: Path, shared: Path, method: str) -> None:
    outcome = bottle(results, shared, method)
    assert outcome.code == 0, outcome.stderr
    cell = outcome.runs("cell")[-1]
    print()
    for name, value in sorted(cell.data.metrics.items()):
        print(f"{method} {name:28} {value:.4f}")
    for name, least in LEAST[method].items():
        assert cell.data.metrics[name] >= least
