"""A command that cannot be meant: exit code 2, one line that names the mistake, and nothing has started."""

from pathlib import Path

import pytest

import run_benchmark
from tests.end_to_end.command import QUICK, Outcome, run_here
from tests.end_to_end.malformed import CONFIG_DIR, Malformed, malformed_commands

WORKS = ("method=stfpm", "dataset.categories=[washer]", "runtime.threads=1", *QUICK)
STARTED = ("trains for", "epoch", "finished before")


def mistakes_of(outcome: Outcome, case: Malformed, folder: Path) -> list[str]:
    """Return what is wrong with the answer to a malformed command."""
    lines = [line for line in outcome.stderr.splitlines() if line.strip()]
    cells = outcome.runs("cell") if (outcome.results / "mlflow.db").exists() else []
    found = {
        f"exit code {outcome.code}": outcome.code != 2,
        f"{len(lines)} lines on stderr": len(lines) != 1,
        "no error": not (lines and lines[0].startswith("error: ")),
        "a traceback": "Traceback" in outcome.stdout + outcome.stderr,
        "a cell": bool(cells),
        "work": any(sign in outcome.stdout for sign in STARTED),
        "files": bool({path.name for path in folder.iterdir()} - {"conf", "results"}),
        "names nothing": not all(name in outcome.stderr for name in case.names),
    }
    return [mistake for mistake, present in found.items() if present]


def answer(
    case: Malformed, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[Outcome, list[str]]:
    """Run a command in an empty folder; return its outcome and what is wrong with it."""
    for name, content in case.files.items():
        file = folder / "conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(run_benchmark, "PROJECT_ROOT", folder)  # of the usual results_dir
    arguments = [argument.replace(CONFIG_DIR, str(folder / "conf")) for argument in case.arguments]
    flags = [argument for argument in arguments if argument in ("-m", "--run", "--multirun")]
    others = [argument for argument in arguments if argument not in flags]
    outcome = run_here(folder / "results", capfd, *flags, *WORKS, *others)
    return outcome, mistakes_of(outcome, case, folder)


@pytest.mark.parametrize("case", malformed_commands(25, seed=1), ids=str)
def test_a_malformed_command_is_answered_in_one_line(
    case: Malformed, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome, mistakes = answer(case, tmp_path, capfd, monkeypatch)
    assert not mistakes, outcome.stderr


def test_the_same_seed_gives_the_same_commands_and_another_one_others() -> None:
    assert malformed_commands(50) == malformed_commands(50)
    assert malformed_commands(50) != malformed_commands(50, seed=1)
    assert len(set(map(str, malformed_commands(200)))) == 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_malformed_commands(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = []
    for number, case in enumerate(malformed_commands(200)):
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome, mistakes = answer(case, folder, capfd, monkeypatch)
        last = (outcome.stderr.strip().splitlines() or ["-"])[-1]
        with capfd.disabled():
            print(f"{', '.join(mistakes) or 'ok':30} | {case} | {last[:200]}", flush=True)
        if mistakes:
            wrong.append(str(case))
    assert not wrong
