"""A folder that fills up: each image once, when it is complete."""

from pathlib import Path

import pytest

from benchmark.deployment.watching import PATIENCE, Watched


def watched(folder: Path, needs_depth: bool = False, done: tuple[str, ...] = ()) -> Watched:
    return Watched(folder, ("good",), None, folder / "out", needs_depth, done)


def polled(folder: Watched) -> list[str]:
    return [each.file.name for each in folder.poll()]


def test_an_image_is_returned_once_it_has_not_changed_between_two_polls(tmp_path: Path) -> None:
    folder, file = watched(tmp_path), tmp_path / "a.png"
    assert polled(folder) == []
    file.write_bytes(b"one")
    assert polled(folder) == []
    file.write_bytes(b"longer")
    assert polled(folder) == []
    assert polled(folder) == ["a.png"]


def test_a_finished_image_never_comes_again(tmp_path: Path) -> None:
    folder = watched(tmp_path)
    (tmp_path / "a.png").write_bytes(b"one")
    folder.poll()
    (found,) = folder.poll()
    folder.finish(found)
    (tmp_path / "a.png").write_bytes(b"another under the same name")
    assert [polled(folder) for _ in range(3)] == [[], [], []]


def test_images_that_were_scored_before_are_left_out(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"one")
    folder = watched(tmp_path, done=(str(tmp_path / "a.png"),))
    folder.poll()
    assert polled(folder) == ["b.png"]


def test_an_unreadable_image_is_given_up_after_some_polls_and_comes_again_if_it_changes(
    tmp_path: Path,
) -> None:
    folder, file = watched(tmp_path), tmp_path / "a.png"
    file.write_bytes(b"a part")
    folder.poll()
    given_up = []
    for _ in range(PATIENCE):
        (found,) = folder.poll()
        given_up.append(folder.gives_up(found))
    assert given_up == [False] * (PATIENCE - 1) + [True]
    assert [polled(folder) for _ in range(3)] == [[], [], []]
    file.write_bytes(b"a part and the rest")
    assert [polled(folder) for _ in range(2)] == [[], ["a.png"]]


def test_an_image_waits_for_its_point_cloud(tmp_path: Path) -> None:
    folder = watched(tmp_path, needs_depth=True)
    for name in ("rgb/a.png", "xyz/a.tiff"):
        folder.poll()
        assert polled(folder) == []
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"one")
    folder.poll()
    (found,) = folder.poll()
    assert found.xyz == tmp_path / "xyz/a.tiff"


def test_a_file_that_is_moved_away_is_forgotten(tmp_path: Path) -> None:
    folder, file = watched(tmp_path), tmp_path / "a.png"
    file.write_bytes(b"one")
    folder.poll()
    file.unlink()
    assert polled(folder) == []
    file.write_bytes(b"one")
    assert polled(folder) == []
    assert polled(folder) == ["a.png"]


def test_labels_stay_when_the_normal_images_are_finished(tmp_path: Path) -> None:
    for name in ("good/a.png", "dent/b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"one")
    folder = watched(tmp_path)
    folder.poll()
    dent, good = folder.poll()
    folder.finish(good)
    assert [each.is_anomalous for each in folder.poll()] == [dent.is_anomalous] == [True]


@pytest.mark.parametrize("name", ["out/heat_maps/a.png", ".hidden.png", "note.txt"])
def test_other_files_are_ignored(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"one")
    folder = watched(tmp_path)
    folder.poll()
    assert polled(folder) == []
