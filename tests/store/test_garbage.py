"""Modules are left out of searches for garbage; a process that ends normally reports no leaks."""

import subprocess
import sys

from tests.conftest import PROJECT_ROOT

CODE = """
import gc
from store.garbage import importing

with importing():
    assert not gc.isenabled()
    import {module}
assert gc.isenabled()
print(gc.get_freeze_count() > 1000)
"""


def test_modules_are_left_out_and_the_process_ends_without_a_report_of_leaks() -> None:
    code = CODE.format(module="torchvision")  # reaches Triton, which reports them
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT_ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "True", "")
