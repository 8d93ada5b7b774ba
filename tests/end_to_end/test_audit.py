"""An audit looks at test images after every epoch, and leaves the results of the cells as they are."""

from pathlib import Path

import pytest
from mlflow.entities import Run

from store.audits import Audit, audit_file, audits_of
from store.table import find_sweep
from tests.end_to_end.command import QUICK, TAKEN, Outcome, run_here

EPOCHS = 2
CELLS = (
    *("method=stfpm,ast", "seed=0", "dataset.categories=[washer]", *QUICK),
    *(
        "dataset.train=10",
        "dataset.test_good=4",
        f"method.training.epochs={EPOCHS}",
        "evaluation.batch_size=4",
    ),
    *("method.training.validation_fraction=0.2", "evaluation.threshold=train_quantile"),
)
AUDIT = ("-m", "experiment=audit", *CELLS)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture
def audited(results: Path, capfd: pytest.CaptureFixture[str]) -> Outcome:
    """Return a store with an audited sweep; the first test that needs it runs it."""
    if not (results / "mlflow.db").exists():
        outcome = run_here(results, capfd, *AUDIT, "sweep=watched")
        assert outcome.code == 0, outcome.stderr
        (results / "stdout.txt").write_text(outcome.stdout)
    return Outcome(0, (results / "stdout.txt").read_text(), "", results)


def cells_of(outcome: Outcome) -> dict[str, Run]:
    return {str(run.data.tags["method"]): run for run in outcome.runs("cell")}


def audits(outcome: Outcome) -> dict[str, Audit]:
    found = audits_of(outcome.uri, ["watched"])
    return {name: found[run.data.tags["identity"]] for name, run in cells_of(outcome).items()}


def test_an_audit_adds_nothing_to_the_cells(audited: Outcome) -> None:
    assert len(audited.runs("cell")) == 2
    for run in audited.runs("cell"):
        assert not any("audit" in name for name in (*run.data.metrics, *run.data.tags, *run.data.params))


def test_the_training_that_is_watched_is_the_one_of_the_cell(audited: Outcome) -> None:
    """The look after the epoch that the cell kept gives its image AUROC, with equal weights and calibration."""
    kept = {"ast": EPOCHS, "stfpm": 0}
    for name, run in cells_of(audited).items():
        found = audits(audited)[name]
        assert list(found.image_auroc) == [1, 2]
        epoch = kept[name] or int(run.data.metrics["student/best_epoch"])
        assert found.image_auroc[epoch] == run.data.metrics["image_auroc"]


def test_the_table_has_honest_values_and_those_chosen_on_test_images(audited: Outcome) -> None:
    parent = find_sweep(audited.uri, "watched")
    table = audited.artifact(parent, "tables/audit.csv").read_text().splitlines()
    assert table[0] == "method,chosen on test images,measure,honest,so chosen,difference,cells"
    found = {tuple(line.split(",")[:3]): [*map(float, line.split(",")[3:])] for line in table[1:]}
    assert len(found) == 6
    for (name, choice, measure), (honest, chosen, difference, cells) in found.items():
        run = cells_of(audited)[name]
        assert honest == pytest.approx(run.data.metrics[measure])
        assert (chosen - honest, cells) == (pytest.approx(difference), 1)
        assert difference >= 0
        if choice == "epoch":
            assert chosen == max(audits(audited)[name].image_auroc.values())
    assert "Audit: what choices on test images are worth" in audited.stdout


def test_the_cells_are_those_of_a_sweep_without_an_audit(
    audited: Outcome, capfd: pytest.CaptureFixture[str]
) -> None:
    plain = run_here(audited.results, capfd, "-m", *CELLS, "sweep=plain")
    assert plain.code == 0, plain.stderr
    assert plain.stdout.count(TAKEN) == 2
    assert "Audit: what choices" not in plain.stdout


@pytest.mark.slow
def test_an_audit_that_is_resumed_trains_nothing(audited: Outcome, capfd: pytest.CaptureFixture[str]) -> None:
    again = run_here(audited.results, capfd, *AUDIT, "sweep=watched")
    assert again.code == 0, again.stderr
    assert "trains for" not in again.stdout
    assert "Audit: what choices" in again.stdout


def test_a_damaged_audit_is_left_out(audited: Outcome, caplog: pytest.LogCaptureFixture) -> None:
    parent = find_sweep(audited.uri, "watched")
    audited.client.log_text(parent.info.run_id, "{", audit_file("damaged"))
    assert len(audits_of(audited.uri, ["watched"])) == 2
    assert "audits/damaged.json of sweep watched is damaged" in caplog.text
