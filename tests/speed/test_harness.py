"""The harness itself: its figures and tables are right, and no failure is dropped. No timing is judged."""

import sys
from pathlib import Path

import pytest

from tests.conftest import PROJECT_ROOT
from tests.speed.__main__ import Part, headline_table, headlines, run_part, summary
from tests.speed.commands import SpeedError, measured, rounds
from tests.speed.growth import exponent
from tests.speed.inputs import GENERATED, prepare
from tests.speed.least import work_of
from tests.speed.pairs import SCORE, Pair, plot, read, row, write
from tests.speed.peers import peers_python
from tests.speed.training import Found, Usage, compare

ALLOCATE = "import time; held = bytearray(%d); held[::4096] = b'x' * len(held[::4096]); time.sleep(0.6)"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]], check=True)"


def test_the_memory_of_a_child_counts() -> None:
    usage = measured([sys.executable, "-c", PARENT, ALLOCATE % 200_000_000])
    assert 200 < usage.peak_mb < 300
    assert usage.seconds > 0.6


def test_a_command_that_fails_is_an_error_with_its_last_words() -> None:
    with pytest.raises(SpeedError, match="no such thing"):
        measured([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_a_command_that_hangs_is_stopped() -> None:
    with pytest.raises(SpeedError, match="code -9"):
        measured([sys.executable, "-c", "import time; time.sleep(60)"], timeout=0.3)


def test_rounds_take_turns() -> None:
    order: list[str] = []
    rounds({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b", "a", "b"]


def test_a_ratio_is_of_medians_and_above_one_where_this_suite_needs_less() -> None:
    assert Pair("x", "s", [1, 2, 9], [8, 100, 7]).ratio == 4
    assert Pair("x", "s", [1]).ratio is None
    assert row(Pair("x", SCORE, [0.75], [0.5]))["other / this"] == "+0.250"


def test_a_difference_that_is_lost_in_noise_has_no_ratio_and_says_so() -> None:
    pair = Pair("an epoch", "s", [-0.1], [2.0])
    assert pair.ratio is None
    assert "noise" in row(pair)["note"]


def test_an_epoch_and_the_fixed_cost_come_from_a_subtraction() -> None:
    values = {"image_auroc": 1.0, "pixel_auroc": 1.0, "pro": 1.0, "train_seconds": 1.0, "after_seconds": 1.0}

    def found(seconds: float) -> list[Found]:
        return [Found(Usage(seconds, 100), values)]

    few, more = (
        {("bf16", "ours"): found(10 + 2 * n), ("fp32", "theirs"): found(20 + 12 * n)} for n in (1, 4)
    )
    epoch, fixed = compare(few, more, ("bf16", "fp32"), "", [1, 4], {"an epoch": 0.5})[:2]
    assert (list(epoch.ours), list(epoch.theirs)) == ([2], [12])
    assert (list(fixed.ours), list(fixed.theirs)) == ([10], [20])
    assert row(epoch)["at most"] == "24.00 (25% reached)"
    assert row(fixed)["at most"] == "–"


def test_the_work_of_a_training_is_that_of_its_passes() -> None:
    """A step takes three times the work of a pass, but twice in the first layer: images need no gradient."""
    teacher = 1.84e9 / 16  # ResNet-18 to layer3 at 64 pixels
    work = work_of("stfpm", 64, 2, 2 * teacher)
    assert work.teacher == pytest.approx(teacher, rel=0.01)
    assert work.process(2, 3, 1, 5) == 2 * work.epoch(3, 1) + 9 * work.teacher + 5 * work.student
    assert work.step == 3 * work.teacher - 32 * 32 * 64 * 3 * 7**2


def test_pairs_survive_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = [Pair("x", "s", [1.0, 2.0], [3.0], "peer", "note")]
    write(tmp_path / "x.json", "x", pairs)
    assert read(tmp_path / "x.json") == pairs
    assert "peer" in capsys.readouterr().out


def test_a_part_that_fails_is_listed_with_its_reason(tmp_path: Path) -> None:
    part = run_part("precision", {"data": str(tmp_path / "nowhere"), "weights": "random"}, tmp_path, [])
    assert "nowhere" in part.problem
    page = summary({"precision": part, "start": Part("output", [], "", 1)}, ["peers: none"])
    assert "precision failed" in page
    assert "missing: peers: none" in page


@pytest.mark.slow
def test_memory_of_a_test_set_grows_from_step_to_step(tmp_path: Path) -> None:
    part = run_part("memory", {}, tmp_path, ["--images", "4", "--side", "32"])
    assert part.problem == ""
    start, *steps = [pair.ours[0] for pair in part.pairs]
    assert start > 0
    assert len(steps) == 3
    assert steps == sorted(steps)


def test_the_page_on_speed_shows_what_was_measured_and_nothing_else() -> None:
    record = PROJECT_ROOT / "tests" / "speed" / "record"
    assert (record / "headlines.md").read_text().strip() in (PROJECT_ROOT / "docs" / "speed.md").read_text()


def test_headlines_are_comparisons_whole_trainings_first() -> None:
    pairs = [
        Pair("command to first training step", "s", [1.0], [2.0], "peer"),
        Pair("command to first training step, cold caches", "s", [1.0]),
        Pair("an epoch, rd fp32", "s", [1]),
        Pair("an epoch, stfpm fp32", "s", [1], [6], "peer"),
        Pair("peak memory, 8 cells of stfpm and rd", "MB", [1], [2]),
    ]
    kept = headlines(pairs)
    assert [pair.what for pair in kept] == ["an epoch, stfpm fp32", "command to first training step"]
    assert "6.00" in headline_table(kept)


def test_a_part_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    assert "there is no" in run_part("nothing", {}, tmp_path, []).problem


def test_without_ratios_nothing_is_drawn(tmp_path: Path) -> None:
    assert not plot([Pair("x", "s", [1.0])], tmp_path / "plot.png")
    assert plot([Pair("x", "s", [1.0], [2.0])], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 0


def test_an_exponent_needs_two_points_above_what_is_fixed() -> None:
    assert exponent([1, 2, 4], [2, 3, 5], fixed=1) == pytest.approx(1)
    assert exponent([1, 2], [1, 3], fixed=1) != exponent([1, 2], [1, 3], fixed=1)  # NaN


def test_generated_inputs_are_two_categories_and_a_category_itself_may_be_named(tmp_path: Path) -> None:
    made = prepare(None, "random", tmp_path, images=30, side=32)
    assert made.categories == GENERATED
    assert len(list((made.root / "washer" / "train" / "good").iterdir())) == 24
    named = prepare(made.root / "weave", str(made.weights), tmp_path)
    assert (named.root, named.categories) == (made.root, ("weave",))
    with pytest.raises(SpeedError, match="--weights"):
        prepare(made.root, str(tmp_path / "none.pth"), tmp_path)


def test_an_environment_without_the_peers_is_refused() -> None:
    with pytest.raises(SpeedError, match="expected"):
        peers_python(Path(sys.executable))
