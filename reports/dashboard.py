"""`python -m reports.dashboard`: MLflow's pages on a store, opened where methods can be compared at once."""

import argparse
import json
import subprocess
import sys
from urllib.parse import quote, urlencode

from mlflow import MlflowClient

from reports.cells import MEMBER, STORE, ReportError, find_sweep

HOST = "127.0.0.1"  # nobody on another machine can see or change the store
CHARTS = ("image_auroc", "pixel_auroc", "pro", "dice", "inference_seconds_single", "train_seconds")
VIEW = "mlflow.sharedViewState."
"""Beginning of the tags of an experiment in which MLflow's pages keep views that have an address."""


def arrange(uri: str, sweep: str | None = None) -> str:
    """Give a sweep, by default the latest, a view in MLflow's pages, and return its address below the server's.

    It shows a bar per method for each of `CHARTS`, which is the mean over the sweep's cells of the method, and the
    cells below their method.

    Raises
    ------
    ReportError
        If the store cannot be read or has no such sweep.
    """
    parent = find_sweep(uri, sweep)
    name, experiment = parent.data.tags["sweep"], parent.info.experiment_id
    section = {"uuid": "means", "name": "mean over cells", "display": True, "isReordered": False}
    view = {
        "searchFilter": f"tags.kind = 'cell' and tags.`{MEMBER}{name}` LIKE '%'",
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "method"}],
        },
        "compareRunCharts": [
            {
                "type": "BAR",
                "uuid": metric,
                "metricKey": metric,
                "metricSectionId": section["uuid"],
                "runsCountToCompare": 20,
                "deleted": False,
                "isGenerated": False,
            }
            for metric in CHARTS
        ],
        "compareRunSections": [{**section, "deleted": False, "isGenerated": False}],
        "isAccordionReordered": True,  # else the section would come after those that MLflow adds
    }
    client = MlflowClient(tracking_uri=uri)
    # else the pages open on those for language models, which are empty
    client.set_experiment_tag(experiment, "mlflow.experimentKind", "custom_model_development")
    client.set_experiment_tag(experiment, VIEW + name, json.dumps(view))
    query = {
        "viewStateShareKey": name,
        "compareRunsMode": "CHART",
        "workflowType": "machine_learning",
    }
    return f"/#/experiments/{quote(experiment)}/runs?{urlencode(query)}"


def main() -> int:
    """Print where the latest sweep can be looked at, and start MLflow's server on a local store."""
    parser = argparse.ArgumentParser(prog="python -m reports.dashboard", description=main.__doc__)
    parser.add_argument("--uri", default=STORE, help="MLflow tracking URI (default: the local store)")
    parser.add_argument("--sweep", help="name of the sweep (default: the latest)")
    parser.add_argument("--port", type=int, default=5000)
    arguments = parser.parse_args()
    try:
        address = arrange(arguments.uri, arguments.sweep)
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if arguments.uri.startswith(("http:", "https:")):
        print(arguments.uri.rstrip("/") + address)
        return 0
    print(f"http://{HOST}:{arguments.port}{address}", flush=True)
    command = [
        *(sys.executable, "-m", "mlflow", "server", "--backend-store-uri", arguments.uri),
        *("--host", HOST, "--port", str(arguments.port)),
    ]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
