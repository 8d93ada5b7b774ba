"""The experiments of conf/experiment: each composes, has the settings of the paper it names, and states its numbers."""

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import pytest
import yaml
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

import run_benchmark  # noqa: F401 - registers what conf/config.yaml takes from it
from benchmark.configuration import compose_jobs, flat, read_with_hydra
from benchmark.job_values import JobValues, read_values
from benchmark.settings.dataset import TrainingSet
from reports.tables.literature import AVERAGE, OTHER_THRESHOLD, base_method, other_settings, read_published
from tests.conftest import PROJECT_ROOT
from tests.reports.made import cells

CONF = PROJECT_ROOT / "conf"
FILES = {file.stem: file for file in sorted((CONF / "experiment").glob("*.yaml"))}
TABLE = read_published()
MEASURES = {"thesis": "dice", "uninformed_scales": "pro", "uninformed_terms": "pro"}
"""The measure of a paper's table where it is not the image AUROC."""
LEFT_OPEN = {"PRO, variant not stated", OTHER_THRESHOLD}
"""What a source leaves open, whatever the settings."""

FEWER = {
    **{"ast_students": "method.mode=rgbd", "ast_position_and_mask": "method.mode=depth"},
    **{"few_shot": "seed=0", "noisy": "seed=0"},
}
"""What of a large experiment is looked at: one mode or seed is composed as the others are."""
PUBLISHED: Mapping[str, Sequence[set[str]]] = {
    "thesis": [{f"{method} resnet18_224"} for method in ("stfpm", "feature_variance", "simple_student")],
    "rd_backbones": [set(), set(), set(), {"rd wide_resnet50_2"}],
    "rd_ocbe": [set(), set(), {"rd wide_resnet50_2"}],
    "rd_score_layers": [set(), set(), set(), set(), {"rd wide_resnet50_2"}],
    "rd_combination": [{"rd wide_resnet50_2"}, set()],
    "ast_paper_2d": [{"ast rgb"}],
    "ast_paper_3d": [{"ast rgb"}, {"ast depth"}, {"ast rgbd", "ast rgbd_4_blocks"}],
    "ast_students": [
        *({f"ast_{name} rgbd"} for name in ("teacher_nll", "symmetric", "deeper_flow_student")),
        {"ast rgbd", "ast rgbd_4_blocks"},
    ],
    "ast_student_blocks": [
        *({f"ast rgbd_{blocks}_blocks"} for blocks in (1, 2)),
        {"ast rgbd_4_blocks", "ast rgbd"},
        *({f"ast rgbd_{blocks}_blocks"} for blocks in (8, 12)),
    ],
    "ast_position_and_mask": [set(), set(), set(), {"ast depth"}],
    "uninformed_scales": [{f"uninformed_students {name}"} for name in ("p17", "p33", "p65", "multi_scale")],
    "uninformed_terms": [set(), set(), {"uninformed_students multi_scale"}],
}
"""For each job of an experiment, the published variants whose settings it has."""


def head(name: str) -> str:
    """Return the comments at the top of an experiment."""
    return "\n".join(line for line in FILES[name].read_text().splitlines() if line.startswith("#"))


def command_of(name: str) -> list[str]:
    """Return the arguments of the first command in the head of an experiment."""
    text = re.sub(r"\\\n#", "", head(name))
    found = re.search(r"python run_benchmark\.py (.*)", text)
    assert found, f"{name} shows no command"
    return shlex.split(found[1])


def is_sweep(name: str) -> bool:
    return "hydra" in yaml.safe_load(FILES[name].read_text())


