"""Distinct names of datasets: equal names and categories may stand for other images, or another ground truth."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from store.options import Params, data_options, describe
from store.tags import CONTAMINATION

FOLDERS = ("dataset.root", "dataset.normal_dir")
"""Options of which one is the folder of the dataset."""
WITH_A_NAME = ("mvtec_ad", "mvtec_3d", "synthetic", "synthetic_3d")
"""Choices of the configuration that are the names of datasets; others read data of the user's own."""

Contents = Mapping[str, Set[str]]  # {category: digests of its test images}, as far as they are known
Cell = tuple[str, str, str]
"""Dataset, category, and digest of the test images; "": not known."""


def name_of_earlier(choice: str, params: Params) -> str:
    """Return the dataset's name of a cell that recorded only the choice of the configuration.

    Examples
    --------
    >>> name_of_earlier("folder", {"dataset.root": "/data/screws/"})
    'screws'
    >>> name_of_earlier("mvtec_ad", {"dataset.root": "/data/mvtec"})
    'mvtec_ad'
    """
    return choice if choice in WITH_A_NAME else Path(_folder_of(params)).name or choice


def dataset_names(cells: Sequence[Cell], params: Sequence[Params]) -> list[str]:
    """Return the dataset of each cell, with what distinguishes datasets of one name.

    Two folders hold different datasets if a category of theirs has other test images; where these are not known, if
    the folders have different names. Within one dataset, cells of a category that were read with different settings
    (`dataset.mask_threshold`) have another ground truth or other images, so their names include these settings.
    Settings that differ only between categories do not count.

    Parameters
    ----------
    cells
        See `Cell`.
    params
        The parameters of each cell, of which the folder and the settings of the dataset count; none: not known.

    Examples
    --------
    >>> a, b = {"dataset.root": "/data/a/parts"}, {"dataset.root": "/data/b/parts"}
    >>> dataset_names([("parts", "screw", "1f"), ("parts", "screw", "2e")], [a, b])
    ['a/parts', 'b/parts']
    >>> dataset_names([("parts", "screw", "1f"), ("parts", "screw", "1f")], [a, b])
    ['parts', 'parts']
    >>> exact, rough = {"dataset.mask_threshold": "0"}, {"dataset.mask_threshold": "127"}
    >>> dataset_names([("parts", "screw", "1f"), ("parts", "screw", "1f")], [exact, rough])
    ['parts (dataset.mask_threshold=0)', 'parts (dataset.mask_threshold=127)']
    """
    # images that are missing among the test images because they are trained on make no other dataset
    known = [
        (dataset, category, "" if CONTAMINATION in own else digest)
        for (dataset, category, digest), own in zip(cells, params, strict=True)
    ]
    titles = _titles(known, [_folder_of(own) for own in params])
    settings = [data_options(own) for own in params]
    categories = [category for _, category, _ in cells]
    parts: dict[str, list[int]] = {}
    for i, title in enumerate(titles):
        parts.setdefault(title, []).append(i)
    for title, members in parts.items():
        options = _dividing([categories[i] for i in members], [settings[i] for i in members])
        for i in members:
            shown = describe({name: settings[i][name] for name in options if name in settings[i]})
            titles[i] = f"{title} ({shown})" if shown else title
    return titles


def _folder_of(params: Params) -> str:
    """Return the folder of a dataset; "" if it is not known."""
    return next((params[name] for name in FOLDERS if params.get(name, "None") != "None"), "")


def _titles(cells: Sequence[Cell], roots: Sequence[str]) -> list[str]:
    """Return the dataset of each cell, with the end of its folder's path where one name stands for several."""
    contents: dict[str, dict[str, dict[str, set[str]]]] = {}
    for (dataset, category, digest), root in zip(cells, roots, strict=True):
        own = contents.setdefault(dataset, {}).setdefault(root, {})
        own.setdefault(category, set()).update({digest} - {""})
    titles = {
        (dataset, root): _title(dataset, folder)
        for dataset, folders in contents.items()
        for root, folder in _folder_names(folders).items()
    }
    return [titles[dataset, root] for (dataset, *_), root in zip(cells, roots, strict=True)]


def _title(dataset: str, folder: str) -> str:
    if not folder or folder == dataset:
        return dataset
    return folder if Path(folder).name == dataset else f"{dataset} ({folder})"


def _dividing(categories: Sequence[str], settings: Sequence[Params]) -> list[str]:
    """Return the options that have several values for one category; cells that do not know an option do not count."""
    values: dict[str, dict[str, set[str]]] = {}
    for category, own in zip(categories, settings, strict=True):
        for name, value in own.items():
            values.setdefault(name, {}).setdefault(category, set()).add(value)
    return [name for name, found in values.items() if max(map(len, found.values())) > 1]


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
