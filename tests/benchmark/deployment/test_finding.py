"""The cells that a command chooses by their tags, from a store with made-up ones."""

from pathlib import Path

import pytest

from benchmark.deployment.finding import find_cell, find_cells
from benchmark.errors import BenchmarkError
from store.plan import Member
from tests.store.made import add_cell, open_tracker


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Return a store with cells of two methods and two categories, one of them with two seeds."""
    tracker = open_tracker(tmp_path)
    cells = [("rd", "can", "0"), ("rd", "vial", "0"), ("stfpm", "can", "0"), ("stfpm", "can", "1")]
    for job, (method, category, seed) in enumerate(cells):
        member = Member(job, 0, f"key {method} {seed}")
        add_cell(tracker, {}, member=member, method=method, category=category, seed=seed, identity=f"{job}")
    return f"sqlite:///{tmp_path}/mlflow.db"


def test_one_cell_of_each_category_is_found(uri: str) -> None:
    found = find_cells(uri, "a", {"method": "rd", "seed": None})
    assert [*found] == ["can", "vial"]
    assert found["can"].info.run_id == find_cell(uri, None, {"method": "rd", "category": "can"})


def test_several_cells_of_a_category_are_told_apart_by_the_options_named(uri: str) -> None:
    with pytest.raises(
        BenchmarkError, match="found 3 such cells; expected one of can: add --method and --seed: "
    ):
        find_cells(uri, "a", {"method": None, "seed": None})
    with pytest.raises(BenchmarkError, match="found 2 such cells; expected one of can: add --seed: "):
        find_cells(uri, "a", {"method": "stfpm", "seed": None})


def test_modes_of_a_method_are_told_apart(uri: str, tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    for job, mode in enumerate(("rgb", "depth"), 10):
        member = Member(job, 0, f"key {mode}")
        add_cell(
            tracker, {}, member=member, method="ast", mode=mode, category="can", seed="0", identity=f"{job}"
        )
    with pytest.raises(BenchmarkError, match="found 2 such cells; expected one: add --mode, or give the id"):
        find_cell(uri, "a", {"method": "ast"})
    wanted = {"method": "ast", "mode": "depth"}
    assert find_cell(uri, "a", wanted) == find_cells(uri, "a", wanted)["can"].info.run_id
    with pytest.raises(
        BenchmarkError, match=r"--mode rgbd: sweep a has no such finished cell.*known: rgb, depth"
    ):
        find_cell(uri, "a", {"method": "ast", "mode": "rgbd"})


def test_cells_that_no_option_tells_apart_need_a_sweep_of_their_own(uri: str, tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    member = Member(9, 0, "other options")
    add_cell(tracker, {}, member=member, method="rd", category="vial", seed="0", identity="9")
    with pytest.raises(
        BenchmarkError, match="expected one of vial: their options differ: run those of the detectors"
    ):
        find_cells(uri, "a", {"method": "rd", "seed": "0"})
