"""MVTec AD's bottle with ImageNet weights: minutes of training each, so `make measure` runs it.

The published settings, except for those set here so that two cores suffice. The weights are those of ResNet-18 up
to layer3, so AST sees layer3 instead of EfficientNet-B5's features, and the teacher of uninformed students learns
the 256 averages of layer3 instead of layer4's 512.
"""

from pathlib import Path

import pytest

from tests.end_to_end.command import Outcome, run

OPTIONS: dict[str, tuple[str, ...]] = {
    "stfpm": ("method.training.epochs=40",),
    "rd": ("method.training.epochs=40",),
    "ast": (
        *("method.layers=[layer3]", "method.training.image_size=256", "method.training.epochs=20"),
        *("method.flow_hidden=64", "method.student_hidden=128", "method.training.optimizer.lr=1e-3"),
    ),
    "uninformed_students": (
        *("method.patch_sizes=[33]", "method.training.image_size=128", "method.training.epochs=5"),
        *("method.pretrained_layer=layer3", "method.pretrained_size=64", "method.crop=32"),
        *("method.training.stages.teacher.steps=200", "method.training.optimizer.lr=5e-4"),
    ),
    "feature_variance": ("seed=42", "method.training.epochs=6"),
    "simple_student": ("seed=42", "method.training.epochs=20"),
}
LEAST = {
    "stfpm": {"image_auroc": 0.99, "pixel_auroc": 0.98},  # published 1.000 / 0.988
    "rd": {"image_auroc": 0.99, "pixel_auroc": 0.97},  # published with wide_resnet50_2 1.000 / 0.987
    "ast": {"image_auroc": 0.97},
    "uninformed_students": {"image_auroc": 0.85},  # no published counterpart: the PRO is 0.900 for p = 33
    "feature_variance": {"image_auroc": 0.98},  # the thesis: 0.997, Dice 0.663
    "simple_student": {"image_auroc": 0.98},  # the thesis: 0.998, Dice 0.555
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
        "evaluation.pro_variants=[exact,official_100,per_image_200,rescaled]",
        *options,
        timeout=3000,
    )


@pytest.mark.slow
@pytest.mark.timeout(3200)
@pytest.mark.parametrize("method", list(LEAST))
def test_bottle_reaches_the_published_accuracy(results: Path, shared: Path, method: str) -> None:
    outcome = bottle(results, shared, method, *OPTIONS[method])
    assert outcome.code == 0, outcome.stderr
    cell = outcome.runs("cell")[-1]
    print()
    for name, value in sorted(cell.data.metrics.items()):
        print(f"{method} {name:28} {value:.4f}")
    for name, least in LEAST[method].items():
        assert cell.data.metrics[name] >= least
