"""`--from config.yaml`: the options of a recorded cell are given again, or refused in one line."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException

import run_benchmark
from benchmark.command_line import literal, read_command_line
from benchmark.configuration import read_with_hydra
from benchmark.error_messages import explain
from benchmark.errors import BenchmarkError
from benchmark.recorded_config import OWN, recorded_config, with_recorded
from benchmark.settings.dataset import TrainingSet, read_training_set

CONF = run_benchmark.PROJECT_ROOT / "conf"
NOT_COMPARED = ("sweep", "results_dir", "tracking", "tables", "jobs")


def options(overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Return choices and options of a command."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", list(overrides), return_hydra_config=True)
        try:
            return read_with_hydra(config)
        finally:
            HydraConfig.instance().cfg = None


def record(folder: Path, overrides: Sequence[str], categories: Sequence[str] = ("washer",)) -> Path:
    choices, plain = options([*overrides, "results_dir=/somewhere", "sweep=first", "tables=[pro]"])
    file = folder / "config.yaml"
    file.write_text(recorded_config(choices, plain, categories))
    return file


def taken(file: Path, *arguments: str) -> list[str]:
    return list(with_recorded(read_command_line([f"--from={file}", *arguments])).overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ("method=stfpm", "tracking.maps=false", "jobs.force=true"),
        ("method=ast", "protocol=paper", "seed=7", "runtime.threads=2"),
        ("method=rd", "experiment=paper_2d", "dataset.root='/data/it\\'s here'", "backbone=resnet34"),
        ("method=rd", "dataset=folder", "dataset.root=parts", "+dataset.mask_threshold.bottle=0.5"),
        (
            *("method=stfpm", "method.training.optimizer._target_=torch.optim.Adam"),
            *("~method.training.optimizer.momentum", "+method.training.optimizer.betas=[0.9,1e-05]"),
        ),
    ],
)
def test_a_file_gives_the_very_same_options(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    chosen = ("washer", "a,b", "1e3", "${x}")
    own = "dataset.categories=" + literal(chosen)
    choices, wanted = options([*overrides, own])
    again, found = options(taken(record(tmp_path, overrides, chosen)))
    assert {group: again[group] for group in ("method", "dataset", "backbone", "protocol")} == {
        group: choices[group] for group in ("method", "dataset", "backbone", "protocol")
    }
    for name in NOT_COMPARED:
        assert name in OWN
        wanted.pop(name), found.pop(name)
    assert found == wanted


def test_a_file_of_an_earlier_version_has_the_defaults_of_options_that_it_does_not_know(
    tmp_path: Path,
) -> None:
    file = record(tmp_path, ["method=rd"])
    stored = yaml.safe_load(file.read_text())
    for name in TrainingSet.__dataclass_fields__:
        del stored["dataset"][name]
    file.write_text(yaml.safe_dump(stored))
    _, plain = options(taken(file))
    assert read_training_set(plain["dataset"]) == TrainingSet()


def test_own_overrides_replace_those_of_the_file(tmp_path: Path) -> None:
    file = record(tmp_path, ["method=rd", "dataset=mvtec_ad", "dataset.root=/data", "seed=3"])
    overrides = taken(file, "dataset.root=/elsewhere", "sweep=again", "seed=3,4", "-m")
    assert [each for each in overrides if each.startswith(("dataset.root", "sweep", "seed"))] == [
        *("dataset.root=/elsewhere", "sweep=again", "seed=3,4")
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"choices": None},
            r"config.yaml: found no choices of method, dataset.* expected config.yaml of a cell",
        ),
        ({"method": {"a b": 1}}, r"a b"),
        (
            {"choices": {"dataset": "imagenet"}},
            r"dataset=imagenet: there is no such dataset.* known: btad",
        ),
    ],
)
def test_what_this_version_cannot_give_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    file = record(tmp_path, ["method=rd"])
    stored = yaml.safe_load(file.read_text())
    merged = {
        name: {**stored[name], **value} if isinstance(value, dict) else value
        for name, value in change.items()
    }
    file.write_text(yaml.safe_dump({**stored, **merged}))
    with pytest.raises((BenchmarkError, HydraException)) as error:
        taken(file)
    text = explain(error.value)
    assert text is not None
    assert "\n" not in text
    assert re.search(message, text)


@pytest.mark.parametrize("content", ["", "text", "[1]", "a: [", "\x00", None])
def test_another_file_is_refused(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(BenchmarkError, match=f"--from={file}: "):
        taken(file)
