"""The tidy table: rows, labels and changes from parameters, datasets of equal name, and cells of the first format."""

import json
import logging
import math
from pathlib import Path

import pandas as pd
import pytest

from store.errors import StoreError
from store.plan import Member, Plan
from store.table import (
    COLUMNS,
    cells_of,
    ended,
    find_sweep,
    labels,
    plans_of,
    read_cells,
    rows,
    search,
    sweeps_of,
)
from store.tracker import Tracker
from tests.store.made import PARAMS, add_cell, earlier_cell, open_tracker


@pytest.fixture
def tracker(tmp_path: Path) -> Tracker:
    return open_tracker(tmp_path)


def read(tracker: Tracker, *sweeps: str) -> pd.DataFrame:
    return read_cells(tracker.uri, sweeps or ["a"])


def labels_of(tracker: Tracker, *sweeps: str) -> list[str]:
    return [*labels(read(tracker, *sweeps))]


def test_there_is_one_row_per_cell_and_metric(tracker: Tracker) -> None:
    add_cell(tracker, {}, metrics={"pro": 0.5, "dice": 0.25}, category="bottle", group="objects")
    add_cell(
        tracker, {}, member=Member(0, 1, "key"), metrics={}, status="FAILED", category="cable", reason="x"
    )
    cells = read(tracker).sort_values(["category", "metric"], ignore_index=True)
    assert tuple(cells.columns) == COLUMNS
    assert cells[["category", "group", "status", "metric", "reason"]].to_numpy().tolist() == [
        ["bottle", "objects", "FINISHED", "dice", ""],
        ["bottle", "objects", "FINISHED", "pro", ""],
        ["cable", "", "FAILED", "", "x"],
    ]
    assert cells["value"].tolist()[:2] == [0.25, 0.5]
    assert math.isnan(cells["value"].iloc[2])
    assert cells["params"].iloc[0] is cells["params"].iloc[1]
    assert cells["params"].iloc[0]["method.layers"] == "['layer1', 'layer2']"
    assert labels_of(tracker) == ["stfpm"] * 3
    assert [*rows(cells)] == ["bottle", "bottle", "cable"]


def test_cells_come_in_the_order_in_which_the_sweep_asked_for_them(tracker: Tracker) -> None:
    for place, category in [(10, "c"), (2, "b"), (0, "a")]:
        add_cell(tracker, {}, member=Member(0, place, "key"), category=category)
    add_cell(tracker, {}, member=Member(10, 0, "other"), category="e", method="rd")
    add_cell(tracker, {}, member=Member(2, 0, "third"), category="d", method="ast")
    assert read(tracker)["category"].tolist() == ["a", "b", "c", "d", "e"]


def test_of_a_cell_that_ran_twice_the_last_run_counts(tracker: Tracker) -> None:
    for value in (0.25, 0.5):
        add_cell(tracker, {}, metrics={"pro": value})
    assert read(tracker)["value"].tolist() == [0.5]


def test_runs_that_failed_do_not_count_once_the_cell_has_finished(tracker: Tracker) -> None:
    add_cell(tracker, {}, status="FINISHED", identity="1")
    add_cell(tracker, {}, status="KILLED", identity="1")
    assert read(tracker)["status"].tolist() == ["FINISHED"]
    assert len(cells_of(tracker.uri, "a")) == 1


def test_a_cell_of_several_sweeps_counts_for_the_first(tracker: Tracker) -> None:
    run = add_cell(tracker, {}, sweep="a")
    tracker.sweep("b")
    run.set_tags({"sweep.b": Member(0, 0, "key")})
    assert read(tracker, "b")["sweep"].tolist() == ["b"]
    assert read(tracker, "b", "a")["sweep"].tolist() == ["b"]


