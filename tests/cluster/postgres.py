"""An `mlflow server` on PostgreSQL, for as long as a block lasts: python -m tests.cluster.postgres <command>.

The command finds the server's address in MLFLOW_TRACKING_URI.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.cluster.processes import end_at_sigterm, free_port, install, running, wait_for

USER = "postgres"  # of Debian's package; the server refuses to run as root


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start a PostgreSQL of its own on the loopback interface and yield the URI of its database."""
    root = os.geteuid() == 0
    if not _programs():
        install({"postgresql": "initdb"})
    programs = _programs()[-1]
    with TemporaryDirectory(prefix="postgres-") as name:
        folder, port, password = Path(name), free_port(), secrets.token_hex(16)
        secret, log = folder / "password", folder / "PostgreSQL.log"
        secret.write_text(password)
        log.touch()
        if root:
            for path in (folder, secret, log):
                shutil.chown(path, USER, USER)
        user = USER if root else None
        data = folder / "data"
        initdb: list[str | Path] = [programs / "initdb", "--pgdata", data]
        initdb += [f"--username={USER}", f"--pwfile={secret}", "--auth=scram-sha-256", "--encoding=UTF8"]
        subprocess.run(
            initdb,
            check=True,
            user=user,
            group=user,
            extra_groups=[] if user else None,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        where = ["-c", "listen_addresses=127.0.0.1", "-k", str(folder), "-p", str(port)]
        with running([programs / "postgres", "-D", data, *where], log, user=user) as process:
            asked: list[str | Path] = [
                programs / "pg_isready",
                "--quiet",
                "--host=127.0.0.1",
                f"--port={port}",
            ]
            wait_for(lambda: subprocess.run(asked).returncode == 0, process, log)
            # SQLAlchemy takes `postgresql` alone for another driver, psycopg 3
            yield f"postgresql+psycopg2://{USER}:{password}@127.0.0.1:{port}/{USER}"


@contextlib.contextmanager
def mlflow_server(store: str, artifacts: Path, workers: int = 2) -> Iterator[str]:
    """Start an `mlflow server` that keeps runs in a database and artifacts in a folder; yield its address."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "BACKEND_STORE_URI": store,
        "DISABLE_TELEMETRY": "true",
        "SERVER_ENABLE_JOB_EXECUTION": "false",
    }
    environment = {**os.environ, **{f"MLFLOW_{name}": value for name, value in settings.items()}}
    program = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    options = [f"--workers={workers}", f"--artifacts-destination={artifacts}"]
    # uvicorn hangs up after 5 idle seconds, at times just as a client sends its next request
    options.append("--uvicorn-opts=--timeout-keep-alive=120")

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=5) as reply:
            return bool(reply.status == 200)
        return False

    with TemporaryDirectory(prefix="mlflow-") as name:
        log = Path(name) / "mlflow server.log"
        with running([*program, *options], log, environment) as process:
            wait_for(answers, process, log, seconds=180)
            yield address


def _programs() -> list[Path]:
    """Return the folders with PostgreSQL's programs, the newest last; Debian keeps them off the path."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return sorted(found, key=lambda path: int(path.parent.name))


if __name__ == "__main__":
    end_at_sigterm()
    with TemporaryDirectory() as kept, postgres() as database, mlflow_server(database, Path(kept)) as server:
        command = sys.argv[1:] or ["curl", "--silent", f"{server}/version"]
        sys.exit(subprocess.run(command, env={**os.environ, "MLFLOW_TRACKING_URI": server}).returncode)
