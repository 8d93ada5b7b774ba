"""MVTec AD: all fifteen categories or those that are named, and the download from a server."""

import functools
import hashlib
import shutil
import tarfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datasets.errors import DatasetError
from datasets.mvtec_ad import OBJECTS, TEXTURES, MVTecAD
from tests.datasets.helpers import make_category


def make_root(root: Path, categories: tuple[str, ...]) -> Path:
    for name in categories:
        make_category(root / name, train=1, good=1, scratched=1)
    return root


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    return make_root(tmp_path / "mvtec", TEXTURES + OBJECTS)


def test_all_are_fifteen_with_the_textures_first(whole: Path) -> None:
    make_root(whole, ("aardvark",))
    dataset = MVTecAD(str(whole))
    assert len(dataset.categories) == 15
    assert dataset.categories == TEXTURES + OBJECTS


def test_categories_are_textures_and_objects(whole: Path) -> None:
    dataset = MVTecAD(str(whole))
    groups = {name: dataset.category(name).group for name in dataset.categories}
    assert groups == dict.fromkeys(TEXTURES, "textures") | dict.fromkeys(OBJECTS, "objects")


def test_all_of_an_incomplete_root_is_refused(tmp_path: Path) -> None:
    root = make_root(
        tmp_path / "mvtec", tuple(name for name in TEXTURES + OBJECTS if name not in "wood pill")
    )
    message = r"dataset\.root=.* lacks 2 of MVTec AD's 15 categories: wood, pill\. .*dataset\.categories=\["
    with pytest.raises(DatasetError, match=message):
        MVTecAD(str(root))


def test_named_categories_of_an_incomplete_root_are_taken(tmp_path: Path) -> None:
    root = make_root(tmp_path / "mvtec", ("bottle", "wood"))
    assert MVTecAD(str(root), ["bottle", "wood"]).categories == ("bottle", "wood")
    assert len(MVTecAD(str(root), "wood").category("wood").test) == 2


def test_test_images_may_not_be_missing(tmp_path: Path) -> None:
    root = make_root(tmp_path / "mvtec", ("bottle",))
    shutil.rmtree(root / "bottle/test")
    with pytest.raises(
        DatasetError, match=r"bottle/test: found no test images; expected image files in test/good"
    ):
        MVTecAD(str(root), "bottle").category("bottle")


def test_unknown_category_is_told_the_near_one(whole: Path) -> None:
    with pytest.raises(DatasetError, match=r"'botle' .*did you mean 'bottle'"):
        MVTecAD(str(whole), "botle")


def test_missing_root_is_told_where_to_get_the_dataset(tmp_path: Path) -> None:
    message = r"dataset\.root=.*there is no such folder\. .*https://www\.mvtec\.com.*dataset\.download=true"
    with pytest.raises(DatasetError, match=message):
        MVTecAD(str(tmp_path / "mvtec"))


@pytest.mark.parametrize("download", [False, True])
def test_root_that_is_not_set_is_named(download: bool) -> None:
    with pytest.raises(DatasetError, match=r"dataset\.root is not set"):
        MVTecAD(None, download=download, accept_license=True)


class Handler(SimpleHTTPRequestHandler):
    requests: list[str]

    def do_GET(self) -> None:
        self.requests.append(self.path)
        super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Archive:
    """A tiny archive of the dataset on a local server."""

    def __init__(self, folder: Path, port: int, requests: list[str]) -> None:
        source = make_root(folder / "source", ("carpet", "bottle"))
        path = folder / "mvtec.tar.xz"
        with tarfile.open(path, "w:xz") as tar:
            for category in source.iterdir():
                tar.add(category, category.name)
        self.url = f"http://127.0.0.1:{port}/{path.name}"
        self.checksum = "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        self.requests = requests

    def open(self, root: Path, accept_license: bool = True) -> MVTecAD:
        return MVTecAD(
            str(root),
            ["bottle", "carpet"],
            download=True,
            accept_license=accept_license,
            url=self.url,
            checksum=self.checksum,
        )


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    folder = tmp_path / "server"
    folder.mkdir()
    requests: list[str] = []
    handler = type("Recording", (Handler,), {"requests": requests})
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Archive(folder, server.server_port, requests)
        server.shutdown()
        thread.join()


def test_without_the_licence_nothing_is_downloaded(archive: Archive, tmp_path: Path) -> None:
    message = r"CC BY-NC-SA 4\.0 .*https://www\.mvtec\.com.*dataset\.accept_license=true"
    with pytest.raises(DatasetError, match=message):
        archive.open(tmp_path / "new" / "mvtec", accept_license=False)
    assert archive.requests == []
    assert not (tmp_path / "new").exists()


def test_download_gives_the_dataset_and_happens_once(archive: Archive, tmp_path: Path) -> None:
    root = tmp_path / "new" / "mvtec"
    category = archive.open(root).category("bottle")
    assert len(category.train) == 1
    assert [sample.mask is not None for sample in category.test] == [False, True]
    assert archive.open(root).category("bottle") == category
    assert archive.requests == ["/mvtec.tar.xz"]


def test_empty_root_is_downloaded_into(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "mvtec").mkdir()
    assert archive.open(tmp_path / "mvtec").categories == ("bottle", "carpet")


def test_root_that_is_there_is_not_downloaded_into(archive: Archive, whole: Path) -> None:
    archive.open(whole, accept_license=False)
    assert archive.requests == []
