"""Teachers in words: every one with its network and the source of its weights, and with its methods where needed."""

import pandas as pd
import pytest

from reports.tables.captions import caption
from reports.teachers import describe_teacher, name_teachers, teachers
from tests.reports.made import cells

LITE, RESNET = "tf_efficientnet_lite0.in1k", "resnet18.tv_in1k"
TWO = cells(("rd", "bottle", 0.9), ("ast", "bottle", 0.8))


@pytest.mark.parametrize(
    ("network", "weights", "words"),
    [
        (LITE, "package", "tf_efficientnet_lite0.in1k (ImageNet weights from an installed package)"),
        (RESNET, "imagenet", "resnet18.tv_in1k (timm's ImageNet weights)"),
        (RESNET, "random", "resnet18.tv_in1k (untrained)"),
        (RESNET, "/home/me/resnet18.pth", "resnet18.tv_in1k (weights resnet18.pth)"),
    ],
)
def test_network_and_source_are_named(network: str, weights: str, words: str) -> None:
    table = TWO.assign(backbone=network, weights=weights)
    assert describe_teacher(network, weights) == words
    assert set(teachers(table)) == {words}
    assert name_teachers(table) == [f"teacher {words}"]
    assert f"; teacher {words}; " in caption(table, "pro")


def test_several_teachers_are_named_with_their_methods_as_in_the_tables() -> None:
    lite = cells(("rd", "bottle", 0.9), variant="combine=sum", backbone=LITE, weights="package")
    assert name_teachers(pd.concat([TWO, lite])) == [
        "teacher of rd, ast: resnet18.tv_in1k (timm's ImageNet weights)",
        "teacher of rd (combine=sum): tf_efficientnet_lite0.in1k (ImageNet weights from an installed package)",
    ]


def test_one_network_with_two_sources_of_weights_is_two_teachers() -> None:
    other = cells(("stfpm", "bottle", 0.9), weights="random")
    assert name_teachers(pd.concat([TWO, other])) == [
        "teacher of rd, ast: resnet18.tv_in1k (timm's ImageNet weights)",
        "teacher of stfpm: resnet18.tv_in1k (untrained)",
    ]