def test_options_that_differ_tell_the_cells_of_a_method_apart(tracker: Tracker) -> None:
    for number, epochs in enumerate((5, 10)):
        changed = {"method.training.epochs": epochs, "protocol_value.method.training.epochs": 100}
        add_cell(tracker, changed, member=Member(number, 0, str(epochs)))
    add_cell(tracker, {"method.training.epochs": 200}, method="rd", member=Member(2, 0, "rd"))
    assert labels_of(tracker) == ["stfpm (training.epochs=5)", "stfpm (training.epochs=10)", "rd"]
    assert read(tracker)["changes"].tolist() == ["", "", ""]


@pytest.mark.parametrize(
    ("params", "label"),
    [
        ({"method.layers": ["layer2", "layer3"]}, "stfpm (layers=[layer2,layer3])"),
        ({"method.layers": None}, "stfpm (layers=null)"),
        ({"backbone.name": "wide_resnet50_2.tv_in1k"}, "stfpm (backbone=wide_resnet50_2.tv_in1k)"),
        ({"evaluation.fpr_limit": 0.1}, "stfpm (evaluation.fpr_limit=0.1)"),
        ({"runtime.precision": "bf16"}, "stfpm (runtime.precision=bf16)"),
        ({"method.optimizer.nesterov": True}, "stfpm (optimizer.nesterov=true)"),
        ({"seed": 1}, "stfpm"),
        ({"runtime.device": "cuda"}, "stfpm"),
        ({"evaluation.tables": []}, "stfpm"),
        ({"dataset.mask_threshold": 0}, "stfpm"),
    ],
)
def test_labels_show_what_can_change_numbers(tracker: Tracker, params: dict[str, object], label: str) -> None:
    add_cell(tracker, {})
    add_cell(tracker, params, category="cable", member=Member(1, 0, "other"))
    assert labels_of(tracker)[1] == label


def test_protocols_of_one_dataset_are_named_and_not_all_of_their_options(tracker: Tracker) -> None:
    quick = {"method.training.epochs": 20, "backbone.weights": "random"}
    add_cell(tracker, {})
    add_cell(tracker, quick, protocol="quick", member=Member(1, 0, "quick"))
    changed = {"method.training.image_size": 64, "protocol_value.method.training.image_size": 256}
    add_cell(tracker, {**quick, **changed}, protocol="quick", member=Member(2, 0, "small"))
    assert labels_of(tracker) == [
        "stfpm (protocol=paper training.image_size=256)",
        "stfpm (protocol=quick training.image_size=256)",
        "stfpm (protocol=quick training.image_size=64)",
    ]


def test_datasets_with_protocols_of_their_own_share_a_column(tracker: Tracker) -> None:
    add_cell(tracker, {})
    params = {"method.training.epochs": 50, "dataset.root": "/data/mvtec_3d"}
    add_cell(tracker, params, dataset="mvtec_3d", protocol="paper_3d", member=Member(1, 0, "3d"))
    assert labels_of(tracker) == ["stfpm", "stfpm"]
    assert [*rows(read(tracker))] == ["mvtec_ad bottle", "mvtec_3d bottle"]


def test_options_changed_for_all_cells_of_a_method_are_changes(tracker: Tracker) -> None:
    changed = {
        "method.training.epochs": 5,
        "protocol_value.method.training.epochs": 100,
        "dataset.mask_threshold": 0,
        "protocol_value.dataset.mask_threshold": None,
        "protocol_value.backbone.weights": "random",
        "protocol_value.dataset.root": None,
        "protocol_value.runtime.device": "cpu",
    }
    add_cell(tracker, changed)
    add_cell(tracker, changed, category="cable", member=Member(0, 1, "key"))
    add_cell(tracker, {}, method="rd", member=Member(1, 0, "rd"))
    cells = read(tracker)
    assert cells["variant"].tolist() == ["", "", ""]
    changes = "training.epochs=5 dataset.mask_threshold=0"
    assert cells["changes"].tolist() == [changes, changes, ""]


