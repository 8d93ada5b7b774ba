"""A report is made of the files that are left, and names those that are damaged or lost."""

from pathlib import Path

import numpy as np

from reports.summary import attach_report
from store.files import write_pictures
from store.plan import MEMBER, Member
from store.tracker import Tracker
from tests.store.made import PARAMS, open_tracker
from tests.store.test_files import NAMES, write_all


def add_cell(tracker: Tracker, method: str, job: int) -> Path:
    """Write a finished cell with all files and return their folder."""
    parent = tracker.sweep("a")
    tags = {
        **{
            "sweep": "a",
            "method": method,
            "mode": "rgb",
            "dataset": "mvtec_ad",
            "category": "bottle",
            "seed": 0,
        },
        **{"protocol": "paper", "backbone": "resnet18.tv_in1k", "weights": "imagenet", "fpr_limit": 0.3},
        **{"threshold_policy": "f1_image", "git_commit": "0" * 40, "git_dirty": "false"},
        MEMBER + "a": Member(job, 0, method),
    }
    run = tracker.start_cell(parent, method, tags)
    run.log_params(PARAMS)
    pending = tracker.new_pending(run, parent, method, method, tags)
    measures = {"image_auroc": 0.9, "pixel_auroc": 0.8, "pro": 0.7, "dice": 0.6, "f1": 0.5}
    pending.add_metrics({**measures, "threshold": 0.5, "image_threshold": 0.5, "train_seconds": 2.0})
    write_all(pending.files)
    write_pictures(pending.files, np.zeros((5, 16, 16, 3), np.uint8), np.zeros((5, 16, 16), bool), NAMES)
    pending.save()
    tracker.send(pending)
    return Path(str(tracker.client.get_run(run.run_id).info.artifact_uri).removeprefix("file://"))


def test_a_report_is_made_of_the_files_that_are_left(tmp_path: Path) -> None:
    tracker = open_tracker(tmp_path)
    ast, stfpm = (add_cell(tracker, name, job) for job, name in enumerate(("ast", "stfpm")))
    (ast / "maps.npz").write_bytes((ast / "maps.npz").read_bytes()[:1000])
    (ast / "scores.csv").write_bytes(b"\xff" * 100)
    (stfpm / "curves.csv").unlink()
    written = attach_report(tracker.uri, "a", tmp_path / "report")
    assert written is not None
    text = written.page.read_text()
    assert f"Damaged and left out: {ast / 'maps.npz'}" in text
    assert f"Damaged and left out: {ast / 'scores.csv'}" in text
    assert "whose artifacts lack the files: stfpm (1)" in text
