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
        ("seeds.method=1", "seeds.method: there is no such option (did you mean 'seed'?)"),
        ("trainer.layers=1", "trainer.layers: there is no such option (did you mean 'method.layers'?)"),
        ("layers=1", "layers: there is no such option (did you mean 'method.layers'?); known: method, seed"),
        ("seed", "seed: not an override; expected name=value, with quotes around a value"),
        ("seed=[1", "seed=[1: not an override; expected name=value, "),
        ("method={layer:1}", "method.layer: there is no such option (did you mean 'layers'?); known: layers"),
        ("method=a/b", "method=a/b: there is no such method; known: ast, stfpm"),
        ("method=../b", "method=../b: there is no such method; known: ast, stfpm"),
    ],
)
def test_a_mistyped_option_is_named_with_the_known_ones(conf: Path, override: str, message: str) -> None:
    with initialize_config_dir(str(conf), version_base="1.3"), pytest.raises(HydraException) as raised:
        compose("config", [override])
    found = explain(raised.value)
    assert found is not None
    assert found.startswith(message)


@pytest.mark.filterwarnings("ignore:(?s).*ConfigStore schema with the same name")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a: [1\n", "not a YAML file (while parsing a flow sequence in "),
        ("a:\n\tb: 1\n", "not a YAML file (while scanning for the next token found character"),
        ("a: 1\na: 2\n", "not a YAML file (while constructing a mapping in "),
        ("5\n", "a YAML file of --config-dir holds a single value (Invalid loaded object type: int)"),
    ],
)
def test_a_file_that_holds_no_options_is_named_in_one_line(conf: Path, content: str, message: str) -> None:
    (conf / "method" / "own.yaml").write_text(content)
    with initialize_config_dir(str(conf), version_base="1.3"), pytest.raises(Exception) as raised:  # noqa: PT011
        compose("config", ["method=own"])
    found = explain(raised.value)
    assert found is not None
    assert found.startswith(message)
    assert "\n" not in found
    assert "own.yaml" in found or "--config-dir" in found


@pytest.mark.filterwarnings("ignore:(?s).*ConfigStore schema with the same name")
@pytest.mark.parametrize("value", ["null", "5"])
def test_a_choice_that_is_no_name_is_explained(conf: Path, value: str) -> None:
    with (
        initialize_config_dir(str(conf), version_base="1.3"),
        pytest.raises(ValueError, match="group") as raised,
    ):
        compose("config", [f"method={value}"])
    assert "expected the name of a choice, as in runtime=default" in (explain(raised.value) or "")


@pytest.mark.parametrize("text", ["a\nb", "a\r\n\n  b\n", "a\x1b[31mb", "a\0b", "a\u2028b"])
def test_a_message_is_one_line_whatever_a_value_brings(text: str) -> None:
    found = explain(USER_ERRORS[0](f"sweep={text}"))
    assert found is not None
    assert found.isprintable()
    assert (found[:7], found[-1]) == ("sweep=a", "b")


@pytest.mark.parametrize("error", USER_ERRORS)
def test_errors_that_a_user_can_mend_are_their_messages(error: type[Exception]) -> None:
    assert explain(error("the reason")) == "the reason"


def test_a_missing_value_is_named() -> None:
    with pytest.raises(OmegaConfBaseException) as raised:
        OmegaConf.create({"dataset": {"root": "???"}}).dataset.root  # noqa: B018
    assert (explain(raised.value) or "").startswith("dataset.root: Missing mandatory value")


@pytest.mark.parametrize("value", ["${nothing}", "${oc.env:NOT_SET_ANYWHERE}", "${nothing:1}"])
def test_an_interpolation_that_leads_nowhere_is_named(value: str) -> None:
    with pytest.raises(OmegaConfBaseException) as raised:
        OmegaConf.create({"dataset": {"root": value}}).dataset.root  # noqa: B018
    assert (explain(raised.value) or "").startswith("dataset.root: ")


def test_errors_of_files_and_of_the_store_say_where_they_are_from() -> None:
    assert explain(OSError(errno.EACCES, "Permission denied", "results/mlflow.db")) == (
        "results/mlflow.db: Permission denied"
    )
    assert explain(MlflowException("no such table")) == "the tracking store cannot be used (no such table)"


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("x"), OSError("no file named")])
def test_other_errors_are_not_explained(error: Exception) -> None:
    assert explain(error) is None