def test_a_cell_that_failed_before_its_options_were_logged_has_those_of_its_job(tracker: Tracker) -> None:
    for epochs in (5, 10):
        add_cell(tracker, {"method.training.epochs": epochs}, member=Member(epochs, 0, str(epochs)))
    member = Member(5, 1, "5")
    add_cell(tracker, None, category="cable", member=member, status="FAILED", metrics={})
    assert labels_of(tracker)[1] == "stfpm (training.epochs=5)"


def test_cells_without_any_options_stay_in_the_table(tracker: Tracker) -> None:
    add_cell(tracker, None, status="FAILED", metrics={})
    assert labels_of(tracker) == ["stfpm"]


def test_cells_trained_on_other_images_have_a_column_of_their_own(tracker: Tracker) -> None:
    """Cells of earlier versions, and those that are trained on all images, do not have the options."""
    add_cell(tracker, {}, test_images="1f")
    all_four, others = "all 4 categories (a, b, c, d)", "all 3 categories (a, b, c)"
    changes: dict[str, list[object]] = {
        "dataset.train_images": [8, 16],
        "dataset.contamination": [0.1],
        "dataset.pool": [all_four, others],
    }
    places = iter(range(1, 9))
    for option, values in changes.items():
        for value in values:
            params = {option: value, f"protocol_value.{option}": None}
            add_cell(tracker, params, member=Member(place := next(places), 0, str(place)), test_images="2e")
    assert labels_of(tracker) == [
        "stfpm",
        *("stfpm (dataset.train_images=8)", "stfpm (dataset.train_images=16)"),
        "stfpm (dataset.contamination=0.1)",
        *("stfpm (one model for all 4 categories)", "stfpm (one model for all 3 categories)"),
    ]
    assert set(rows(read(tracker))) == {"bottle"}


def test_models_for_as_many_other_categories_are_named(tracker: Tracker) -> None:
    for number, names in enumerate(("a, b", "a, c")):
        pool = {"dataset.pool": f"all 2 categories ({names})", "protocol_value.dataset.pool": "category"}
        add_cell(tracker, pool, member=Member(number, 0, names))
    expected = [f"stfpm (one model for all 2 categories ({names}))" for names in ("a, b", "a, c")]
    assert labels_of(tracker) == expected


def test_one_model_for_all_is_a_change_that_captions_state(tracker: Tracker) -> None:
    pool = {"dataset.pool": "all 2 categories (a, b)", "protocol_value.dataset.pool": "category"}
    add_cell(tracker, pool)
    assert read(tracker)["changes"].tolist() == ["one model for all 2 categories"]


def test_test_images_that_are_trained_on_make_no_other_dataset(tracker: Tracker) -> None:
    for number, (share, digest) in enumerate((({}, "1f"), ({"dataset.contamination": 0.1}, "2e"))):
        params = {"dataset.root": f"/data{number}/mvtec_ad", **share}
        add_cell(tracker, params, member=Member(number, 0, str(number)), test_images=digest)
    assert set(rows(read(tracker))) == {"bottle"}


def test_two_datasets_with_a_category_of_the_same_name_both_stay(tracker: Tracker) -> None:
    for sweep, folder, digest in (("a", "screws", "1f"), ("b", "plates", "2e")):
        params = {"dataset.root": f"/data/{folder}"}
        add_cell(tracker, params, sweep=sweep, dataset="folder", category="part", test_images=digest)
    cells = read(tracker, "a", "b")
    assert [*rows(cells)] == ["screws part", "plates part"]
    assert [*rows(read(tracker, "b"))] == ["part"]


def test_one_dataset_read_with_two_settings_has_a_row_for_each_and_no_column(tracker: Tracker) -> None:
    for number, threshold in enumerate((0, 127)):
        params = {"dataset.mask_threshold": threshold, "dataset.root": "/data/screws"}
        add_cell(
            tracker,
            params,
            member=Member(number, 0, str(number)),
            metrics={"pro": number / 2},
            dataset="screws",
            dataset_choice="folder",
            test_images="1f",
        )
    cells = read(tracker)
    assert labels_of(tracker) == ["stfpm", "stfpm"]
    assert [*rows(cells)] == [
        "screws (dataset.mask_threshold=0) bottle",
        "screws (dataset.mask_threshold=127) bottle",
    ]
    assert cells["value"].tolist() == [0.0, 0.5]


