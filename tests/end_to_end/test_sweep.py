"""The command of the README, on generated data, and everything that it leaves in the store."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.torch import load_file

from benchmark.deployment.finding import find_cell
from benchmark.errors import BenchmarkError
from benchmark.predict import main as predict
from reports.__main__ import main as reports
from store.display_names import method_name
from store.files import read_maps, read_scores
from store.folders import verify
from store.predictions import PAGE, TABLE, read_predictions
from tests.end_to_end.command import TINY, Outcome, run, run_here

METHODS, CATEGORIES = ("rd", "stfpm"), ("granite", "washer")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    results = tmp_path_factory.mktemp("results")
    chosen = f"dataset.categories=[{','.join(CATEGORIES)}]"
    outcome = run(
        results, "-m", f"method={','.join(METHODS)}", chosen, "sweep=first", "tracking.report=true", *TINY
    )
    assert outcome.code == 0, outcome.stderr
    return outcome


def test_every_cell_is_a_finished_run_under_one_parent(sweep: Outcome) -> None:
    (parent,) = sweep.runs("sweep")
    cells = sweep.runs("cell")
    assert {(run.data.tags["method"], run.data.tags["category"]) for run in cells} == {
        (method, category) for method in METHODS for category in CATEGORIES
    }
    assert {run.data.tags["mlflow.parentRunId"] for run in cells} == {parent.info.run_id}
    assert {run.info.status for run in [parent, *cells]} == {"FINISHED"}


def test_every_measure_and_cost_is_logged(sweep: Outcome) -> None:
    for cell in sweep.runs("cell"):
        expected = {
            "image_auroc",
            "image_ap",
            "image_f1",
            "image_precision",
            "image_recall",
            "pixel_auroc",
            "pixel_ap",
            "pro",
            "dice",
            "dice_image",
        }
        expected |= {"dice_max", "threshold", "image_threshold", "dice_max_threshold"}
        expected |= {f"{name}/f1_image" for name in ("misses", "false_alarms")}
        expected |= {"anomalous_images", "normal_images", "held_out_images"}
        expected |= {"train_seconds", "train_images_per_second", "parameters"}
        expected |= {"multiply_adds", "peak_memory_gb"}
        expected |= {"inference_seconds_single", "inference_seconds_batched", "inference_images_per_second"}
        assert expected <= set(cell.data.metrics)
        assert all(
            0 <= cell.data.metrics[name] <= 1 for name in ("image_auroc", "pixel_auroc", "pro", "dice")
        )


def test_inference_is_timed_in_the_first_cell_of_each_job(sweep: Outcome) -> None:
    names = ("inference_seconds_single", "inference_seconds_batched", "multiply_adds")
    for method in METHODS:
        runs = [cell.data for cell in sweep.runs("cell") if cell.data.tags["method"] == method]
        assert len({tuple(data.metrics[name] for name in names) for data in runs}) == 1
        assert {data.tags["timed_category"] for data in runs} == {CATEGORIES[0]}


def test_the_loss_curve_has_a_point_per_epoch(sweep: Outcome) -> None:
    for cell in sweep.runs("cell"):
        history = sweep.client.get_metric_history(cell.info.run_id, "student/loss")
        assert [point.step for point in history] == [1, 2]


def test_each_run_records_its_circumstances(sweep: Outcome) -> None:
    for cell in sweep.runs("cell"):
        tags = cell.data.tags
        assert tags["protocol"] == "quick"
        assert tags["weights"] == "package"
        assert tags["teacher"].startswith("tf_efficientnet_lite0.in1k/blocks.1+blocks.2+blocks.4:")
        assert {"torch", "cpu", "git_commit", "git_dirty", "test_images", "identity", "training_key"} <= set(
            tags
        )
        assert tags["format"] == "2"
        assert cell.data.params["method.training.epochs"] == "2"
        config = yaml.safe_load(sweep.artifact(cell, "config.yaml").read_text())
        assert config["method"]["training"]["image_size"] == 64


def test_the_measures_can_be_computed_again_from_the_logged_scores_and_maps(sweep: Outcome) -> None:
    from metrics import image_auroc

    for cell in sweep.runs("cell"):
        with sweep.artifact(cell, "scores.csv").open() as file:
            rows = list(csv.DictReader(file))
        labels, scores = ([float(row[key]) for row in rows] for key in ("label", "score"))
        assert image_auroc(labels, scores) == cell.data.metrics["image_auroc"]
        with np.load(sweep.artifact(cell, "maps.npz")) as saved:
            maps = saved["maps"].astype(np.float32) * saved["scale"]
            assert list(saved["images"]) == [row["image"] for row in rows]
        assert maps.shape == (len(rows), 64, 64)
        np.testing.assert_allclose(maps.max((1, 2)), scores, rtol=1e-3)


def test_the_detector_is_kept_with_its_students_weights_and_without_the_teachers(sweep: Outcome) -> None:
    for cell in sweep.runs("cell"):
        folder = sweep.artifact(cell, "detector")
        verify(folder)
        assert {path.name for path in folder.iterdir()} == {
            *("detector.json", "weights.safetensors", "thresholds.json", "digests.json")
        }
        state = load_file(folder / "weights.safetensors")
        students = ("decoder.", "bottleneck.") if cell.data.tags["method"] == "rd" else ("student.",)
        assert {name.partition(".")[0] + "." for name in state} == set(students)
        about = json.loads((folder / "detector.json").read_text())
        assert about["training_key"] == cell.data.tags["training_key"]
        thresholds = json.loads((folder / "thresholds.json").read_text())
        found = thresholds["thresholds"][thresholds["policy"]]
        assert found["pixel"] == cell.data.metrics["threshold"]
        assert found["image"] == cell.data.metrics["image_threshold"]


def test_the_figure_is_a_picture(sweep: Outcome) -> None:
    for cell in sweep.runs("cell"):
        with Image.open(sweep.artifact(cell, "figure.png")) as picture:
            assert picture.width > 600
            assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_the_parent_carries_the_means_over_categories_and_the_protocol(sweep: Outcome) -> None:
    (parent,) = sweep.runs("sweep")
    assert (parent.data.tags["protocol"], parent.data.tags["method"]) == ("quick", "rd, stfpm")
    for method in METHODS:
        values = [run.data.metrics["pro"] for run in sweep.runs("cell") if run.data.tags["method"] == method]
        assert parent.data.metrics[f"pro/{method}"] == pytest.approx(np.mean(values))


def test_tables_are_shown_and_kept_with_the_parent(sweep: Outcome) -> None:
    (parent,) = sweep.runs("sweep")
    for metric, title in (("image_auroc", "Image AUROC"), ("pro", "PRO (exact)"), ("dice", "Dice")):
        assert title in sweep.stdout
        markdown = sweep.artifact(parent, f"tables/{metric}.md").read_text()
        latex = sweep.artifact(parent, f"tables/{metric}.tex").read_text()
        for text in (markdown, latex):
            assert "protocol quick" in text
            assert all(name in text for name in (*map(method_name, METHODS), *CATEGORIES, "mean"))
    with sweep.artifact(parent, "tables/pro.csv").open() as file:
        table = {row["category"]: row for row in csv.DictReader(file)}
    for cell in sweep.runs("cell"):
        method, category = cell.data.tags["method"], cell.data.tags["category"]
        assert float(table[category][method]) == cell.data.metrics["pro"]


def test_each_cell_says_which_one_of_the_sweep_it_is_and_the_time_left_once_one_has_ended(
    sweep: Outcome,
) -> None:
    begun = [line for line in sweep.stdout.splitlines() if re.search(": cell [0-9]+ of ", line)]
    assert [line.partition(",")[0] for line in begun] == [
        "rd granite: cell 1 of 4",
        "rd washer: cell 2 of 4",
        "stfpm granite: cell 3 of 4",
        "stfpm washer: cell 4 of 4",
    ]
    left = [line.partition(", about ")[2] for line in begun]
    assert left[0] == ""
    assert all("left for the sweep (a guess" in text for text in left[1:3])
    assert left[3].endswith(" left for the sweep")
    assert not list((sweep.results / "locks").glob("*.progress"))


def test_the_report_is_in_the_results_and_with_the_parent(sweep: Outcome) -> None:
    page = sweep.results / "reports" / "first" / "report.html"
    assert sweep.stdout.splitlines()[-1] == f"report, also among the parent run's artifacts: {page}"
    text = page.read_text()
    assert all(name in text for name in (*METHODS, *CATEGORIES, "protocol quick"))
    (parent,) = sweep.runs("sweep")
    assert sweep.artifact(parent, "report.html").read_text() == text
    for name in ("figures/curves-washer.pdf", "tables/pixel_ap.tex", "tables/cells.parquet"):
        assert sweep.artifact(parent, name).stat().st_size > 0


def test_reports_names_the_known_sweeps(
    sweep: Outcome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["reports", "--uri", sweep.uri, "--sweep", "second"])
    assert reports() == 2
    assert "no sweep 'second'" in (message := capsys.readouterr().err)
    assert "known: first" in message


def test_the_detector_of_a_cell_gives_new_images_the_recorded_scores_to_the_last_bit(
    sweep: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images,) = (sweep.results / "cache" / "generated").glob("*/washer/test")
    chosen = ("--store", sweep.uri, "--sweep", "first", "--method", "rd", "--category", "washer")
    assert predict([*chosen, str(images), "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / PAGE)
    (cell,) = (
        run
        for run in sweep.runs("cell")
        if (run.data.tags["method"], run.data.tags["category"]) == ("rd", "washer")
    )
    recorded = read_scores(sweep.artifact(cell, "scores.csv"))
    rows = {"/".join(Path(row.file).parts[-3:]): row for row in read_predictions(tmp_path / TABLE)}
    scores = {name: row.score for name, row in rows.items()}
    assert scores == dict(zip(recorded["image"], recorded["score"], strict=True))
    kept = read_maps(sweep.artifact(cell, "maps.npz"))  # as float16
    maps = np.stack([np.load(tmp_path / rows[name].map) for name in kept.images])
    np.testing.assert_allclose(maps, kept.maps, rtol=1e-3, atol=maps.max() / 2**10)


def test_a_cell_is_found_by_its_tags(sweep: Outcome) -> None:
    cells = {
        (run.data.tags["method"], run.data.tags["category"]): run.info.run_id for run in sweep.runs("cell")
    }
    wanted = {"method": "stfpm", "category": "granite"}
    assert find_cell(sweep.uri, None, wanted) == cells["stfpm", "granite"]
    assert find_cell(sweep.uri, "first", {**wanted, "seed": None}) == cells["stfpm", "granite"]
    with pytest.raises(
        BenchmarkError, match="found 2 such cells; expected one: add --method, or give the id"
    ) as several:
        find_cell(sweep.uri, "first", {"category": "washer"})
    assert cells["rd", "washer"] in str(several.value)
    with pytest.raises(
        BenchmarkError, match=r"--category wascher: .*did you mean 'washer'.*known: granite, washer"
    ):
        find_cell(sweep.uri, "first", {"category": "wascher"})


@pytest.mark.slow
def test_the_same_seed_gives_the_same_measures_to_the_last_bit_and_another_does_not(
    sweep: Outcome, tmp_path: Path
) -> None:
    """In new processes; the second reads cached features, the first made its own."""
    again = run(tmp_path, "method=stfpm", "dataset.categories=[washer]", *TINY)
    both = ("-m", "seed=0,1", "jobs.force=true")
    cached = run(tmp_path, *both, "method=stfpm", "dataset.categories=[washer]", *TINY)
    assert (again.code, cached.code) == (0, 0)
    assert "standard deviation over 2 seeds (0, 1)" in " ".join(cached.stdout.split())
    with cached.artifact(cached.runs("sweep")[-1], "tables/image_auroc_seeds.csv").open() as file:
        (washer, mean) = csv.DictReader(file)
    values = [cell.data.metrics["image_auroc"] for cell in cached.runs("cell")[1:]]
    assert (washer["category"], washer["seeds"], mean["category"]) == ("washer", "2", "mean")
    assert float(washer["mean"]) == pytest.approx(np.mean(values))
    assert float(washer["std"]) == pytest.approx(np.std(values, ddof=1))

    def measures(outcome: Outcome, seed: str) -> list[dict[str, float]]:
        wanted = ("image_auroc", "pixel_auroc", "pro", "dice", "pixel_ap", "threshold", "student/loss")
        return [
            {name: cell.data.metrics[name] for name in wanted}
            for cell in outcome.runs("cell")
            if (cell.data.tags["method"], cell.data.tags["category"]) == ("stfpm", "washer")
            and cell.data.tags["seed"] == seed
        ]

    (first,), (made, read) = measures(sweep, "0"), measures(cached, "0")
    assert first == made == read
    assert measures(cached, "1")[0]["threshold"] != first["threshold"]


def test_what_fills_a_disk_can_be_switched_off_and_an_honest_threshold_is_no_oracle(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    small = [f"tracking.{name}=false" for name in ("maps", "pictures", "detector", "figure")]
    honest = (
        *("evaluation.threshold=train_quantile", "evaluation.pro_variants=[exact,official_100]"),
        "tables=[image_f1,dice_image,pro]",  # Dice itself has the best Dice next to it, which is an oracle
    )
    outcome = run_here(tmp_path, capfd, "method=stfpm", "dataset.categories=[washer]", *small, *honest, *TINY)
    assert outcome.code == 0, outcome.stderr
    (cell,) = outcome.runs("cell")
    artifacts = {item.path for item in outcome.client.list_artifacts(cell.info.run_id)}
    assert artifacts == {
        "bootstrap.npz",
        "config.yaml",
        "curves.csv",
        "regions.csv",
        "scores.csv",
        "digests.json",
    }
    assert "oracle" not in outcome.stdout
    assert {"pro", "pro_official_100"} <= set(cell.data.metrics)


@pytest.mark.slow
def test_a_teacher_is_distilled_once_for_all_categories_and_captions_name_its_images(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        "method=uninformed_students",
        "dataset.categories=[granite,washer]",
        *TINY,
        *("method.training.epochs=1", "method.training.stages.teacher.steps=4"),
        *("method.students=1", "method.score=e", "method.training.image_size=40", "evaluation.batch_size=2"),
    )
    assert outcome.code == 0, outcome.stderr
    assert outcome.stdout.count("teacher_17 trains for 4 steps") == 1
    assert outcome.stdout.count("teacher_17 trained before, loaded from") == 1
    shown = " ".join(outcome.stdout.split())
    assert "teachers of uninformed_students pretrained on 24 train images of the tested categories" in shown
    first, second = outcome.runs("cell")
    assert {cell.data.tags["pretraining_images"] for cell in (first, second)} == {"own"}
    assert {cell.data.tags["pretraining_count"] for cell in (first, second)} == {"24"}
    assert first.data.metrics["pretraining_seconds"] == second.data.metrics["pretraining_seconds"] > 0
    assert "teacher_17/loss" in second.data.metrics
