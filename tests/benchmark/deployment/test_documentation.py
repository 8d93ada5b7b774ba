"""The examples of docs/use_a_detector.md run."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.benchmark.deployment.conftest import Trained
from tests.conftest import PROJECT_ROOT

PAGE = PROJECT_ROOT / "docs" / "use_a_detector.md"


def test_the_measures_of_ones_own_maps() -> None:
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert found.attempted > 5
    assert found.failed == 0


def test_a_detector_in_python(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    code = "\n".join(each for each in examples if not each.startswith(">>>"))
    assert code.count('"runs:/<id>"') == 1
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((40, 30, 3), np.uint8)).save(name)
    exec(code.replace("runs:/<id>", str(trained.folder)), {})
