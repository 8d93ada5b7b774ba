"""Keys: everything that can change what is kept is in its key, and nothing else."""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import torch

import store.keys
from store.errors import StoreError
from store.keys import code_of, make_key, versions_of

PROJECT = Path(store.keys.__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    epochs: int
    layers: tuple[str, ...] = ()


def maker(*_: object, **__: object) -> None:
    """Do nothing."""


def other_maker() -> None:
    """Do nothing, under another name."""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        (1, "1"),
        (0.0, -0.0),
        (0.1, 0.1 + 1e-17 + 2e-17),
        ("", None),
        ([], None),
        ([1, 2], [2, 1]),
        ([1, [2]], [1, 2]),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, {"b": 1}),
        (Settings(1), Settings(2)),
        (Settings(1, ("a",)), Settings(1, ("b",))),
        (float("nan"), float("inf")),
        ("\ud800", "\ud801"),
    ],
)
def test_different_parts_give_different_keys(first: object, second: object) -> None:
    assert make_key(maker, part=first) != make_key(maker, part=second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ((1, 2), [1, 2]),
        (Settings(1, ("a",)), {"epochs": 1, "layers": ["a"]}),
    ],
    ids=["order of names", "tuple and list", "dataclass and mapping"],
)
def test_equal_parts_give_equal_keys(first: object, second: object) -> None:
    assert make_key(maker, part=first) == make_key(maker, part=second)


def test_key_is_32_hexadecimal_digits_and_has_the_names_of_its_parts() -> None:
    assert len(make_key(maker, a=1)) == len(f"{int(make_key(maker, a=1), 16):032x}") == 32
    assert make_key(maker, a=1) != make_key(maker, b=1)
    assert make_key(maker, a=1, b=2) == make_key(maker, b=2, a=1)


def test_makers_of_one_module_have_different_keys() -> None:
    keys = {make_key(*makers) for makers in ((maker,), (other_maker,), (maker, other_maker), (Settings,))}
    assert len(keys) == 4


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Path("x.png"), "part part of a key: found PosixPath.* expected a number, a string"),
        ({"a": [1, {"b": Path("x")}]}, r"part part\.a\[1\]\.b of a key"),
        (Settings(1, (Path("x"),)), r"part part\.layers\[0\] of a key"),  # type: ignore[arg-type]
        ({1, 2}, "type set"),
        (b"x", "type bytes"),
        (np.zeros(2), "type ndarray"),
        (torch.zeros(2), "type Tensor"),
        (Settings, "type type"),
        ({1: 2}, "found 1 as a name; expected a string"),
    ],
)
def test_part_of_another_type_is_refused(part: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_key(maker, part=part)


@pytest.mark.parametrize("value", [Settings(1), 3, "maker", None, sys])
def test_maker_must_be_a_function_or_a_class(value: Any) -> None:
    with pytest.raises(TypeError, match=r"maker of a key: found .*; expected a function or a class"):
        make_key(value)


def test_arguments_of_a_partial_function_count() -> None:
    first, second = functools.partial(maker, 1, a=2), functools.partial(maker, 1, a=3)
    assert len({make_key(first), make_key(second), make_key(maker)}) == 3
    assert make_key(first) == make_key(functools.partial(functools.partial(maker, 1), a=2))
    with pytest.raises(TypeError, match="part maker"):
        make_key(functools.partial(maker, Path("x")))


# Which code counts


Load = Callable[[dict[str, str]], ModuleType]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.fixture
def plugin(root: Path) -> Load:
    """Write files of a package of its own name (`PACKAGE` in their text), and import its module `maker`."""
    name = f"plugin_{uuid4().hex}"

    def load(files: dict[str, str]) -> ModuleType:
        write(root / name, {"__init__.py": "", **files})
        return importlib.import_module(f"{name}.maker")

    return load


def write(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text.replace("PACKAGE", folder.name))


def names(*makers: Callable[..., Any]) -> set[str]:
    """Return the modules that count, without the name of the package."""
    return {name.partition(".")[2] or "__init__" for name in code_of(*makers)}


FUNCTION = "\ndef make(): pass\n"

IMPORTS = {
    "absolute": "import PACKAGE.a",
    "absolute, under another name": "import PACKAGE.a as b",
    "name from a module": "from PACKAGE.a import x",
    "module from a package": "from PACKAGE import a",
    "everything": "from PACKAGE.a import *",
    "relative name": "from .a import x",
    "relative module": "from . import a",
    "within a function": "def f():\n    from . import a",
    "within a method": "class C:\n    def f(self):\n        import PACKAGE.a",
    "under a condition": "import sys\nif sys.platform:\n    from . import a",
    "with a fallback": "try:\n    from . import a\nexcept ImportError:\n    pass",
    "for the running program alone": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    from . import a"
    ),
}


@pytest.mark.parametrize("text", IMPORTS.values(), ids=IMPORTS.keys())
def test_every_form_of_import_is_followed(plugin: Load, text: str) -> None:
    module = plugin({"maker.py": text + FUNCTION, "a.py": "x = 1", "unused.py": ""})
    assert names(module.make) == {"__init__", "maker", "a"}


