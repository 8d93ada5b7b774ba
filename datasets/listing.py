"""Lists folders and image files; a link that leads nowhere is reported, never passed over."""

import os
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES
from datasets.names import check_file_name


def folders(folder: Path, skip: Container[Path] = ()) -> list[str]:
    """List the names of the folders in a folder, sorted; hidden ones and files are ignored.

    Parameters
    ----------
    folder
        The folder.
    skip
        Entries of it that are ignored, too.

    Raises
    ------
    DatasetError
        If the folder cannot be read, an entry is a link that leads nowhere, or a name cannot be used.
    """
    entries = (path for path in _entries(folder) if path not in skip)
    return sorted(check_file_name(path).name for path in entries if is_folder(path))


def image_files(folder: Path) -> list[Path]:
    """List the image files of a folder, sorted by name; hidden and other files are ignored.

    Raises
    ------
    DatasetError
        If the folder cannot be read, an image is a link that leads nowhere, or a name cannot be used.
    """
    images = [path for path in _entries(folder) if is_image(path.name)]
    dead = sorted(path for path in images if _is_dead(path))
    if dead:
        refuse_dead_link(dead[0], f" (and {len(dead) - 1} more in this folder)" if dead[1:] else "")
    return sorted(check_file_name(path) for path in images if path.is_file())


def is_image(name: str) -> bool:
    """Return whether a file's name is that of an image that is not hidden."""
    return not name.startswith(".") and Path(name).suffix.lower() in IMAGE_SUFFIXES


def is_folder(path: Path, below: Path | None = None) -> bool:
    """Return whether a path is a folder.

    Parameters
    ----------
    path
        The path.
    below
        A folder above it: the links on the way from there are checked, too.

    Raises
    ------
    DatasetError
        If the path is a link that leads nowhere, or cannot be read.
    """
    with _readable(path):
        steps = [path] if below is None else [below.joinpath(*parts) for parts in _ways(path, below)]
        return all(_exists(step) for step in steps) and path.is_dir()


def dead_links(folder: Path) -> list[Path]:
    """List the links in a folder that lead nowhere; hidden ones are ignored."""
    return sorted(filter(_is_dead, _entries(folder)))


def refuse_dead_link(path: Path, more: str = "") -> None:
    """Raise a DatasetError if a path is a link that leads nowhere; `more` counts others."""
    if _is_dead(path):
        raise DatasetError(
            f"{path}: found a link to {path.readlink()}, which does not exist{more}; expected a file or folder "
            "(datasets under git-annex or DVC: fetch the content first), or no such link"
        )


def images_below(folder: Path) -> Iterator[Path]:
    """Yield the images below a folder, at any depth and through links; hidden files and folders are ignored.

    Raises
    ------
    DatasetError
        If a folder cannot be read, a link leads nowhere, or a name cannot be used.
    """
    with _readable(folder):
        for parent, _, files in walk(folder):
            for name in files:
                if not name.startswith("."):
                    refuse_dead_link(parent / name)
                if is_image(name):
                    yield check_file_name(parent / name)


def walk(folder: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield a folder and those below it, through links and each once: path, names of its folders, names of its files.

    Hidden folders are ignored, and those whose names are taken out of the list.

    Raises
    ------
    DatasetError
        If a folder cannot be read.
    """
    entered = set()
    with _readable(folder):
        for parent, names, files in os.walk(folder, onerror=_raise, followlinks=True):
            real = os.path.realpath(parent)
            if real in entered:  # links may lead round in circles, or twice to one folder
                names.clear()
                continue
            entered.add(real)
            names[:] = sorted(name for name in names if not name.startswith("."))
            yield Path(parent), names, files


def image_counts(folder: Path, skip: Container[Path] = ()) -> dict[Path, int]:
    """Return {folder: number of image files} of the folders below a folder, without the files to skip."""
    counts: Counter[Path] = Counter()
    with _readable(folder):
        for parent, names, files in os.walk(folder, onerror=_raise):
            names[:] = sorted(name for name in names if not name.startswith("."))
            counts[Path(parent)] = sum(is_image(name) and Path(parent, name) not in skip for name in files)
    return {path: count for path, count in counts.items() if count}


def _entries(folder: Path) -> list[Path]:
    with _readable(folder):
        return [path for path in folder.iterdir() if not path.name.startswith(".")]


def _is_dead(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _exists(path: Path) -> bool:
    refuse_dead_link(path)
    return path.exists()


def _ways(path: Path, below: Path) -> Iterator[tuple[str, ...]]:
    parts = path.relative_to(below).parts
    return (parts[: i + 1] for i in range(len(parts)))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DatasetError(f"{error.filename or path}: cannot be read ({error.strerror})") from error


def _raise(error: OSError) -> None:
    raise error