@pytest.mark.parametrize("choice", [None, "folder"])
def test_own_data_has_the_name_of_its_folder(tracker: Tracker, choice: str | None) -> None:
    if choice is None:
        add_cell(tracker, {"dataset.root": "/data/screws"}, dataset="folder")
    else:
        add_cell(tracker, {"dataset.root": "/data/screws"}, dataset="screws", dataset_choice=choice)
    cells = read(tracker)
    assert cells[["dataset", "dataset_choice"]].to_numpy().tolist() == [["screws", "folder"]]


def test_a_changed_teacher_is_no_change_as_captions_name_it(tracker: Tracker) -> None:
    add_cell(tracker, {"protocol_value.backbone.name": "tf_efficientnet_lite0.in1k"})
    assert read(tracker)["changes"].tolist() == [""]


def test_categories_called_like_rows_of_means_have_other_names(tracker: Tracker) -> None:
    for place, category in enumerate(("mean", "category mean", "average x", "means")):
        add_cell(tracker, {}, category=category, member=Member(0, place, "key"))
    assert [*rows(read(tracker))] == [
        "category mean",
        "category category mean",
        "category average x",
        "means",
    ]


def test_a_dataset_that_was_moved_stays_one(tracker: Tracker) -> None:
    for root in ("/data/mvtec_ad", "/scratch/mvtec"):
        add_cell(tracker, {"dataset.root": root}, test_images="1f")
    assert [*rows(read(tracker))] == ["bottle"]


