"""A user's mistakes: one clear message that names the option or file, no stack trace, nothing finished lost."""

import shutil
from pathlib import Path

import pytest

from datasets.synthetic import generate
from tests.end_to_end.command import TINY, fails_plainly, run, run_here

KNOWN = "ast, dinomaly, efficient_ad, feature_variance, rd, rd_plus_plus, simple_student, stfpm, uninformed_students"
FAST = (
    "method.training.image_size=64",
    "method.training.epochs=1",
    "backbone=resnet18",
    "backbone.weights=random",
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a results folder in which the generated data are kept, which take seconds to make."""
    return tmp_path_factory.mktemp("generated") / "results"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["method=stfmp"], ["method=stfmp", "did you mean 'stfpm'", f"known: {KNOWN}"]),
        ([], ["method is missing", f"known: {KNOWN}"]),
        (["method=stfpm", "metod.half=true"], ["metod", "did you mean 'method'"]),
        (
            ["method=stfpm", "method.haf=true"],
            ["method.haf", "did you mean 'half'", "known: layers, half, map_size"],
        ),
        (["method=stfpm", "runtime.precison=bf16"], ["runtime.precison", "did you mean 'precision'"]),
        (["method=stfpm", "runtime.precision=fp8"], ["runtime.precision=fp8", "expected fp32, bf16"]),
        (["method=stfpm", "method.training.epochs=many"], ["method.training.epochs=many", "a whole number"]),
        (["method=stfpm", "seed=x"], ["seed=x", "a whole number"]),
        (["method=rd", "method.loss=l2"], ["method.loss=l2", "expected flattened, per_location"]),
        (["method=stfpm", "evaluation.threshold=best"], ["evaluation.threshold", "'best'", "f1_image"]),
        (
            ["method=stfpm", "evaluation.pro_variants=[exakt]"],
            ["evaluation.pro_variants", "exact", "official_100"],
        ),
        (["method=stfpm", "tables=[prro]"], ["tables: found 'prro'", "did you mean 'pro'"]),
        (["method=stfpm", "dataset.categories=[wasser]"], ["wasser", "washer"]),
        (
            ["method=stfpm", "method.layers=[blocks.1,blocks.9]"],
            ["found no layer 'blocks.9'", "known: blocks.0, blocks.1"],
        ),
        (["method=stfpm", "backbone.weights=none.pth"], ["backbone.weights=none.pth", "no such file"]),
        (
            ["method=stfpm", "backbone.weights=imagenet"],
            ["Remedies", "backbone=efficientnet_lite0", "backbone.weights=random"],
        ),
        (
            ["method=stfpm", "backbone=resnet18", "backbone.weights=package"],
            ["no package holds weights of resnet18.tv_in1k", "known: tf_efficientnet_lite0"],
        ),
        (
            ["method=simple_student", "method.decoupled=false"],
            ["found tf_efficientnet_lite0.in1k, whose blocks cannot be narrowed", "method.decoupled=true"],
        ),
        (
            ["method=stfpm", "dataset=folder", "dataset.root=/no/where"],
            ["dataset.root=/no/where", "no such folder"],
        ),
        (["method=stfpm", "dataset=mvtec_ad"], ["dataset.root is not set"]),
        (["method=stfpm", "tracking.uri=nonsense"], ["tracking.uri=nonsense"]),
        (["method=stfpm", "sweep=a/b"], ["sweep=a/b", "expected letters"]),
        (
            ["method=feature_variance", "method.students=1"],
            ["method.students: found 1", "no variance", "score=e"],
        ),
        (
            ["method=uninformed_students", "method.training.pretraining.images=/no/where"],
            ["method.training.pretraining.images=/no/where", "no such folder"],
        ),
        (
            ["method=uninformed_students", "+method.training.stages.techer.steps=5"],
            ["stages.techer", "no such stage", "known: teacher_17, students_17"],
        ),
        (
            ["method=ast", "backbone=efficientnet_b5", "method.layers=[blocks.7]"],
            ["no layer 'blocks.7'", "blocks.6"],
        ),
    ],
    ids=lambda value: " ".join(value) or "no method" if isinstance(value, list) else None,
)
def test_a_mistake_on_the_command_line(
    generated: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], parts: list[str]
) -> None:
    fails_plainly(run_here(generated, capfd, *arguments), *parts)


def test_a_results_folder_that_cannot_be_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    outcome = run_here(tmp_path / "file" / "results", capfd, "method=stfpm")
    fails_plainly(outcome, "results_dir=", "cannot be written")


def test_a_mistake_reported_to_the_shell(tmp_path: Path) -> None:
    fails_plainly(run(tmp_path / "results", "-m", "method=rd,stfmp"), "did you mean 'stfpm'")


@pytest.fixture
def two_categories(tmp_path: Path) -> Path:
    root = generate(
        tmp_path, categories=["granite", "washer"], image_size=64, train=6, test_good=2, test_defective=2
    )
    return Path(shutil.copytree(root, tmp_path / "data"))


def damage_train(root: Path) -> Path:
    file = root / "granite" / "train" / "good" / "003.png"
    file.write_bytes(file.read_bytes()[:200])
    return file


def damage_test(root: Path) -> Path:
    file = next((root / "granite" / "test" / "stain").iterdir())
    file.write_text("not an image")
    return file


def resize_mask(root: Path) -> Path:
    from PIL import Image

    file = next((root / "granite" / "ground_truth" / "crack").iterdir())
    Image.new("L", (32, 32)).save(file)
    return file


def remove_good(root: Path) -> Path:
    folder = root / "washer" / "train" / "good"
    for file in folder.iterdir():
        file.unlink()
    return folder


def test_an_image_damaged_behind_its_header_fails_its_category_alone_before_any_training(
    two_categories: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = damage_train(two_categories)
    outcome = run_here(
        tmp_path / "results", capfd, "method=stfpm", "dataset=folder", f"dataset.root={two_categories}", *FAST
    )
    assert outcome.code == 1
    assert "Traceback" not in outcome.stdout + outcome.stderr
    printed = outcome.stdout.replace("\n", "")
    assert 0 < printed.index(str(file)) < printed.index("washer: student trains")
    assert "stfpm granite: student trains" not in printed
    status = {cell.data.tags["category"]: cell.info.status for cell in outcome.runs("cell")}
    assert status == {"granite": "FAILED", "washer": "FINISHED"}
    (failed,) = [cell for cell in outcome.runs("cell") if cell.info.status == "FAILED"]
    assert str(file) in failed.data.tags["reason"]
    (parent,) = outcome.runs("sweep")
    assert parent.info.status == "FAILED"


def test_all_that_is_wrong_with_the_data_is_reported_at_once_before_anything_runs(
    two_categories: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    faults = [damage_test(two_categories), resize_mask(two_categories), remove_good(two_categories)]
    outcome = run_here(
        tmp_path / "results",
        capfd,
        "-m",
        "method=stfpm,rd",
        "dataset=folder",
        f"dataset.root={two_categories}",
    )
    fails_plainly(outcome, *map(str, faults))
    assert outcome.stderr.count("error: ") == 1
    assert not outcome.results.exists()


def test_a_divergence_names_method_category_stage_and_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("dataset.categories=[washer]", "method.training.optimizer.lr=1e30", *TINY)
    outcome = run_here(tmp_path / "results", capfd, "method=rd", *arguments, "method.training.epochs=20")
    assert outcome.code == 1
    assert "rd washer: the loss of stage 'student' became" in outcome.stdout
    assert "in epoch" in outcome.stdout


def test_a_flow_whose_likelihood_explodes_stops_with_stage_and_epoch(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("dataset.categories=[washer]", "method.training.optimizer.lr=1e4", *TINY)
    outcome = run_here(tmp_path / "results", capfd, "method=ast", *arguments)
    assert outcome.code == 1
    assert "ast washer: the loss of stage 'flow' became" in outcome.stdout
    assert "in epoch 1" in outcome.stdout


@pytest.mark.parametrize(
    ("method", "side", "message"),
    [
        ("uninformed_students", 16, "image_size: found 16 x 16; expected 17 or more"),
        ("rd", 72, "image_size: found 72 x 72; expected multiples of 32"),
    ],
)
def test_images_of_a_size_that_a_method_cannot_take_are_reported_before_any_training(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], method: str, side: int, message: str
) -> None:
    size = f"method.training.image_size={side}"
    outcome = run_here(
        tmp_path / "results", capfd, f"method={method}", "dataset.categories=[washer]", *TINY, size
    )
    assert outcome.code == 1
    assert message in outcome.stdout
    assert "trains for" not in outcome.stdout


def test_held_out_images_are_needed_by_a_method_that_standardises_scores_on_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("dataset.categories=[washer]", "method.training.validation_fraction=0", *TINY)
    outcome = run_here(tmp_path / "results", capfd, "method=uninformed_students", *arguments)
    fails_plainly(outcome, "no held-out validation images, and its scores are standardised on them")
    assert "trains for" not in outcome.stdout


def test_a_pretraining_folder_without_images(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "natural" / "n01").mkdir(parents=True)
    folder = f"method.training.pretraining.images={tmp_path / 'natural'}"
    outcome = run_here(tmp_path / "results", capfd, "method=uninformed_students", folder)
    fails_plainly(outcome, "method.training.pretraining.images=", "found no image at any depth", ".png")


def test_a_threshold_from_held_out_images_needs_some(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("dataset.categories=[washer]", "evaluation.threshold=train_quantile", *TINY)
    outcome = run_here(tmp_path / "results", capfd, "method=rd", *arguments)
    fails_plainly(outcome, "evaluation.threshold=train_quantile", "method.training.validation_fraction")
    assert "trains for" not in outcome.stdout


def test_a_wrong_job_of_a_sweep_is_found_before_the_first_one_runs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("method.map_size=16", "dataset.categories=[washer]", *TINY)
    outcome = run_here(tmp_path / "results", capfd, "-m", "method=stfpm,rd", *arguments)
    fails_plainly(outcome, "method.map_size: there is no such option")
    assert not (outcome.results / "mlflow.db").exists()


def test_a_test_set_without_masks_has_image_measures_and_says_why_not_the_others(
    two_categories: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(two_categories / "granite" / "ground_truth")
    outcome = run_here(
        tmp_path / "results",
        capfd,
        "method=stfpm",
        "dataset=folder",
        f"dataset.root={two_categories}",
        "dataset.categories=[granite]",
        "dataset.require_masks=false",
        *FAST,
    )
    assert outcome.code == 0, outcome.stderr
    (cell,) = outcome.runs("cell")
    assert "image_auroc" in cell.data.metrics
    assert "pro" not in cell.data.metrics
    assert "pro: " in cell.data.tags["missing"]
    assert "have no ground truth, so pixel measures are undefined" in outcome.stderr
