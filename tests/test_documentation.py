"""The README and the pages of docs/ lead where they say: links, make targets, modules and options exist."""

import contextlib
import importlib.util
import io
import re
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from metrics import MEASURES
from tests.conftest import PROJECT_ROOT

PAGES = [
    *(PROJECT_ROOT / "README.md", PROJECT_ROOT / "methods" / "README.md"),
    *sorted((PROJECT_ROOT / "docs").glob("*.md")),
]
LONGEST_README = 150

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = (
    "benchmark.export",
    "benchmark.predict",
    "benchmark.submit",
    "benchmark.toy",
    "reports",
    "reports.dashboard",
    "reports.status",
    "store.sync",
)
COMMAND = re.compile(r"python -m ((?:benchmark|reports|store)[\w.]*)((?:[^`\n\\]|\\\n)*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
GROUPS = {"backbone", "dataset", "evaluation", "jobs", "method", "runtime", "tracking"}

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT_ROOT)))


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that a page's headings get where Markdown is shown."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dotted_names(values: object, prefix: str) -> set[str]:
    if not isinstance(values, dict):
        return {prefix}
    return {prefix}.union(
        *(dotted_names(value, f"{prefix}.{key}".strip(".")) for key, value in values.items())
    )


@cache
def options() -> set[str]:
    """Return the dotted names of all options in conf/."""
    names = set()
    for file in (PROJECT_ROOT / "conf").rglob("*.yaml"):
        text, group = file.read_text(), file.relative_to(PROJECT_ROOT / "conf").parts[0]
        prefix = group if group in GROUPS and "@package _global_" not in text else ""
        names |= dotted_names(yaml.safe_load(text), prefix)
    return names


@pytest.fixture(scope="module")
def helps() -> dict[str, str]:
    """Return what each command prints for `--help`."""
    texts = {}
    for module in COMMANDS:
        command = importlib.import_module(module if "." in module else f"{module}.__main__")
        printed = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
            patch.setattr(sys, "argv", [module, "--help"])
            with pytest.raises(SystemExit):
                command.main()
        texts[module] = printed.getvalue()
    return texts


@every_page
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in LINK.findall(BLOCK.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if "://" not in link:
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@every_page
def test_make_targets_exist(page: Path) -> None:
    known = set(re.findall(r"^([a-z]+):", (PROJECT_ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", page.read_text(), re.MULTILINE)) <= known


@every_page
def test_modules_that_are_run_exist(page: Path) -> None:
    for module in set(re.findall(r"python -m ([\w.]+)", page.read_text())):
        assert importlib.util.find_spec(module), module


@every_page
def test_options_of_the_benchmark_exist(page: Path) -> None:
    text = page.read_text()
    own = [yaml.safe_load(block) for language, block in BLOCK.findall(text) if language == "yaml"]
    known = options().union(*(dotted_names(values, "method") for values in own))
    named = set(re.findall(r"(?<![\w./:+-])((?:\w+\.)+\w+)=", text))
    assert {name for name in named if name.partition(".")[0] in GROUPS} <= known


@every_page
def test_options_of_the_other_commands_exist(page: Path, helps: dict[str, str]) -> None:
    """Where a command is shown, it has the options; where a table lists options, some command has each."""
    text = page.read_text()
    for module, arguments in COMMAND.findall(text):
        assert set(FLAG.findall(arguments)) <= {*FLAG.findall(helps[module]), "--help"}, module
    for listed in re.findall(r"^\| (`--.*?) \|", text, re.MULTILINE):
        assert set(FLAG.findall(listed)) <= set(FLAG.findall("".join(helps.values())))


def test_the_readme_is_short() -> None:
    assert len((PROJECT_ROOT / "README.md").read_text().splitlines()) <= LONGEST_README


def test_the_readme_leads_to_every_page() -> None:
    text = (PROJECT_ROOT / "README.md").read_text()
    assert [page.name for page in PAGES[2:] if f"(docs/{page.name})" not in text] == []


def test_every_measure_is_defined() -> None:
    text = (PROJECT_ROOT / "docs" / "measures.md").read_text()
    assert [name for name in MEASURES if f"`{name}`" not in text] == []