def test_test_images_that_have_changed_are_warned_of(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    for value, digest in ((0.25, "1f"), (0.5, "2e")):
        add_cell(tracker, {}, metrics={"pro": value}, test_images=digest)
    with caplog.at_level(logging.WARNING):
        assert read(tracker)["value"].tolist() == [0.5]
    assert "the test images of bottle have changed between runs" in caplog.text


def test_cells_of_the_first_format_are_read(tracker: Tracker) -> None:
    member = json.dumps({"place": [0, 3], "overrides": ["method=uninformed_students"]})
    params = {"method.training.pretext.limit": 7, "trainer.precision": "fp32", "method.training.epochs": 5}
    earlier_cell(
        tracker,
        params,
        member=member,
        metrics={"pro": 0.5, "pretext_seconds": 3},
        pretext="20 train images of a, b",
    )
    earlier_cell(
        tracker, params, category="tile", member=member, pretext="9 images of natural images of cats"
    )
    cells = read(tracker)
    assert set(cells["metric"]) == {"pro", "pretraining_seconds"}
    assert cells["params"].iloc[0] == {
        "method.training.pretraining.limit": "7",
        "runtime.precision": "fp32",
        "method.training.epochs": "5",
    }
    first, last = cells.iloc[0], cells.iloc[-1]
    assert (first["pretraining_images"], first["pretraining_count"], first["group"]) == (
        "own",
        "20",
        "objects",
    )
    assert (last["pretraining_images"], last["pretraining_count"]) == ("natural images of cats", "9")
    assert last["group"] == "textures"
    assert (first["format"], first["changes"], first["variant"]) == ("", "", "")


def test_options_that_a_format_does_not_know_tell_nothing_apart(tracker: Tracker) -> None:
    old = {**PARAMS, "method.ensemble": "parallel", "trainer.precision": "fp32"}
    old.pop("runtime.precision")
    earlier_cell(tracker, old)
    add_cell(tracker, {"evaluation.new": 1}, category="cable")
    assert labels_of(tracker) == ["stfpm", "stfpm"]


def test_a_membership_that_mlflow_cut_ends_nothing(tracker: Tracker) -> None:
    earlier_cell(tracker, PARAMS, member='{"place": [4, 2], "overrides": ["dataset.categories=[aaa')
    ((_, member),) = cells_of(tracker.uri, "a")
    assert (member.job, member.place) == (4, 2)
    assert len(read(tracker)) == 1


def test_five_hundred_categories_with_long_names_are_read(tracker: Tracker) -> None:
    categories = tuple(f"{i:03}-" + "x" * 296 for i in range(500))
    plan = Plan("stfpm", (f"dataset.categories=[{','.join(categories)}]",), categories, "0" * 16)
    parent = tracker.sweep("a")
    parent.set_tags({"jobs": 1})
    tracker.announce_job(parent, 0, plan)
    for place in (0, 499):
        member = Member(0, place, plan.key)
        add_cell(tracker, {"dataset.categories": categories}, category=categories[place], member=member)
    assert read(tracker)["category"].tolist() == [categories[0], categories[499]]
    assert plans_of(tracker.uri, find_sweep(tracker.uri)) == {0: plan}
    for run in search(tracker.uri, "tags.kind LIKE '%'"):
        assert max(map(len, run.data.tags.values())) <= 5000


def test_plans_of_the_first_format_are_read_and_damaged_ones_left_out(
    tracker: Tracker, caplog: pytest.LogCaptureFixture
) -> None:
    parent = tracker.sweep("a")
    old = json.dumps({"title": "rd", "overrides": ["method=rd"], "categories": ["bottle"]})
    parent.set_tags({"jobs": 4, "job.0": old, "job.1": old[:-9], "job.2": old, "job.7": old})
    new = Plan("stfpm", (), ("cable",), "key")
    tracker.announce_job(parent, 2, new)
    parent.log_text("[]", "jobs/3.json")
    plans = plans_of(tracker.uri, find_sweep(tracker.uri))
    assert [*plans] == [0, 2]
    assert plans[0].categories == ("bottle",)
    assert plans[2] == new
    assert "jobs/3.json: the plan is damaged" in caplog.text


def test_plans_of_a_sweep_that_has_none_are_none(tracker: Tracker) -> None:
    tracker.sweep("a")
    assert plans_of(tracker.uri, find_sweep(tracker.uri)) == {}


def test_sweeps_are_found_by_name_and_the_latest_without_one(tracker: Tracker) -> None:
    for name in ("first", "second"):
        tracker.sweep(name)
    assert sweeps_of(tracker.uri) == ["first", "second"]
    assert find_sweep(tracker.uri).data.tags["sweep"] == "second"
    assert find_sweep(tracker.uri, "first").data.tags["sweep"] == "first"
    with pytest.raises(
        StoreError, match=r"no sweep 'frist' \(did you mean 'first'\?\).*known: first, second"
    ):
        find_sweep(tracker.uri, "frist")


def test_stores_that_are_empty_missing_or_damaged_are_named(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"mlflow\.db holds no sweep yet"):
        find_sweep(tracker.uri)
    missing = f"sqlite:///{tmp_path / 'none.db'}"
    with pytest.raises(StoreError, match=r"none\.db: there is no store yet"):
        sweeps_of(missing)
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "damaged.db").write_text("no database" * 200)
    with pytest.raises(StoreError, match=r"damaged\.db: the store cannot be read"):
        search(f"sqlite:///{tmp_path / 'damaged.db'}", "tags.kind = 'cell'")


def test_cells_that_ended_have_finished_or_failed(tracker: Tracker) -> None:
    for place, status in enumerate(("FINISHED", "FAILED", "KILLED", "RUNNING")):
        add_cell(tracker, {}, category=status, member=Member(0, place, "key"), status=status)
    assert ended(read(tracker))["status"].tolist() == ["FINISHED", "FAILED"]


def test_a_sweep_without_cells_has_an_empty_table(tracker: Tracker) -> None:
    tracker.sweep("a")
    cells = read(tracker)
    assert cells.empty
    assert tuple(cells.columns) == COLUMNS