@pytest.mark.parametrize(
    "text",
    [
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import a",
        "import typing\nif typing.TYPE_CHECKING:\n    from . import a",
        "from __future__ import annotations",
        "'import PACKAGE.a'",
    ],
)
def test_what_no_program_imports_does_not_count(plugin: Load, text: str) -> None:
    assert names(plugin({"maker.py": text + FUNCTION, "a.py": ""}).make) == {"__init__", "maker"}


def test_imports_are_followed_to_the_end_and_in_circles(plugin: Load) -> None:
    files = {"maker.py": "from . import a" + FUNCTION, "a.py": "from . import b", "b.py": "import PACKAGE.a"}
    assert names(plugin(files).make) == {"__init__", "maker", "a", "b"}


def test_packages_above_an_imported_module_count(plugin: Load) -> None:
    files = {
        "maker.py": "import PACKAGE.deep.down.a" + FUNCTION,
        "deep/__init__.py": "from . import beside",
        "deep/beside.py": "",
        "deep/down/__init__.py": "from ..beside import *\nfrom ... import above",
        "deep/down/a.py": "",
        "above.py": "",
    }
    found = names(plugin(files).make)
    assert found == {"__init__", "maker", "deep", "deep.beside", "deep.down", "deep.down.a", "above"}


def test_folder_without_init_is_a_package_too(plugin: Load) -> None:
    files = {"maker.py": "from PACKAGE.plain import a\nfrom .plain.b import x" + FUNCTION}
    module = plugin(files | {"plain/a.py": "", "plain/b.py": "x = 1"})
    assert names(module.make) == {"__init__", "maker", "plain.a", "plain.b"}


def test_modules_of_all_base_classes_count(plugin: Load) -> None:
    files = {
        "maker.py": "import PACKAGE.a\nclass Maker(PACKAGE.a.Base): pass",
        "a.py": "def base():\n    from .b import Base\n    return Base\nBase = base()",
        "b.py": "import torch\nfrom . import c\nclass Base(torch.nn.Module): pass",
        "c.py": "",
    }
    module = plugin(files)
    assert names(module.Maker) == {"__init__", "maker", "a", "b", "c"}
    assert set(versions_of(module.Maker)) == {"torch"}


@pytest.mark.parametrize("expression", ["wrapped", "functools.partial(wrapped, 1)", "C().method", "C.make"])
def test_functions_within_wrappers_and_owners_of_methods_count(plugin: Load, expression: str) -> None:
    text = (
        "import functools, importlib\n"
        "a, b = (importlib.import_module(f'PACKAGE.{name}') for name in 'ab')\n"
        "wrapped = b.wrap(a.inner)\n"
        "class C(a.Base):\n    method = wrapped\n    make = classmethod(wrapped)\n"
    )
    files = {
        "maker.py": text,
        "a.py": "class Base: pass\ndef inner(*_): pass",
        "b.py": "import functools\ndef wrap(f):\n    @functools.wraps(f)\n    def g(*a): return f(*a)\n    return g",
    }
    module = plugin(files)
    assert {"a"} <= names(eval(expression, {**vars(module)}))


def test_helpers_beside_a_users_module_count_and_the_projects_code_too(root: Path) -> None:
    name, helper = (f"{word}_{uuid4().hex}" for word in ("method", "helper"))
    (root / f"{name}.py").write_text(f"import {helper}\nfrom datasets.errors import DatasetError{FUNCTION}")
    (root / f"{helper}.py").write_text("")
    assert set(code_of(importlib.import_module(name).make)) == {name, helper, "datasets", "datasets.errors"}


