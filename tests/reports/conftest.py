"""Fixtures of the tests on reports."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

Call = Callable[..., "CompletedProcess[str]"]
"""Runs the `main` of a command with arguments."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a command within this process, which saves seconds of imports."""

    def called(main: Callable[[], int], *arguments: str) -> "CompletedProcess[str]":
        monkeypatch.setattr("sys.argv", ["command", *arguments])
        capsys.readouterr()
        try:
            code = main()
        except SystemExit as ended:  # of argparse
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return CompletedProcess(arguments, code, printed.out, printed.err)

    return called