def jobs_of(name: str) -> list[JobValues]:
    """Return the checked values of an experiment's jobs, as the command in its head composes them."""
    arguments = command_of(name)
    is_multirun, overrides = "-m" in arguments, [each for each in arguments if each != "-m"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        mode = RunMode.MULTIRUN if is_multirun else RunMode.RUN
        overrides += [FEWER[name]] if name in FEWER else []
        config = loader.load_configuration("config", [*overrides, "sweep=x"], mode)
        configs = compose_jobs(config) if is_multirun else [config]
        return [read_values(*read_with_hydra(job)) for job in configs]


@pytest.fixture(scope="module")
def jobs() -> dict[str, list[JobValues]]:
    return {name: jobs_of(name) for name in FILES}


def published_variants(job: JobValues, metric: str) -> set[str]:
    """Return the published variants that have the settings of a job."""
    options = {name: str(value) for name, value in flat(dict(job.plain)).items()}
    method, dataset = job.choices["method"], job.choices["dataset"]
    made: dict[str, Any] = {"params": options, "dataset": dataset, "weights": "imagenet"}
    made |= {"threshold_policy": job.evaluation.threshold, "mode": options.get("method.mode", "rgb")}
    own = cells((method, "any", 0.9), metric=metric, **made)
    listed = TABLE[(TABLE["dataset"] == dataset) & (TABLE["metric"] == metric)]
    listed = listed[listed["method"].map(base_method) == method]
    return {
        f"{name} {variant}"
        for (name, variant), column in listed.groupby(["method", "variant"], sort=False)
        if set(other_settings(column, own, metric)) <= LEFT_OPEN
    }


@pytest.mark.parametrize("name", FILES)
def test_the_head_of_an_experiment_has_its_command(name: str) -> None:
    arguments = command_of(name)
    assert f"experiment={name}" in arguments
    assert ("-m" in arguments) or not is_sweep(name)


def test_every_experiment_composes_with_the_settings_of_its_table(jobs: dict[str, list[JobValues]]) -> None:
    for name, expected in PUBLISHED.items():
        found = [published_variants(job, MEASURES.get(name, "image_auroc")) for job in jobs[name]]
        assert found == expected, name


def test_experiments_without_numbers_of_their_own_compose(jobs: dict[str, list[JobValues]]) -> None:
    assert [job.choices["method"] for job in jobs["paper_2d"]][:2] == ["rd", "stfpm"]
    assert jobs["ast_outputs"][0].plain["dataset"]["categories"] == ["peach"]
    assert len({job.choices["method"] for job in jobs["shift"]}) == 6
    assert {(job.evaluation.shifts, job.evaluation.threshold) for job in jobs["shift"]} == {
        ("all", "train_quantile")
    }


def test_experiments_on_few_and_contaminated_images_differ_in_them_alone(
    jobs: dict[str, list[JobValues]],
) -> None:
    few, noisy = ({job.training_set for job in jobs[name]} for name in ("few_shot", "noisy"))
    assert few == {TrainingSet(train_images=count) for count in (2, 4, 8, 16, None)}
    assert noisy == {TrainingSet(contamination=share) for share in (0.0, 0.05, 0.1, 0.15)}
    assert [len(jobs[name]) for name in ("few_shot", "noisy")] == [10, 8]
    assert {job.training.stage("student").steps for job in jobs["few_shot"]} == {500}


def test_the_thesis_has_fourteen_categories_and_its_own_seed(jobs: dict[str, list[JobValues]]) -> None:
    printed = set(TABLE.loc[TABLE["source"].str.startswith("thesis"), "category"])
    for job in jobs["thesis"]:
        assert set(job.plain["dataset"]["categories"]) == printed
        assert (job.seed, job.training.image_size, job.plain["protocol"]["name"]) == (42, 224, "thesis")
    assert "grid" not in printed
    stfpm = jobs["thesis"][0].plain["method"]
    assert (stfpm["half"], stfpm["map_size"]) == (True, None)  # eq. 5, section 5.1


def test_numbers_of_a_head_are_in_the_table_of_published_numbers() -> None:
    """Or a mean of what one source prints by category."""
    rows = TABLE[TABLE["category"] != AVERAGE]
    means = rows.groupby(["source", "method", "variant", "dataset", "metric"])["value"].mean()
    known = {f"{value:.3f}" for value in pd.concat([TABLE["value"], means])}
    for name in (*PUBLISHED, "paper_2d"):
        assert set(re.findall(r"(?<![\d.])[01]\.\d{3}(?!\d)", head(name))) <= known, name
