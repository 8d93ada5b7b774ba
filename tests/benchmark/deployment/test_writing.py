"""The folder of predictions: rows that are true at any time, files that never collide, nothing of others deleted."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from benchmark.deployment.inputs import Input
from benchmark.deployment.scoring import Broken, Result, Scored
from benchmark.deployment.writing import Output, check_output, plain_name, write_tiff
from benchmark.errors import BenchmarkError
from store.predictions import (
    ABOUT,
    HEAT_MAPS,
    MAPS,
    PREVIEWS,
    TABLE,
    About,
    Prediction,
    Threshold,
    read_about,
    read_predictions,
)

MADE = About({"detector": "toy"}, Threshold("f1_image", 0.5, 0.5, "of a test"))
FULL = OSError(28, "No space left on device")


def scored(file: Path, score: float, is_anomalous: bool | None = None) -> Scored:
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 20)).save(file)
    values = np.linspace(0, score, 64, dtype=np.float32).reshape(8, 8)
    return Scored(Input(file, is_anomalous), score, values, 0.25)


def write(
    folder: Path, results: Sequence[Result], about: About = MADE, resume: bool = False, raw: Any = "npy"
) -> list[Prediction]:
    with Output(folder, about, None, raw, resume=resume) as output:
        return output.add(results)


def rows(folder: Path) -> list[Prediction]:
    return list(read_predictions(folder / TABLE))


def test_a_row_has_score_verdict_and_the_paths_of_its_files(tmp_path: Path) -> None:
    out, image = tmp_path / "out", tmp_path / "test" / "dent" / "000.png"
    (row,) = write(out, [scored(image, 0.75, is_anomalous=True)])
    assert rows(out) == [row]
    assert row == Prediction(
        file=str(image),
        score=0.75,
        threshold=0.5,
        policy="f1_image",
        verdict="anomalous",
        seconds=0.25,
        label="anomalous",
        map_max=0.75,
        heat_map="heat_maps/000001-dent-000.png",
        map="maps/000001-dent-000.npy",
    )
    assert np.load(out / row.map).max() == np.float32(0.75)
    with Image.open(out / row.heat_map) as drawn:
        assert drawn.size == (40, 20)


def test_a_score_at_the_threshold_is_anomalous_and_without_threshold_there_is_no_verdict(
    tmp_path: Path,
) -> None:
    results = [scored(tmp_path / "a.png", 0.5), scored(tmp_path / "b.png", 0.25)]
    assert [row.verdict for row in write(tmp_path / "out", results)] == ["anomalous", "normal"]
    without = write(tmp_path / "none", results, replace(MADE, threshold=None))
    assert [(row.verdict, row.threshold, row.policy) for row in without] == [("", None, "")] * 2


def test_a_skipped_image_has_a_row_with_the_reason(tmp_path: Path) -> None:
    broken = Broken(Input(tmp_path / "a.png", is_anomalous=False), "a.png: empty")
    (row,) = write(tmp_path / "out", [broken])
    assert row == Prediction(str(tmp_path / "a.png"), label="normal", error="a.png: empty")


def test_an_image_that_has_gone_since_it_was_scored_keeps_its_score(tmp_path: Path) -> None:
    result = scored(tmp_path / "a.png", 0.75)
    result.input.file.unlink()
    (row,) = write(tmp_path / "out", [result])
    assert (row.score, row.verdict, row.heat_map) == (0.75, "anomalous", "")
    assert row.error == f"{tmp_path / 'a.png'}: there is no such file"


def test_files_never_collide_whatever_the_images_are_called(tmp_path: Path) -> None:
    names = ["a/x.png", "b/a/x.png", "A/X.png", "a/x.tif", "ö ö/<b>.png", "ö ö/%2e.png", "n" * 250 + ".png"]
    out = tmp_path / "out"
    found = write(out, [scored(tmp_path / name, 0.75) for name in names])
    paths = [path for row in found for path in (row.heat_map.casefold(), row.map.casefold())]
    assert len(set(paths)) == 2 * len(names)
    assert all((out / row.heat_map).is_file() and (out / row.map).is_file() for row in found)
    assert [row.file for row in rows(out)] == [str(tmp_path / name) for name in names]


def test_a_name_holds_only_what_every_file_system_and_address_can() -> None:
    assert plain_name(Path("../größe/a b\n<c>.png")) == "größe-a_b_c"
    assert plain_name(Path("日本.png")) == "日本"


def test_all_heat_maps_share_one_scale_which_is_recorded(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Output(out, MADE, None, "none") as output:
        assert read_about(out).colours is None
        output.add([scored(tmp_path / "a.png", 0.25)])
        first = read_about(out).colours
        output.add([scored(tmp_path / "b.png", 4.0)])
    assert first is not None
    assert read_about(out).colours == first
    assert not (out / MAPS).exists()


def test_a_map_as_tiff_comes_back_by_the_numbers_in_its_tag(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 5, (9, 7)).astype(np.float32)
    for name, each in (("a.tiff", values), ("constant.tiff", np.full_like(values, -2.5))):
        write_tiff(tmp_path / name, each)
        with tifffile.TiffFile(tmp_path / name) as file:
            scale = json.loads(file.pages[0].tags["ImageDescription"].value)  # type: ignore[union-attr]
            pixels = file.asarray()
        assert pixels.dtype == np.uint16
        restored = scale["offset"] + scale["step"] * pixels.astype(np.float64)
        np.testing.assert_allclose(restored, each, atol=float(np.ptp(each)) / 2**16)


def test_earlier_predictions_are_replaced_as_a_whole(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, [scored(tmp_path / f"{i}.png", 0.75) for i in range(3)])
    write(out, [scored(tmp_path / "9.png", 0.75)])
    assert [Path(row.file).name for row in rows(out)] == ["9.png"]
    assert [len(list((out / name).iterdir())) for name in (HEAT_MAPS, MAPS, PREVIEWS)] == [1, 1, 1]


@pytest.mark.parametrize("content", ["notes.txt", "heat_maps/a.png", "predictions.csv"])
def test_a_folder_with_anything_else_is_refused_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    (tmp_path / content).parent.mkdir(exist_ok=True)
    (tmp_path / content).write_text("mine")
    with pytest.raises(
        BenchmarkError, match=r"--out .*: found .*; expected a folder, new, empty or with earlier"
    ):
        check_output(tmp_path)
    with pytest.raises(BenchmarkError, match="expected a folder"):
        write(tmp_path, [])
    assert (tmp_path / content).read_text() == "mine"


def test_a_file_and_a_link_in_the_place_of_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BenchmarkError, match="found a file"):
        check_output(tmp_path / "file")
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    write(out, [])
    elsewhere.mkdir()
    (out / HEAT_MAPS).rmdir()
    (out / HEAT_MAPS).symlink_to(elsewhere)
    with pytest.raises(BenchmarkError, match=f"found {HEAT_MAPS}"):
        check_output(out)


def test_a_folder_that_is_being_written_is_refused(tmp_path: Path) -> None:
    with Output(tmp_path / "out", MADE, None, "none") as output:
        with pytest.raises(BenchmarkError, match="another command writes to this folder"):
            write(tmp_path / "out", [])
        output.add([scored(tmp_path / "a.png", 0.75)])
    assert len(rows(tmp_path / "out")) == 1


def test_a_full_disk_leaves_the_rows_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    with Output(out, MADE, None, "npy") as output:
        output.add([scored(tmp_path / "a.png", 0.75)])

        def fail(*_: object) -> None:
            raise FULL

        monkeypatch.setattr("benchmark.deployment.writing.np.save", fail)
        with pytest.raises(OSError, match="No space left"):
            output.add([scored(tmp_path / "b.png", 0.75)])
    assert [Path(row.file).name for row in rows(out)] == ["a.png"]


def test_predictions_are_continued_with_the_scale_that_they_have(tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = write(out, [scored(tmp_path / "a.png", 0.25), Broken(Input(tmp_path / "b.png"), "b.png: empty")])
    scale = read_about(out).colours
    with Output(out, MADE, None, "npy", resume=True) as output:
        assert output.earlier == {str(tmp_path / "a.png")}
        second = output.add([scored(tmp_path / "c.png", 4.0)])
    assert rows(out) == first + second
    assert second[0].heat_map.startswith(f"{HEAT_MAPS}/000003-")
    assert read_about(out).colours == scale


def test_a_row_that_a_power_cut_has_halved_is_written_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, [scored(tmp_path / f"{i}.png", 0.25) for i in range(2)])
    whole = (out / TABLE).read_bytes()
    (out / TABLE).write_bytes(whole[:-20])
    with Output(out, MADE, None, "npy", resume=True) as output:
        assert output.earlier == {str(tmp_path / "0.png")}
        output.add([scored(tmp_path / "1.png", 0.25)])
    assert (out / TABLE).read_bytes() == whole


def test_predictions_of_another_detector_are_not_continued(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, [scored(tmp_path / "a.png", 0.25)])
    with pytest.raises(BenchmarkError, match="another detector or threshold"):
        write(out, [], replace(MADE, threshold=None), resume=True)
    (out / ABOUT).write_text("{}")
    with pytest.raises(ValueError, match="not a description of predictions"):
        write(out, [], resume=True)
