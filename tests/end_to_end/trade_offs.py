"""What the methods cost and what they find, as an engineer compares them: `python -m tests.end_to_end.trade_offs`.

Trains them on generated data with many test images (about half an hour on two cores) and prints the table of
docs/production.md; `--data FOLDER` takes a category of one's own, in MVTec AD's layout, instead.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmark.deployment.onnx_file import write_onnx
from benchmark.detector import load_detector
from metrics import passed_good
from store.artifacts import Artifacts
from store.table import read_cells
from store.tags import STORE
from tests.conftest import PROJECT_ROOT

METHODS = (
    "stfpm",
    "simple_student",
    "rd",
    "feature_variance",
    "ast",
    "dinomaly",
    "uninformed_students",
    "efficient_ad",
)
GENERATED = ("dataset=synthetic", "dataset.test_good=50", "dataset.test_defective=17")
SHOWN = ("image_auroc", "train_seconds", "inference_seconds_single", "inference_seconds_batched")
MISSES = 0.02


def main() -> None:
    """Train, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="one category in MVTec AD's layout; default: generated data"
    )
    parser.add_argument("--results", type=Path, default=PROJECT_ROOT / "results", help="the results folder")
    parser.add_argument("overrides", nargs="*", help="further options of run_benchmark.py")
    chosen = parser.parse_args()
    data = [f"dataset.root={chosen.data}", "dataset=folder"] if chosen.data else GENERATED
    sweep = "trade_offs" if chosen.data is None else f"trade_offs_{chosen.data.name}"
    command = [
        *(sys.executable, "run_benchmark.py", "-m", f"method={','.join(METHODS)}", f"sweep={sweep}"),
        *(f"results_dir={chosen.results.resolve()}", "protocol=quick", "runtime.threads=1", *data),
        *chosen.overrides,
    ]
    print(" ".join(command), flush=True)
    subprocess.run(command, cwd=PROJECT_ROOT, check=True)
    uri = STORE.replace(str(PROJECT_ROOT / "results"), str(chosen.results.resolve()))
    print(trade_offs(uri, sweep).to_markdown(floatfmt=".3f"))


def trade_offs(uri: str, sweep: str) -> pd.DataFrame:
    """Return a row per method: means over its categories."""
    cells = read_cells(uri, [sweep])
    numbers = cells.pivot_table(index=["method", "run_id"], columns="metric", values="value")
    with TemporaryDirectory() as folder:
        artifacts = Artifacts(uri, Path(folder))
        for method, run_id in numbers.index:
            scores = artifacts.scores(run_id)
            assert scores is not None
            numbers.loc[(method, run_id), "false_alarm_rate"] = 1 - passed_good(
                scores["label"], scores["score"], MISSES
            )
            file = Path(folder) / "model.onnx"
            write_onnx(load_detector(run_id, tracking_uri=uri), file)
            numbers.loc[(method, run_id), "megabytes"] = file.stat().st_size / 1e6
    means = numbers[[*SHOWN, "false_alarm_rate", "megabytes"]].groupby("method").mean().loc[[*METHODS]]
    seconds = means.filter(like="inference")
    return pd.DataFrame(
        {
            "image AUROC": means["image_auroc"],
            f"false alarms at {MISSES:.0%} misses": means["false_alarm_rate"],
            "training, s": means["train_seconds"],
            "ms per image, alone": 1000 * seconds.iloc[:, 0],
            "ms per image, in batches": 1000 * seconds.iloc[:, 1],
            "MB, exported": means["megabytes"],
        }
    )


if __name__ == "__main__":
    main()
