"""The end of the command: quick, but executors, exit functions and what was printed are not cut off."""

import os
import subprocess
import sys

from tests.conftest import PROJECT_ROOT

WITH_AN_EXECUTOR = """
import atexit
import time
from concurrent.futures import ThreadPoolExecutor

import run_benchmark

pool = ThreadPoolExecutor(1)  # its thread ends with the interpreter
pool.submit(time.sleep, 0.1).add_done_callback(lambda future: print("worked"))
atexit.register(print, "cleaned up")
print("printed")
run_benchmark._leave(3)
"""


def test_executors_end_exit_functions_run_and_output_is_flushed() -> None:
    words = [sys.executable, "-c", WITH_AN_EXECUTOR]
    done = subprocess.run(words, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, "")
    assert done.stdout.splitlines() == ["printed", "worked", "cleaned up"]


def test_a_reader_that_has_gone_changes_no_exit_code() -> None:
    words = [sys.executable, "-c", "import run_benchmark; print('printed'); run_benchmark._leave(3)"]
    buffered = {**os.environ, "PYTHONUNBUFFERED": ""}  # output is written at the end
    with subprocess.Popen(
        words, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=buffered
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(60) == 3
        assert process.stderr.read() == b""
