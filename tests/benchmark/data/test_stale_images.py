"""Decoded images never outlive the code that made them, and code that does not make them leaves them valid.

A copy of the project is changed module by module. As a process keeps the code that it has loaded, each change is
made in a fork of a process that has loaded only the libraries.
"""

import json
import shutil
import subprocess
import sys

import pytest

from datasets.decoding import decode
from store.code import PROJECT_ROOT
from store.keys import code_of
from tests.datasets.helpers import make_category_3d

DECODING = {
    f"{name.replace('.', '/')}.py" if name != "datasets" else "datasets/__init__.py"
    for name in code_of(decode)
}
PACKAGES = ("benchmark", "datasets", "methods", "metrics", "reports", "store")

FORK_FOR_EACH_CHANGE = """
import json, os, sys
import numpy, PIL.Image, rich.progress, scipy.ndimage, sklearn.linear_model, tifffile, torch
from pathlib import Path

folder, modules = Path(sys.argv[1]), json.loads(sys.argv[2])
project = Path.cwd()
texts = {path.relative_to(project).as_posix(): path.read_text() for path in project.rglob("*.py")}
code = "\\nADDED = 1\\n"
comment = "\\n\\n# A comment.\\n"
changes = {"none": {}} | {name: {name: texts[name] + code} for name in modules}
changes["comments"] = {name: texts[name] + comment for name in modules}
changes["docstrings"] = {name: texts[name].replace('\"\"\"', '\"\"\"Changed. ', 1) for name in modules}
for package in {name.split("/")[0] for name in texts if "/" in name}:
    others = [name for name in texts if name.startswith(f"{package}/") and name not in modules]
    changes[f"rest of {package}"] = {name: texts[name] + code for name in others}

def key():
    from benchmark.data.file_digests import FileDigests
    from benchmark.data.images import images_key
    from datasets.folder_3d import Folder3D
    category = Folder3D(str(folder)).category(folder.name)
    return images_key(category, "test", 8, 10, FileDigests(folder / "cache"))

for title, changed in changes.items():
    for name, text in changed.items():
        (project / name).write_text(text)
    if os.fork() == 0:
        print(json.dumps([title, key()]), flush=True)
        os._exit(0)
    assert os.wait()[1] == 0, title
    for name in changed:
        (project / name).write_text(texts[name])
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return {change of the code: key of the same images}."""
    folder = tmp_path_factory.mktemp("stale")
    make_category_3d(folder / "bagel")
    for package in PACKAGES:
        for path in (PROJECT_ROOT / package).rglob("*.py"):
            copy = folder / "project" / path.relative_to(PROJECT_ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    command = [
        sys.executable,
        "-B",
        "-c",
        FORK_FOR_EACH_CHANGE,
        str(folder / "bagel"),
        json.dumps([*DECODING]),
    ]
    output = subprocess.check_output(command, cwd=folder / "project", text=True)
    return dict(json.loads(line) for line in output.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(DECODING))
def test_changed_code_makes_another_key(keys: dict[str, str], module: str) -> None:
    assert keys[module] != keys["none"]


@pytest.mark.slow
@pytest.mark.parametrize("change", ["comments", "docstrings", *(f"rest of {name}" for name in PACKAGES)])
def test_change_that_cannot_change_an_image_keeps_the_key(keys: dict[str, str], change: str) -> None:
    assert keys[change] == keys["none"]


@pytest.mark.slow
def test_each_change_has_its_own_key(keys: dict[str, str]) -> None:
    assert len({keys[name] for name in DECODING}) == len(DECODING)
