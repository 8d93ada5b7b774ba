"""One library's pixel measures on maps from files, in a process of its own that `measures` starts.

    PYTHON measures_worker.py LIBRARY FOLDER

It reads `maps.npy` (float32) and `masks.npy` (bool) in the folder, into memory or, for `ON_DISK`, slice by slice in
each call. It answers each line on its input by one line of JSON: the seconds, the peak memory of all calls so far
beyond that before the first, in bytes, and the measures. It imports only what its library needs, as that is in
another environment than the rest of this suite.
"""

import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

# Neither the modules in this folder nor `datasets` of this suite may hide what a library imports.
sys.path[0] = str(Path(__file__).parents[2]) if sys.argv[1:2] and sys.argv[1].startswith("this") else ""

Values = dict[str, float]
Measure = Callable[[Any, Any], Values]


class OnDisk:
    """Images in a file, of which only the slices asked for are read into memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shape = np.load(path, mmap_mode="r").shape

    def __getitem__(self, images: slice) -> Any:
        return np.load(self._path, mmap_mode="r")[images].copy()


def this_suite() -> Measure:
    import scipy.ndimage  # noqa: F401  # loaded before the calls are measured, as the other libraries are

    from metrics import count_pixels, pixel_auroc, pro

    def measure(maps: Any, masks: Any) -> Values:
        pixels = count_pixels(maps, masks)
        return {"pixel_auroc": pixel_auroc(pixels), "pro": pro(pixels)}

    return measure


def this_suite_ap() -> Measure:
    import scipy.ndimage  # noqa: F401  # as in `this_suite`

    from metrics import count_pixels, pixel_ap, pixel_auroc, pro

    def measure(maps: Any, masks: Any) -> Values:
        pixels = count_pixels(maps, masks)
        return {"pixel_auroc": pixel_auroc(pixels), "pro": pro(pixels), "pixel_ap": pixel_ap(pixels)}

    return measure


def adeval() -> Measure:
    vars(np).setdefault("trapz", np.trapezoid)  # its name before numpy 2.4
    from adeval import auroc_aupr_aupro  # type: ignore[import-not-found]

    def measure(maps: Any, masks: Any) -> Values:
        names = ("pixel_auroc", "pixel_ap", "pro")
        return dict(zip(names, auroc_aupr_aupro(maps, masks.view(np.uint8)), strict=True))

    return measure


def anomalib() -> Measure:
    import torch

    # the measure itself, without the wrapper that picks a batch's fields
    from anomalib.metrics.aupro import _AUPRO as AUPRO  # type: ignore[import-not-found]

    def measure(maps: Any, masks: Any) -> Values:
        pro = AUPRO()
        pro.update(torch.from_numpy(maps), torch.from_numpy(masks.view(np.uint8)))
        return {"pro": float(pro.compute())}

    return measure


def torchmetrics() -> Measure:
    import torch
    from torchmetrics.functional.classification import binary_auroc  # type: ignore[import-not-found]

    def measure(maps: Any, masks: Any) -> Values:
        # numbers outside 0..1 would go through a sigmoid, which rounds different scores to one
        low, high = maps.min(), maps.max()
        scores = torch.from_numpy((maps - low) / (high - low)).flatten()
        return {"pixel_auroc": float(binary_auroc(scores, torch.from_numpy(masks).flatten().long()))}

    return measure


def scikit_learn() -> Measure:
    from sklearn.metrics import roc_auc_score

    return lambda maps, masks: {"pixel_auroc": float(roc_auc_score(masks.ravel(), maps.ravel()))}


ON_DISK = "this suite, with AP, from disk"
LIBRARIES: dict[str, Callable[[], Measure]] = {
    "this suite": this_suite,
    "this suite, with AP": this_suite_ap,
    ON_DISK: this_suite_ap,
    "adeval": adeval,
    "anomalib AUPRO": anomalib,
    "torchmetrics": torchmetrics,
    "scikit-learn": scikit_learn,
}


def _resident(key: str) -> int:
    """Return bytes of this process by a key of the kernel: VmRSS now, VmHWM at the peak."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found, f"/proc/self/status has no {key}"
    return 1024 * int(found[1])


def main(library: str, folder: Path) -> None:
    """Measure once for each line of the input."""
    measure = LIBRARIES[library]()
    load: Callable[[Path], Any] = OnDisk if library == ON_DISK else np.load
    maps, masks = load(folder / "maps.npy"), load(folder / "masks.npy")
    answers = sys.stdout
    sys.stdout = sys.stderr
    print("ready", file=answers, flush=True)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from what is there now
    before = _resident("VmRSS")
    for _ in sys.stdin:
        start = time.perf_counter()
        values = measure(maps, masks)
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "bytes": _resident("VmHWM") - before, "values": values}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
