"""A user's mistake is one line that names option and file; any other error keeps its stack trace."""

import errno
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from benchmark.error_messages import USER_ERRORS, explain


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    for name in ("none", "stfpm", "ast"):
        (tmp_path / "method").mkdir(exist_ok=True)
        (tmp_path / f"method/{name}.yaml").write_text("layers: [layer1]\n")
    (tmp_path / "config.yaml").write_text("defaults: [method: none, _self_]\nseed: 0\n")
    return tmp_path


# other tests of the process may have run the command, which registers a choice of the same name
@pytest.mark.filterwarnings("ignore:(?s).*ConfigStore schema with the same name")
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "method=stfmp",
            "method=stfmp: there is no such method (did you mean 'stfpm'?); known: ast, stfpm",
        ),
        ("sed=1", "sed: there is no such option (did you mean 'seed'?); known: method, seed"),
        ("method.layer=1", "method.layer: there is no such option (did you mean 'layers'?); known: layers"),
        ("seed", "seed: not an override ("),
    ],
)
def test_a_mistyped_option_is_named_with_the_known_ones(conf: Path, override: str, message: str) -> None:
    with initialize_config_dir(str(conf), version_base="1.3"), pytest.raises(HydraException) as raised:
        compose("config", [override])
    found = explain(raised.value)
    assert found is not None
    assert found.startswith(message)


@pytest.mark.parametrize("error", USER_ERRORS)
def test_errors_that_a_user_can_mend_are_their_messages(error: type[Exception]) -> None:
    assert explain(error("the reason")) == "the reason"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as raised:
        OmegaConf.create({"dataset": {"root": "???"}}).dataset.root  # noqa: B018
    assert "dataset.root" in (explain(raised.value) or "")


def test_errors_of_files_and_of_the_store_say_where_they_are_from() -> None:
    assert explain(OSError(errno.EACCES, "Permission denied", "results/mlflow.db")) == (
        "results/mlflow.db: Permission denied"
    )
    assert explain(MlflowException("no such table")) == "the tracking store cannot be used (no such table)"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x"), OSError("no file named")])
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explain(error) is None
