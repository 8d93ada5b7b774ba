"""The command line of `python -m benchmark.predict`: what it means, and mistakes in one line."""

from pathlib import Path

import pytest

from benchmark.deployment.options import read_options


def test_the_detector_comes_first_and_images_after_it_wherever_options_stand() -> None:
    options = read_options(["--out", "o", "runs:/1", "a.png", "--raw", "tiff", "photos"])
    assert (options.detector, options.images) == ("runs:/1", (Path("a.png"), Path("photos")))
    assert (options.out, options.raw) == (Path("o"), "tiff")


@pytest.mark.parametrize(
    "chosen", [["--sweep", "x"], ["--method", "rd"], ["--category", "c"], ["--seed", "0"]]
)
def test_a_cell_takes_the_place_of_the_detector(chosen: list[str]) -> None:
    options = read_options([*chosen, "a.png", "b.png", "--out", "o"])
    assert (options.detector, options.images) == (None, (Path("a.png"), Path("b.png")))


def test_thresholds_from_images_are_a_quantile_unless_sigma_is_given() -> None:
    common = ["d", "a.png", "--out", "o", "--threshold-from", "good"]
    assert read_options(common).quantile == 0.995
    by_sigma = read_options([*common, "--sigma", "3"])
    assert (by_sigma.quantile, by_sigma.sigma) == (None, 3)


def test_names_of_normal_folders_are_separated_by_commas() -> None:
    options = read_options(["d", "a.png", "--out", "o", "--normal-names", "gut, io ,"])
    assert options.normal_names == ("gut", "io")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["d", "a.png"], "--out"),
        (["--out", "o"], "no detector: expected a folder, a run's id"),
        (["d", "--out", "o"], "no images: expected files or folders after the detector"),
        (["--method", "rd", "--out", "o"], "no images"),
        (["d", "a.png", "--out", "o", "--batchsize", "3"], "unrecognized arguments: --batchsize"),
        (["d", "a.png", "--out", "o", "--batch", "3"], "unrecognized arguments: --batch"),
        (["d", "a.png", "--out", "o", "--raw", "jpg"], "--raw"),
        (["d", "a.png", "--out", "o", "--batch-size", "0"], "--batch-size 0: expected 1 or more"),
        (["d", "a.png", "--out", "o", "--watch", "in"], "--watch in: found other images, too (a.png)"),
        (["d", "--out", "o", "--watch", "in", "--poll", "0"], "--poll 0: expected seconds, above 0"),
        (["d", "a.png", "--out", "o", "--quantile", "0.9"], "belong to --threshold-from FOLDER"),
        (
            ["d", "a.png", "--out", "o", "--threshold-from", "g", "--quantile", "95"],
            "--quantile 95: expected",
        ),
        (["d", "a.png", "--out", "o", "--threshold-from", "g", "--sigma", "nan"], "--sigma nan: expected"),
        (
            ["d", "a.png", "--out", "o", "--threshold-from", "g", "--sigma", "3", "--quantile", "0.9"],
            "found both --quantile and --sigma",
        ),
        (
            ["d", "a.png", "--out", "o", "--threshold-from", "g", "--policy", "dice_max"],
            "found both --policy and --threshold-from",
        ),
    ],
)
def test_a_mistake_ends_the_command_with_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as end:
        read_options(arguments)
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert line.endswith("see python -m benchmark.predict --help")
