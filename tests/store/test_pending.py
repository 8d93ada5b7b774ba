"""Results that wait on disk come back as they were saved; damage is named."""

import json
import math
from pathlib import Path

import pytest

from store.errors import StoreError
from store.pending import Pending, load_pending, new_pending, pending_folders

RUN = {"id": "1", "name": "stfpm bottle", "uri": "sqlite:///x", "experiment": "test", "tags": {"seed": "0"}}


@pytest.fixture
def pending(tmp_path: Path) -> Pending:
    pending = new_pending(tmp_path / "pending" / "key", dict(RUN))
    pending.add_metrics({"pro": 0.1, "dice": math.nan, "threshold": math.inf})
    pending.metrics["student/loss"] = {1: 2.0, 2: 1 / 3}
    pending.tags["missing"] = "pro: no mask"
    (pending.files / "scores.csv").write_text("image\r\n")
    (pending.files / "folder").mkdir()
    (pending.files / "folder" / "note.txt").write_text("hello")
    pending.save()
    return pending


def test_a_record_comes_back(pending: Pending) -> None:
    found = load_pending(pending.folder)
    assert found == pending
    assert found.metrics == {"pro": {0: 0.1}, "threshold": {0: math.inf}, "student/loss": {1: 2.0, 2: 1 / 3}}
    assert [*found.digests] == ["folder/note.txt", "scores.csv"]


def test_a_record_that_was_not_saved_is_none(pending: Pending) -> None:
    (pending.folder / "cell.json").unlink()
    assert load_pending(pending.folder) is None
    assert load_pending(pending.folder.parent / "none") is None


def test_a_new_record_replaces_an_old_one(pending: Pending) -> None:
    assert not [*new_pending(pending.folder, dict(RUN)).files.iterdir()]


def test_a_record_that_cannot_be_deleted_is_reported_and_is_no_error(
    pending: Pending, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    pending.discard()
    assert f"{pending.folder}: cannot be deleted (Permission denied)" in caplog.text


def test_a_record_that_was_discarded_is_gone(pending: Pending) -> None:
    pending.discard()
    assert not pending.folder.exists()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        json.dumps({"run": RUN, "metrics": {"pro": 0.5}, "tags": {}}),
        json.dumps({"run": RUN, "metrics": {"pro": {"0": None}}, "tags": {}}),
        json.dumps({"run": {"id": "1"}, "metrics": {}, "tags": {}}),
        json.dumps({"run": RUN, "metrics": {}, "tags": []}),
        '{"run": {"id": "1',
    ],
)
def test_a_damaged_index_is_named(pending: Pending, text: str) -> None:
    (pending.folder / "cell.json").write_text(text)
    with pytest.raises(StoreError, match=r"pending/key/cell\.json: damaged \("):
        load_pending(pending.folder)


def test_an_index_that_is_not_text_is_named(pending: Pending) -> None:
    (pending.folder / "cell.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match=r"cell\.json: damaged"):
        load_pending(pending.folder)


def test_a_file_that_has_changed_or_is_gone_is_named(pending: Pending) -> None:
    (pending.files / "scores.csv").write_text("imagf\r\n")
    with pytest.raises(StoreError, match=r"files/scores\.csv: damaged \(its content has changed\)"):
        load_pending(pending.folder)
    (pending.files / "scores.csv").unlink()
    with pytest.raises(StoreError, match=r"files/scores\.csv: damaged \(missing\)"):
        load_pending(pending.folder)


def test_records_of_earlier_versions_are_found(pending: Pending, tmp_path: Path) -> None:
    old = tmp_path / "unsent" / "old"
    old.mkdir(parents=True)
    (old / "draft.json").write_text(json.dumps({"run": RUN, "metrics": {}, "tags": {}}))
    (tmp_path / "pending" / "incomplete").mkdir()
    assert pending_folders(tmp_path) == [pending.folder, old]
    assert load_pending(old) == Pending(old, RUN)
