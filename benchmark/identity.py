"""What a cell is: a hash of everything that can change its numbers, so that no finished cell runs twice."""

import ast
import hashlib
import importlib.metadata
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmark.cell import Cell, Stores
from benchmark.runtime import PROJECT_ROOT
from benchmark.settings import target_of

PACKAGES = ("torch", "torchvision", "timm", "FrEIA", "numpy", "scipy", "scikit-learn")
"""Libraries whose versions can change numbers."""
CODE = (
    *("metrics/*.py", "methods/method.py", "methods/backbone.py"),
    *(f"datasets/{name}.py" for name in ("batch", "category", "depth", "images", "store")),
    *(
        f"benchmark/{name}.py"
        for name in (
            "arrays",
            "cell",
            "checkpoint",
            "crops",
            "data",
            "features",
            "pretext",
            "runtime",
            "schedules",
            "scoring",
            "training",
        )
    ),
)
"""Files of this project that every cell runs through; its method's own come on top."""


def identity(cell: Cell, stored: Stores) -> str:
    """Return the identity of a cell: 32 hexadecimal digits.

    It depends on what files hold and not on where they lie, and on code without its comments and docstrings.
    How the work is shared out (threads, caches, number of processes) is not a part of it: sums may then differ
    in their last bits.
    """
    training, evaluation, runtime = asdict(cell.training), asdict(cell.evaluation), cell.runtime
    training["pretext"].pop("images")  # what the folder holds counts, not its name
    evaluation.pop("tables")
    parts = {
        "method": cell.method,
        "training": training,
        "evaluation": evaluation,
        "seed": cell.seed,
        "category": cell.category.name,
        "mask_threshold": cell.category.mask_threshold,
        "images": stored.fingerprints,
        "teacher": cell.teacher,
        "runtime": [
            runtime.device.type,
            runtime.precision,
            runtime.channels_last,
            cell.trainer.deterministic,
        ],
        "code": code_version(target_of("method", cell.method)),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@cache
def code_version(method_class: type) -> str:
    """Hash the code that a method's cells run through: its own modules and the files of `CODE`."""
    files = {path for pattern in CODE for path in PROJECT_ROOT.glob(pattern)}
    files |= {Path(str(module.__file__)) for module in _modules(method_class)}
    parsed = hashlib.sha256()
    for name, path in sorted((path.name, path) for path in files):
        parsed.update(f"{name}\n{_without_docs(path)}\n".encode())
    return parsed.hexdigest()


def _modules(method_class: type) -> Iterator[ModuleType]:
    """Yield the modules of a class and its base classes, and those beside them that they import."""
    seen: set[str] = set()
    waiting = [base.__module__ for base in getattr(method_class, "__mro__", (method_class,))]
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        path = getattr(module, "__file__", None)
        if name in seen or module is None or path is None or not _is_own(Path(path), method_class):
            continue
        seen.add(name)
        yield module
        waiting += _imported(Path(path))


def _is_own(path: Path, method_class: type) -> bool:
    """Tell whether a file belongs to the project's methods, or lies beside the class of a user's own."""
    home = Path(str(sys.modules[method_class.__module__].__file__)).parent
    return path.suffix == ".py" and path.parent in (home, PROJECT_ROOT / "methods")


def _imported(path: Path) -> Iterable[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _without_docs(path: Path) -> str:
    """Return a file's code in a form that comments, docstrings and layout do not change."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Pass()
    return ast.dump(tree)
