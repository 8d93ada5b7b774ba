"""`python -m reports.dashboard`: MLflow's server on the local store, ended with all its workers."""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from urllib.parse import quote, urlencode

from store.client import open_store
from store.errors import StoreError
from store.local import check, database_of, follow, is_writable, uri_of
from store.plan import MEMBER
from store.table import search
from store.tags import CELL_KIND, KIND, METHOD, STORE, SWEEP, SWEEP_KIND

HOST = "127.0.0.1"
STOP_SECONDS = 5.0
"""How long the server may take to end by itself."""
COLUMNS = ("image_auroc", "pixel_auroc", "pro")
"""Measures that the view of a sweep shows; MLflow sorts them by name."""
VIEW = "measures"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
"""Tag of an experiment in which MLflow keeps a view that has an address."""
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Serve the store on the loopback address until Ctrl-C, SIGTERM or SIGHUP."""
    parser = argparse.ArgumentParser(prog="python -m reports.dashboard", description=main.__doc__)
    parser.add_argument(
        "--uri", default=STORE, help="a local store, sqlite:///... (default: the one in results/)"
    )
    parser.add_argument("--port", type=_port, default=5000, help="default: 5000")
    arguments = parser.parse_args()
    try:
        uri = _local(arguments.uri)
        _check_port(arguments.port)
        page = arrange(uri)
    except StoreError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"http://{HOST}:{arguments.port}/{page} (Ctrl-C ends it)", flush=True)
    address = ("--host", HOST, "--port", str(arguments.port))
    return serve((sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, *address))


def arrange(uri: str) -> str:
    """Give the latest sweep a view in MLflow's pages, and return its address below the server's.

    It has a row per method with the means of `COLUMNS` over its cells, and below it a row per cell. MLflow would open
    with empty pages about language models, and a table without measures. The address of a store without sweeps is
    that of its first page; a store that may not be written keeps the view that it has.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    sweeps = search(uri, f"tags.{KIND} = '{SWEEP_KIND}'")
    if not sweeps:
        return ""
    experiment, member = sweeps[-1].info.experiment_id, MEMBER + sweeps[-1].data.tags[SWEEP]
    view = {
        "searchFilter": f"tags.{KIND} = '{CELL_KIND}' and tags.`{member}` LIKE '%'",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": METHOD}],
        },
        "selectedColumns": [f"metrics.`{name}`" for name in COLUMNS],
    }
    database = database_of(uri)
    if database is not None and is_writable(database):
        open_store(uri).set_experiment_tag(experiment, VIEW_TAG, json.dumps(view))
    query = {"viewStateShareKey": VIEW, "workflowType": "machine_learning"}
    return f"#/experiments/{quote(experiment)}/runs?{urlencode(query)}"


def serve(command: Sequence[str]) -> int:
    """Run a server until it ends or a signal ends it, and return the exit code."""
    for number in ENDING:
        signal.signal(number, _end)
    # a session of its own, all of which is ended: MLflow's program alone would leave its server and workers running
    server = subprocess.Popen(
        command,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        start_new_session=True,
    )
    try:
        return server.wait()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        _stop(server)


def _stop(server: "subprocess.Popen[bytes]") -> None:
    """End the server's session: ask, wait, and end what is left."""
    with suppress(ProcessLookupError):
        os.killpg(server.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            server.wait(STOP_SECONDS)
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _local(uri: str) -> str:
    """Return the URI by which MLflow opens a local store that exists."""
    database = database_of(uri)
    if database is None:
        raise StoreError(f"--uri={uri}: expected a local store, sqlite:///<path of a file>")
    check(database)
    follow(database)
    return uri_of(database)


def _check_port(port: int) -> None:
    """Refuse a port that another process listens on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise StoreError(
                f"port {port} of {HOST} cannot be used ({error.strerror}); choose another: make dashboard PORT=..."
            ) from None


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"found {text}; expected a number from 1 to 65535")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
