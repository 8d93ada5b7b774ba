"""The code of a function or a class: the modules that it reaches by imports, and the libraries."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from store.errors import StoreError

PROJECT_ROOT = Path(__file__).resolve().parents[1]

Maker = Callable[..., Any]


class Reached(NamedTuple):
    """The code that makers depend on.

    Attributes
    ----------
    modules
        {module: SHA-256 of its syntax tree without docstrings}, of all modules that are not installed.
    versions
        {top-level name: version} of the installed ones; the standard library does not count.
    """

    modules: dict[str, str]
    versions: dict[str, str]


def reach(makers: Iterable[Maker]) -> Reached:
    """Follow the imports from the modules that define the makers.

    Raises
    ------
    TypeError
        If a maker is neither a function nor a class.
    StoreError
        If the code of a maker is in no file, or a reached file cannot be parsed.
    """
    roots: list[Path] = [PROJECT_ROOT]
    waiting: dict[str, Path] = {}
    libraries: set[str] = set()
    for maker in makers:
        for definition in _definitions(maker):
            top = definition.__module__.partition(".")[0]
            if top in sys.stdlib_module_names:
                continue
            if _is_library(top):
                libraries.add(top)
                continue
            name, path, root = _source(definition)
            roots += [root] if root not in roots else []
            waiting |= {**dict(_files(name, (root,))), name: path}
    modules: dict[str, str] = {}
    while waiting:
        name, path = waiting.popitem()
        parsed = _parse(name, path)
        modules[name] = parsed.digest
        for imported in parsed.imports:
            top = imported.partition(".")[0]
            found = _files(imported, tuple(roots))
            if not found and top not in sys.stdlib_module_names:
                home = None if _is_library(top) else _home(top)
                found = _files(imported, (home,)) if home else ()
                if not found:
                    libraries.add(top)
            waiting |= {name: path for name, path in found if name not in modules}
    return Reached(modules, {name: _version(name) for name in sorted(libraries)})


def _definitions(maker: Maker) -> Iterator[Any]:
    """Yield the functions and classes that a maker consists of: wrapped functions, bases, owners of methods."""
    while isinstance(maker, functools.partial):
        maker = maker.func
    if not isinstance(getattr(maker, "__module__", None), str) or not hasattr(maker, "__qualname__"):
        raise TypeError(f"maker of a key: found {maker!r}; expected a function or a class")
    if isinstance(maker, type):
        yield from maker.__mro__
        return
    yield maker
    if inspect.ismethod(maker):
        owner = maker.__self__
        yield from (owner if isinstance(owner, type) else type(owner)).__mro__
    wrapped = maker
    while hasattr(wrapped, "__wrapped__"):
        wrapped = wrapped.__wrapped__
        yield wrapped


def _source(definition: Any) -> tuple[str, Path, Path]:
    """Return the name and the file of the module that defines something, and the folder it is imported from."""
    module = sys.modules.get(definition.__module__)
    file = getattr(module, "__file__", None)
    if file is None or not Path(file).suffix == ".py":
        raise StoreError(
            f"{definition.__module__}.{definition.__qualname__}: its code is in no file, so its results have no "
            "key; expected a function or class that is defined in a module (a .py file)"
        )
    name, path = module_name(definition.__module__), Path(file).resolve()
    below = Path(*name.split("."))
    for tail in (below.with_suffix(".py"), below / "__init__.py"):
        if path.parts[-len(tail.parts) :] == tail.parts:
            return name, path, path.parents[len(tail.parts) - 1]
    return name, path, path.parent  # a module that was loaded from a file under another name


def module_name(name: str) -> str:
    """Return the name that a module is imported by: a script is called by its file, not `__main__`."""
    main = sys.modules["__main__"]
    if name != "__main__" or not getattr(main, "__file__", None):
        return name
    spec = getattr(main, "__spec__", None)
    return str(spec.name) if spec else Path(str(main.__file__)).stem


@functools.cache
def _files(name: str, roots: tuple[Path, ...]) -> tuple[tuple[str, Path], ...]:
    """Return a module and its parents, as far as they have files below the first root with any of them."""
    parts = name.split(".")
    for root in roots:
        found = []
        for depth in range(1, len(parts) + 1):
            below = root.joinpath(*parts[:depth])
            for file in (below / "__init__.py", below.with_name(f"{below.name}.py")):
                if file.is_file():
                    found.append((".".join(parts[:depth]), file))
                    break
        if found:
            return tuple(found)
    return ()


# Libraries: an installed module counts by its version


@functools.cache
def _home(top: str) -> Path | None:
    """Return the folder that a top-level module is imported from; None if it cannot be imported."""
    module = sys.modules.get(top)
    try:
        spec = getattr(module, "__spec__", None) or importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve().parent
    return Path(spec.origin).resolve().parent if spec.origin else None


@functools.cache
def _distributions(top: str) -> tuple[importlib.metadata.Distribution, ...]:
    try:
        return (importlib.metadata.distribution(top),)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        found = {each.name: each for each in importlib.metadata.distributions() if _brings(each, top)}
        return tuple(found[name] for name in sorted(found))


def _brings(distribution: importlib.metadata.Distribution, top: str) -> bool:
    """Return whether a top-level module belongs to a distribution.

    Its text is searched, as `importlib.metadata.packages_distributions` takes apart every line of all of them.
    """
    names = (distribution.read_text("top_level.txt") or "").split()
    files = "\n" + (distribution.read_text("RECORD") or "")
    return top in names or any(f"\n{top}{end}" in files for end in ("/", ".py,"))


@functools.cache
def _is_library(top: str) -> bool:
    """Return whether a module is installed, so that its version counts instead of its code.

    An editable installation is code, as it changes without its version.
    """
    home = _home(top)
    if home is None or home == PROJECT_ROOT:
        return False
    if {"site-packages", "dist-packages"} & set(home.parts):
        return True
    return any(Path(str(each.locate_file(""))).resolve() == home for each in _distributions(top))


@functools.cache
def _version(top: str) -> str:
    """Return the version of an installed module, with its build (`+cpu`) if its file version.py names one."""
    version = " ".join(each.version for each in _distributions(top)) or "unknown"
    home = _home(top)
    path = home / top / "version.py" if home else None
    if path and path.is_file():
        for node in ast.parse(path.read_bytes()).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
                written = str(getattr(node.value, "value", ""))
                return written if written.startswith(f"{version}+") else version
    return version


# Code: a file's syntax tree without its docstrings, and its imports


class _Parsed(NamedTuple):
    """A module's code.

    Attributes
    ----------
    loaded
        The spec under which this process has loaded it, or the file's state if it has not.
    digest
        SHA-256 of the syntax tree.
    imports
        Absolute names that may be modules.
    """

    loaded: object
    digest: str
    imports: tuple[str, ...]


_PARSED: dict[tuple[str, Path], _Parsed] = {}


def _parse(name: str, path: Path) -> _Parsed:
    """Parse a module, once per process and loading.

    The process runs the code that it has loaded: a file that is edited later counts once it is loaded again.
    """
    module = sys.modules.get(name)
    loaded = _spec(module, path)
    stat = path.stat() if loaded is None else None
    state = loaded if stat is None else (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
    parsed = _PARSED.get((name, path))
    if parsed is None or not (parsed.loaded is state or (stat and parsed.loaded == state)):
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read as Python code ({error})") from error
        imports = tuple(sorted(set(_imports(tree.body, name, path.name == "__init__.py"))))
        _remove_docstrings(tree)
        digest = hashlib.sha256(ast.dump(tree).encode(errors="surrogatepass")).hexdigest()
        parsed = _PARSED[name, path] = _Parsed(state, digest, imports)
    return parsed


def _spec(module: ModuleType | None, path: Path) -> object | None:
    """Return the spec of a module that was loaded from a file, None if this process has not loaded it."""
    file = getattr(module, "__file__", None)
    return getattr(module, "__spec__", None) if file and Path(file).resolve() == path else None


_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields that hold statements, or nodes that hold some; the nodes of expressions hold none."""


def _imports(statements: Iterable[ast.AST], name: str, is_package: bool) -> Iterator[str]:
    """Yield the imports of a module, at the top or in functions, except those for type checkers."""
    for node in statements:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".")[: None if is_package else -1]
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ([base] if base else [])
            yield from (f"{base}.{alias.name}" for alias in node.names if base)
        else:
            for block in _BLOCKS[1:] if _is_for_type_checkers(node) else _BLOCKS:
                yield from _imports(getattr(node, block, ()), name, is_package)


def _is_for_type_checkers(node: ast.AST) -> bool:
    names = ("id", "attr")
    return isinstance(node, ast.If) and "TYPE_CHECKING" in [getattr(node.test, name, "") for name in names]


def _remove_docstrings(node: ast.AST) -> None:
    """Remove the docstrings of modules, classes, functions and attributes."""
    for block in _BLOCKS:
        for inner in getattr(node, block, ()):
            _remove_docstrings(inner)
    body: object = getattr(node, "body", None)
    if isinstance(body, list):
        body[:] = [each for each in body if not _is_docstring(each)] or [ast.Pass()]


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
