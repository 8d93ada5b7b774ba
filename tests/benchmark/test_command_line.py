"""The command line: flags and overrides in any order, a name for the sweep, names in quotes where they need some."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from benchmark.command_line import quoted, read_command_line
from benchmark.errors import BenchmarkError


def test_flags_come_first_wherever_they_were_written() -> None:
    command = read_command_line(["method=rd,stfpm", "-m", "sweep=s", "--config-dir", "a=b", "seed=0"])
    assert command.arguments == ["--multirun", "--config-dir=a=b", "method=rd,stfpm", "sweep=s", "seed=0"]
    assert command.config_dir is not None
    assert command.config_dir.name == "a=b"


def test_a_sweep_without_a_name_gets_one_and_the_command_that_resumes_it_has_the_name() -> None:
    command = read_command_line(["method=rd", "jobs.force=true"])
    assert command.overrides[0].startswith("sweep=20")
    assert command.overrides[0] in command.again
    assert "jobs.force" not in command.again


@pytest.mark.parametrize("given", ["sweep=mine", "++sweep=mine"])
def test_a_name_that_was_given_is_kept(given: str) -> None:
    assert read_command_line([given]).overrides == (given,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--multirn"], r"--multirn: there is no such flag \(did you mean '--multirun'\?\)"),
        (["--config-dir="], "--config-dir=: the value is empty"),
        (["--config-dir"], "expected one argument"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(BenchmarkError, match=message) as error:
        read_command_line(arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "bottle",
            "a,b",
            "it's",
            "1e3",
            "-1",
            "null",
            "[x]",
            "{x}",
            "a=b",
            "a:b",
            "50%",
            "<b>",
            "#x",
            "ä" * 100,
        ),
        *("a\\", "x\\\\", "a\\'b", "${foo}", "$x_1$", "a b", " lead", 'a"b', "'", "''"),
    ],
)
def test_hydra_reads_a_quoted_name_as_it_was(name: str) -> None:
    parsed = OverridesParser.create().parse_override(f"dataset.categories=[{quoted(name)}]").value()
    assert isinstance(parsed, list)
    (text,) = [getattr(item, "text", item) for item in parsed]
    assert OmegaConf.to_container(OmegaConf.create([text]), resolve=True) == [name]
