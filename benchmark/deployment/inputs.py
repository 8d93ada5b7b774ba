"""The images that a command names: files and folders, with labels and point clouds where these are known."""

import os
from collections.abc import Collection, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from datasets.errors import DatasetError
from datasets.images import IMAGE_SUFFIXES
from datasets.listing import is_image, walk

IMAGES, CLOUDS, TRUTH = "rgb", "xyz", "gt"
"""Folders of MVTec 3D-AD's layout: images, and what lies next to them."""
WITHOUT_IMAGES = {"ground_truth": "test", CLOUDS: IMAGES, TRUTH: IMAGES}
"""{folder that holds no images to score: folder that is next to it}"""


@dataclass(frozen=True)
class Input:
    """An image to score.

    Attributes
    ----------
    file
        The image file.
    is_anomalous
        Its label; None: unknown.
    xyz
        Its point cloud; None: there is none.
    """

    file: Path
    is_anomalous: bool | None = None
    xyz: Path | None = None


def list_inputs(
    places: Sequence[Path],
    normal_names: Collection[str] = (),
    clouds: Path | None = None,
    skip: Path | None = None,
) -> list[Input]:
    """List images, each once, in the order in which they are named.

    Parameters
    ----------
    places
        Files, and folders whose images are taken at any depth, sorted: kinds and files of a test set in the order of
        its cell. Hidden files are ignored, and in the layouts of MVTec's datasets masks and point clouds, too.
    normal_names
        Below a folder in which one of these names a folder, images have labels: see `labels_of`.
    clouds
        A folder of point clouds, arranged and named as the images. None: those of MVTec 3D-AD's layout are found,
        `xyz/000.tiff` for `rgb/000.png`.
    skip
        A folder that is left out.

    Raises
    ------
    DatasetError
        If a place is missing, cannot be read, or holds no image.
    """
    found: dict[Path, Input] = {}
    for place in places:
        if place.is_dir():
            inputs = list(inputs_below(place, normal_names, clouds, skip))
            if not inputs:
                raise DatasetError(
                    f"{place}: found no image; expected {', '.join(sorted(IMAGE_SUFFIXES))} files"
                )
        elif place.exists():
            inputs = [Input(place, None, _cloud_of(place, Path(place.name), clouds))]
        else:
            raise DatasetError(f"{place}: there is no such file or folder")
        for each in inputs:
            if skip is not None and each.file.resolve().is_relative_to(skip.resolve()):
                raise DatasetError(f"{each.file}: lies in the folder of the output, {skip}")
            found.setdefault(each.file.absolute(), each)
    return list(found.values())


def inputs_below(
    folder: Path,
    normal_names: Collection[str],
    clouds: Path | None = None,
    skip: Path | None = None,
    done: Container[str] = (),
) -> Iterator[Input]:
    """Yield the images below a folder but those that are done; other parameters as for `list_inputs`."""
    found = dict(_images_by_folder(folder, skip))
    labels = labels_of(folder, list(found), normal_names)
    new = (os.path.join(parent, name) for parent, names in found.items() for name in names)  # noqa: PTH118
    for file in sorted(Path(path) for path in new if path not in done):
        yield Input(file, labels[file.parent], _cloud_of(file, file.relative_to(folder), clouds))


def labels_of(top: Path, folders: Sequence[Path], normal_names: Collection[str]) -> dict[Path, bool | None]:
    """Return whether the images of folders below another one are anomalous, None where it is not known.

    Where a folder has the name of normal images, all images below it are normal, and those below the folders next to it
    are anomalous: `test/good`, `test/scratch`. Upper and lower case count alike. The name of `top` itself says nothing.

    >>> folders = [Path("test/Good"), Path("test/scratch/rgb"), Path("test")]
    >>> list(labels_of(Path("test"), folders, ["good"]).values())
    [False, True, None]
    """
    normal = {name.casefold() for name in normal_names}
    # from each folder upwards
    ways = {folder: [each for each in (folder, *folder.parents) if top in each.parents] for folder in folders}
    divided = {each.parent for way in ways.values() for each in way if each.name.casefold() in normal}
    return {
        folder: next((each.name.casefold() not in normal for each in way if each.parent in divided), None)
        for folder, way in ways.items()
    }


def check_clouds(inputs: Sequence[Input], mode: str) -> None:
    """Refuse images without a point cloud.

    Raises
    ------
    DatasetError
        If there are some; it names the first ones.
    """
    faults = [f"{each.file}: found no point cloud" for each in inputs if each.xyz is None]
    if faults:
        faults[-1 if len(faults) < 5 else 4] += (
            f"; the detector needs depth (method.mode={mode}): give the folder of TIFF files by --xyz, or "
            f"use MVTec 3D-AD's layout, {CLOUDS}/000.tiff for {IMAGES}/000.png"
        )
        raise DatasetError(*faults)


def _images_by_folder(folder: Path, skip: Path | None) -> Iterator[tuple[Path, list[str]]]:
    left_out = None if skip is None else skip.resolve()
    for parent, names, files in walk(folder):
        if left_out is not None and parent.resolve() == left_out:
            names.clear()
            continue
        without = {name for name, other in WITHOUT_IMAGES.items() if other in names}
        names[:] = [name for name in names if name not in without]
        if images := [name for name in files if is_image(name)]:
            yield parent, images


def _cloud_of(file: Path, name: Path, clouds: Path | None) -> Path | None:
    if clouds is not None:
        base = clouds / name
    elif file.parent.name == IMAGES:
        base = file.parent.parent / CLOUDS / file.name
    else:
        return None
    names = (base.with_suffix(suffix) for suffix in (".tiff", ".tif", ".TIFF", ".TIF"))
    return next((path for path in names if path.is_file()), None)
