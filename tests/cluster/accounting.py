"""Slurm's accounting on a MariaDB of its own: without it, nobody who waits for a job learns that it has died."""

import contextlib
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.processes import free_port, install, running, wait_for

PACKAGES = {"mariadb-server": "mariadbd", "slurmdbd": "slurmdbd"}
DATABASE_USER = "mysql"  # of Debian's package
CONFIGURATION = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
"""


@contextlib.contextmanager
def accounting(folder: Path, port: int, environment: Mapping[str, str]) -> Iterator[None]:
    """Start MariaDB and slurmdbd in the folder of the munge socket, and stop them."""
    install(PACKAGES)
    password = secrets.token_hex(16)
    with _mariadb(folder / "mariadb", password) as database:
        configuration = folder / "slurmdbd.conf"
        configuration.touch(0o600)
        configuration.write_text(
            CONFIGURATION.format(folder=folder, port=port, database=database, password=password)
        )
        log = folder / "slurmdbd.log"
        with running(["slurmdbd", "-D"], log, environment) as process:
            wait_for(lambda: _listens(port), process, log)
            yield


@contextlib.contextmanager
def _mariadb(folder: Path, password: str) -> Iterator[int]:
    """Start a MariaDB with a database `slurm` and yield its port."""
    folder.mkdir()
    shutil.chown(folder, DATABASE_USER, DATABASE_USER)
    port, at, log = free_port(), f"--socket={folder}/socket", folder / "MariaDB.log"
    data = f"--datadir={folder}/data"
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", data, f"--user={DATABASE_USER}", "--skip-test-db"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    where = [data, at, f"--port={port}", "--bind-address=127.0.0.1", f"--user={DATABASE_USER}"]
    sql = f"CREATE DATABASE slurm; GRANT ALL ON slurm.* TO slurm@'127.0.0.1' IDENTIFIED BY '{password}'"
    client = ["mariadb", "--no-defaults", at, "--user=root"]
    with running(["mariadbd", "--no-defaults", *where], log) as process:
        wait_for((folder / "socket").exists, process, log)
        subprocess.run(client, input=sql, text=True, check=True)
        yield port


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