def test_code_from_another_folder_of_the_path_counts(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, helper = (f"{word}_{uuid4().hex}" for word in ("method", "helper"))
    write(tmp_path / "elsewhere", {f"{helper}/__init__.py": "from . import a", f"{helper}/a.py": ""})
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    (root / f"{name}.py").write_text(f"from {helper} import a{FUNCTION}")
    assert set(code_of(importlib.import_module(name).make)) == {name, helper, f"{helper}.a"}


def test_module_that_was_loaded_from_a_file_is_found(tmp_path: Path) -> None:
    name = f"loaded_{uuid4().hex}"
    write(tmp_path, {"some-file.py": f"import helper_of_{name}" + FUNCTION, f"helper_of_{name}.py": ""})
    spec = importlib.util.spec_from_file_location(name, tmp_path / "some-file.py")
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    sys.modules[f"helper_of_{name}"] = ModuleType(f"helper_of_{name}")
    assert spec.loader is not None
    spec.loader.exec_module(module)
    assert set(code_of(module.make)) == {name, f"helper_of_{name}"}


def test_code_without_a_file_is_refused_by_name() -> None:
    shell: dict[str, Any] = {"__name__": "__main__"}
    exec("class Drawn:\n    pass", shell)
    command = "from store.keys import make_key\nclass Method: pass\nmake_key(Method)"
    result = subprocess.run([sys.executable, "-c", command], cwd=PROJECT, capture_output=True, text=True)
    assert "StoreError: __main__.Method: its code is in no file" in result.stderr
    assert "expected a function or class that is defined in a module" in result.stderr


def test_script_has_the_key_of_the_module_that_it_is(tmp_path: Path) -> None:
    text = (
        "from store.keys import make_key\ndef make(): pass\nif __name__ == '__main__': print(make_key(make))"
    )
    (tmp_path / "script.py").write_text(text)
    environment = os.environ | {"PYTHONPATH": f"{PROJECT}:{tmp_path}"}
    imported = "import script; from store.keys import make_key; print(make_key(script.make))"
    commands = (["script.py"], ["-m", "script"], ["-c", imported])
    keys = {
        subprocess.check_output([sys.executable, *command], cwd=tmp_path, env=environment)
        for command in commands
    }
    assert len(keys) == 1


def test_file_that_cannot_be_parsed_is_named(plugin: Load) -> None:
    module = plugin({"maker.py": "def f():\n    import PACKAGE.a" + FUNCTION, "a.py": "x ="})
    with pytest.raises(StoreError, match=r"a\.py: cannot be read as Python code"):
        make_key(module.make)


# Which changes of code count


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):  # comment\n\n    return (2 * x)\n",
        'def f(x):\n    """Double."""\n    return 2 * x\n',
        '"""Module."""\ndef f(x): return 2 * x\n',
        "def f(\n    x,\n): return 2*x\n",
        "def f(x):\n    return 0x2 * x",
    ],
)
def test_comments_docstrings_and_layout_do_not_count(plugin: Load, root: Path, text: str) -> None:
    module = plugin(
        {"maker.py": "def g():\n    from . import a" + FUNCTION, "a.py": "def f(x): return 2 * x"}
    )
    key = make_key(module.make)
    path = Path(str(module.__file__)).with_name("a.py")
    path.write_text(text)
    assert make_key(module.make) == key
    path.write_text(text.replace("2", "3"))
    assert make_key(module.make) != key


def test_strings_that_document_attributes_do_not_count(plugin: Load) -> None:
    module = plugin({"maker.py": "def g():\n    from . import a" + FUNCTION, "a.py": "class A:\n    x = 1\n"})
    key = make_key(module.make)
    path = Path(str(module.__file__)).with_name("a.py")
    path.write_text('class A:\n    """An A."""\n    x = 1\n    """Documented."""\n')
    assert make_key(module.make) == key


def test_place_of_the_code_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, keys = f"moved_{uuid4().hex}", set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"{name}.py").write_text(FUNCTION)
        with monkeypatch.context() as context:
            context.syspath_prepend(tmp_path / folder)
            keys.add(make_key(importlib.import_module(name).make))
            del sys.modules[name]
    assert len(keys) == 1


def test_code_counts_as_it_was_loaded(plugin: Load) -> None:
    module = plugin({"maker.py": "x = 1" + FUNCTION})
    key = make_key(module.make)
    Path(str(module.__file__)).write_text("x = 1000" + FUNCTION)
    assert make_key(module.make) == key
    importlib.reload(module)
    assert make_key(module.make) != key


# Which libraries count


def test_versions_are_those_of_imported_distributions(plugin: Load) -> None:
    text = "import json, PIL.Image, sklearn\nfrom torch.nn import functional\ndef f():\n    import no_such_module"
    found = versions_of(plugin({"maker.py": text.replace("    import no", "    import  no") + FUNCTION}).make)
    assert found == {
        "PIL": importlib.metadata.version("Pillow"),
        "sklearn": importlib.metadata.version("scikit-learn"),
        "torch": torch.__version__,
        "no_such_module": "unknown",
    }


def test_another_version_gives_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = make_key(torch.nn.Linear)
    monkeypatch.setattr("store.code._version", lambda name: f"{name} 2")
    assert make_key(torch.nn.Linear) != key


def test_installed_classes_count_by_their_version() -> None:
    assert code_of(torch.nn.Linear) == {}
    assert versions_of(torch.nn.Linear) == {"torch": torch.__version__}
    assert versions_of(dict) == {}


def test_installation_without_site_packages_counts_by_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"installed_{uuid4().hex}"
    write(
        tmp_path, {f"{name}.py": FUNCTION, f"{name}-1.2.dist-info/METADATA": f"Name: {name}\nVersion: 1.2\n"}
    )
    monkeypatch.syspath_prepend(tmp_path)
    made = importlib.import_module(name).make
    assert (code_of(made), versions_of(made)) == ({}, {name: "1.2"})


def test_editable_installation_counts_by_its_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"editable_{uuid4().hex}"
    write(tmp_path / "site", {f"{name}-1.2.dist-info/METADATA": f"Name: {name}\nVersion: 1.2\n"})
    write(tmp_path / "source", {f"{name}.py": FUNCTION})
    for folder in ("site", "source"):
        monkeypatch.syspath_prepend(tmp_path / folder)
    made = importlib.import_module(name).make
    assert (set(code_of(made)), versions_of(made)) == ({name}, {})
