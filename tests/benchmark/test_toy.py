"""The toy of AST's figure 2: outside the training range a student of another architecture leaves its teacher."""

import re
from pathlib import Path

import pytest

from benchmark.toy import main
from benchmark.toy_networks import train_pairs
from reports.figures.toy import ToyPairs


@pytest.fixture(scope="module")
def pairs() -> ToyPairs:
    return ToyPairs(*train_pairs(range(5)))


def test_both_students_match_their_teachers_in_the_training_range(pairs: ToyPairs) -> None:
    for student in ("symmetric", "asymmetric"):
        assert pairs.distance(student, trained=True).max() < 1e-3


def test_outside_only_the_asymmetric_student_is_far_from_its_teacher(pairs: ToyPairs) -> None:
    symmetric, asymmetric = (pairs.distance(name, trained=False) for name in ("symmetric", "asymmetric"))
    assert (asymmetric > 5 * symmetric).all()


def test_the_command_writes_the_figure_and_its_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmark.toy_networks.STEPS", 20)
    assert main(["--out", str(tmp_path), "--seeds", "2"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.pdf", "toy.png"]
    assert re.search(r"median of 2 seeds: symmetric [\d.]+, asymmetric [\d.]+", capsys.readouterr().out)


def test_a_number_of_seeds_that_makes_no_sense_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--seeds", "0"])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("error: --seeds 0: expected 1 to 100")
