"""Names that tell datasets apart: two folders with images of one's own are two datasets, even with equal categories."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

Contents = Mapping[str, Set[str]]  # {category: digests of its test images}, as far as they are known


def dataset_names(cells: Sequence[tuple[str, str, str]], roots: Sequence[str]) -> list[str]:
    """Return the dataset of each cell, with the name of its folder where one name stands for several datasets.

    Two folders hold different datasets if a category of theirs has other test images; where these are not known, if
    the folders have different names.

    Parameters
    ----------
    cells
        (dataset, category, digest of the test images) of each cell; "": not known.
    roots
        The folder of each cell's dataset; "": not known.

    Examples
    --------
    >>> dataset_names([("folder", "part", "1f"), ("folder", "part", "2e")], ["/data/screws", "/data/plates"])
    ['folder screws', 'folder plates']
    >>> dataset_names([("folder", "part", "1f"), ("folder", "part", "1f")], ["/data/screws", "/copy/of/them"])
    ['folder', 'folder']
    """
    contents: dict[str, dict[str, dict[str, set[str]]]] = {}
    for (dataset, category, digest), root in zip(cells, roots, strict=True):
        own = contents.setdefault(dataset, {}).setdefault(root, {})
        own.setdefault(category, set()).update({digest} - {""})
    titles = {
        (dataset, root): f"{dataset} {folder}".strip()
        for dataset, folders in contents.items()
        for root, folder in _folder_names(folders).items()
    }
    return [titles[dataset, root] for (dataset, *_), root in zip(cells, roots, strict=True)]


def _folder_names(folders: Mapping[str, Contents]) -> dict[str, str]:
    """Return names that distinguish the folders of a dataset, {root: end of its path}; "" if all hold the same."""
    same: dict[str, list[str]] = {}
    for root, own in folders.items():
        first = next((other for other in same if not _differ(other, folders[other], root, own)), root)
        same.setdefault(first, []).append(root)
    names = _endings(list(same)) if len(same) > 1 else [""]
    return {root: name for roots, name in zip(same.values(), names, strict=True) for root in roots}


def _differ(root: str, contents: Contents, other_root: str, other: Contents) -> bool:
    shared = [(contents[category], other[category]) for category in contents if category in other]
    known = [(own, others) for own, others in shared if own and others]
    if known:
        return not any(own & others for own, others in known)
    return bool(shared and root and other_root) and Path(root).name != Path(other_root).name


def _endings(paths: Sequence[str]) -> list[str]:
    """Return the shortest ends of paths that differ from each other."""
    parts = [Path(path).parts for path in paths]
    for length in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-length:]) for part in parts]
        if len({*ends}) == len(paths):
            return ends
    return list(paths)
