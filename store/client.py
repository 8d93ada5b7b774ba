"""Clients of stores: MLflow's own, and one for local stores that finds artifacts next to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import Error as SQLiteError
from tempfile import TemporaryDirectory

from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from sqlalchemy.exc import SQLAlchemyError

from store.errors import StoreError, first_line
from store.local import ARTIFACTS, MODELS, artifacts_of, check, database_of, path_of, uri_of
from store.passwords import with_password, without_password


class LocalClient(MlflowClient):
    """A client of a local store, which keeps files next to the database, whatever path MLflow has recorded for them.

    Files of a run that are not there are read from the recorded path: an earlier version kept them elsewhere.
    """

    def __init__(self, database: Path) -> None:
        super().__init__(tracking_uri=uri_of(database))
        self._artifacts = artifacts_of(database)

    def folder_of(self, run_id: str) -> Path:
        """Return the folder in which files of a run are kept."""
        return self._artifacts / run_id / ARTIFACTS

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        """Write a text file of a run under a name or path."""
        name, target = Path(artifact_file), self.folder_of(run_id) / artifact_file
        if target.is_symlink():  # damaged: a link to itself could not be written to
            target.unlink()
        with TemporaryDirectory() as folder:
            (Path(folder) / name.name).write_text(text, encoding="utf-8")
            parent = None if name.parent == Path() else name.parent.as_posix()
            self._files(run_id).log_artifact(str(Path(folder) / name.name), parent)

    def log_artifacts(self, run_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Copy all files of a folder to a run's."""
        self._files(run_id).log_artifacts(local_dir, artifact_path)

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        """Return the files of a run in a folder, without their sizes: a damaged one may have none."""
        found = {
            file.relative_to(folder).as_posix(): file.is_dir()
            for folder in reversed(self._folders(run_id))
            if (folder / (path or "")).is_dir()
            for file in (folder / (path or "")).iterdir()
        }
        return [FileInfo(name, is_dir, None) for name, is_dir in sorted(found.items())]

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        """Return the path of a run's file or folder, copied to a folder if one is given."""
        folders = self._folders(run_id)
        folder = next((folder for folder in folders if (folder / path).exists()), folders[0])
        return str(_repository(folder).download_artifacts(path, dst_path))

    def log_model_artifact(self, model_id: str, local_path: str, artifact_path: str | None = None) -> None:
        """Copy a file to a logged model's."""
        self._model_files(model_id).log_artifact(local_path, artifact_path)

    def log_model_artifacts(self, model_id: str, local_dir: str, artifact_path: str | None = None) -> None:
        """Copy all files of a folder to a logged model's."""
        self._model_files(model_id).log_artifacts(local_dir, artifact_path)

    def _model_files(self, model_id: str) -> LocalArtifactRepository:
        return _repository(self._artifacts / MODELS / model_id / ARTIFACTS)

    def _files(self, run_id: str) -> LocalArtifactRepository:
        return _repository(self.folder_of(run_id))

    def _folders(self, run_id: str) -> list[Path]:
        """Return the folders in which files of a run may lie, the one next to the database first."""
        own = self.folder_of(run_id)
        recorded = path_of(str(self.get_run(run_id).info.artifact_uri))
        return [own] if recorded in (None, own) else [own, recorded]


def _repository(folder: Path) -> LocalArtifactRepository:
    return LocalArtifactRepository(folder.as_uri())


def client_of(uri: str) -> MlflowClient:
    """Return a client of a store, with the password from the environment, see `store.passwords`."""
    database = database_of(uri)
    return MlflowClient(tracking_uri=with_password(uri)) if database is None else LocalClient(database)


def open_store(uri: str) -> MlflowClient:
    """Return a client for reading a store; of a local one, nothing is created or changed.

    Raises
    ------
    StoreError
        If it is a local store that does not exist, is incomplete or damaged.
    """
    with reading_errors(uri):
        database = database_of(uri)
        if database is not None:
            check(database)
        return client_of(uri)


@contextmanager
def reading_errors(uri: str) -> Iterator[None]:
    """Turn the errors of reading a store into `StoreError`."""
    try:
        yield
    except (MlflowException, SQLAlchemyError, SQLiteError, ImportError, OSError) as error:
        reason = without_password(first_line(error))
        raise StoreError(f"{without_password(uri)}: the store cannot be read ({reason})") from None
