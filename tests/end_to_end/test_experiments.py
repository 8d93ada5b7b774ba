"""Each experiment runs in a shortened form, and its numbers stand next to the published ones of its table."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from datasets.mvtec_3d import MVTec3D
from datasets.mvtec_ad import MVTecAD
from datasets.synthetic import Synthetic, Synthetic3D
from reports.tables.published import published_sheets
from store.table import read_cells
from tests.benchmark.test_experiments import FILES, PUBLISHED, is_sweep
from tests.end_to_end.command import LIGHT, run

SMALL = ("method.training.image_size=64", "method.training.epochs=1", "backbone.weights=random")
BOTTLE, GRID = ("dataset.categories=[bottle]",), ("dataset.categories=[grid]",)
AST = ("method.training.depth_size=16", "method.flow_hidden=8", "method.student_hidden=8")
POTATO = ("dataset.categories=[potato]",)
PATCHES = (
    "method.training.image_size=66",
    "method.students=2",
    "method.pretrained_size=32",
    "method.training.stages.teacher.steps=2",
)
SHORT: dict[str, tuple[tuple[str, ...], str, str, set[float]]] = {
    "thesis": (BOTTLE, "dice", "bottle", {0.661, 0.663, 0.555}),
    "paper_2d": (
        (*BOTTLE, "method=rd,stfpm,feature_variance,simple_student"),
        "image_auroc",
        "bottle",
        {1.0, 0.997, 0.998},
    ),
    "rd_backbones": (BOTTLE, "image_auroc", "bottle", {1.0}),
    **{
        f"rd_{table}": ((*BOTTLE, "backbone=resnet18"), "image_auroc", "bottle", {1.0})
        for table in ("ocbe", "score_layers", "combination")
    },
    "ast_paper_2d": ((*GRID, *AST), "image_auroc", "grid", {0.991}),
    "ast_paper_3d": ((*POTATO, *AST), "image_auroc", "potato", {0.613, 0.915, 0.981}),
    "ast_students": (("method.mode=rgbd", *AST), "image_auroc", "average", {0.909, 0.889, 0.927, 0.937}),
    "ast_student_blocks": (
        ("method.student_blocks=1,12", *AST),
        "image_auroc",
        "average",
        {0.928, 0.938},
    ),
    "ast_position_and_mask": ((*POTATO, *AST), "image_auroc", "potato", {0.915, 0.981}),
    "ast_outputs": (AST, "image_auroc", "peach", set()),
    "uninformed_scales": ((*BOTTLE, *PATCHES, "method.patch_sizes=[17],[65]"), "pro", "bottle", {0.918}),
    "uninformed_terms": ((*BOTTLE, *PATCHES, "method.patch_sizes=[17]"), "pixel_auroc", "bottle", {0.978}),
}
"""Options of each experiment, and what is published of a row of its table for a measure."""


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return generated images in the layout and under the names of MVTec AD and MVTec 3D-AD."""
    folder = tmp_path_factory.mktemp("images")
    counts: dict[str, Any] = {"image_size": 64, "train": 6, "test_good": 2, "test_defective": 1}
    flat = Synthetic(folder / "cache", ["washer"], **counts).category("washer")
    deep = Synthetic3D(folder / "cache_3d", **counts, validation=2)
    first = deep.category(deep.categories[0])
    sources = {"mvtec_ad": flat.train[0].image.parents[2], "mvtec_3d": first.train[0].image.parents[3]}
    names = {"mvtec_ad": MVTecAD.names, "mvtec_3d": MVTec3D.names}
    for dataset, source in sources.items():
        (folder / dataset).mkdir()
        for name in names[dataset]:
            (folder / dataset / name).symlink_to(source)
    return {dataset: folder / dataset for dataset in sources}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", SHORT)
def test_a_shortened_experiment_stands_next_to_the_published_numbers(
    roots: dict[str, Path], tmp_path: Path, name: str
) -> None:
    options, metric, row, published = SHORT[name]
    root = roots["mvtec_3d" if "mvtec_3d" in FILES[name].read_text() else "mvtec_ad"]
    flag = ("-m",) if is_sweep(name) else ()
    arguments = (*flag, f"experiment={name}", f"dataset.root={root}", *SMALL, *LIGHT, *options)
    outcome = run(tmp_path, *arguments, "sweep=short", timeout=1700)
    assert outcome.code == 0, outcome.stderr
    sheets = published_sheets(read_cells(outcome.uri, ["short"]), metric)
    printed = [sheet.values.drop(columns=["measured", "difference", "verdict"]).loc[row] for sheet in sheets]
    assert published <= {
        round(value, 3) for values in printed for value in np.asarray(values, float).tolist()
    }
    assert all(sheet.values["measured"].notna().any() for sheet in sheets)


def test_every_experiment_of_a_paper_has_a_shortened_form() -> None:
    assert {*PUBLISHED} < {*SHORT} <= {*FILES}
