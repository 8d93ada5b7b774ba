"""Train and test cells with anomalib, in an environment that has it: the peer's half of `training` and `sweep`.

    PYTHON -P tests/speed/anomalib_run.py REQUEST.json ANSWER.json

A request holds a list of cells, each with `method` (stfpm or rd), `category` (a folder in MVTec AD's layout),
`weights` (a state dict of the teacher), `image_size`, `batch_size`, `epochs`, `validation_fraction`, `precision`
(fp32 or bf16), `seed`, `workers` and `folder` (where files may be left). The answer is a list of their measures and
seconds, in their order. The settings are anomalib's defaults, except that nothing is drawn, its
post-processor, which clips scores, is left out, and AUPRO is measured as well. Nothing of this project is imported.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

MEASURES = {"image_AUROC": "image_auroc", "pixel_AUROC": "pixel_auroc", "pixel_AUPRO": "pro"}
PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
LAYERS = ("layer1", "layer2", "layer3")


def run_cell(cell: dict[str, Any]) -> dict[str, float]:
    """Fit and test one cell; return image AUROC, pixel AUROC, PRO, `fit_seconds` and `test_seconds`."""
    from anomalib.engine import Engine  # type: ignore[import-not-found]
    from lightning.pytorch import seed_everything  # type: ignore[import-not-found]

    seed_everything(cell["seed"])
    data, model = make_data(cell), make_model(cell)
    held_out = None if cell["validation_fraction"] else 0  # 0: anomalib validates on nothing
    engine = Engine(
        max_epochs=cell["epochs"],
        accelerator="cpu",
        devices=1,
        precision=PRECISIONS[cell["precision"]],
        default_root_dir=cell["folder"],
        enable_progress_bar=False,
        limit_val_batches=held_out,
    )
    start = time.perf_counter()
    engine.fit(model=model, datamodule=data)
    fitted = time.perf_counter()
    found = engine.test(model=model, datamodule=data)[0]
    seconds = {"fit_seconds": fitted - start, "test_seconds": time.perf_counter() - fitted}
    return seconds | {ours: float(found[theirs]) for theirs, ours in MEASURES.items()}


def make_data(cell: dict[str, Any]) -> Any:
    """Return the data module: the held-out part is taken from the train images, the test images are whole."""
    from anomalib.data import Folder  # type: ignore[import-not-found]

    root = Path(cell["category"])
    kinds = sorted(path.name for path in (root / "test").iterdir() if path.is_dir() and path.name != "good")
    held_out = cell["validation_fraction"]
    return Folder(
        name=root.name,
        root=root,
        normal_dir="train/good",
        normal_test_dir="test/good",
        abnormal_dir=[f"test/{kind}" for kind in kinds],
        mask_dir=[f"ground_truth/{kind}" for kind in kinds],
        train_batch_size=cell["batch_size"],
        eval_batch_size=cell["batch_size"],
        num_workers=cell["workers"],
        val_split_mode="from_train" if held_out else "same_as_test",
        val_split_ratio=held_out or None,
        seed=cell["seed"],
    )


def make_model(cell: dict[str, Any]) -> Any:
    """Return the model with the teacher's weights from the file: nothing is fetched."""
    import timm
    import torch
    from anomalib.metrics import AUPRO, AUROC, Evaluator  # type: ignore[import-not-found]
    from anomalib.models import ReverseDistillation, Stfpm  # type: ignore[import-not-found]

    measures = [
        AUROC(fields=["pred_score", "gt_label"], prefix="image_"),
        AUROC(fields=["anomaly_map", "gt_mask"], prefix="pixel_"),
        AUPRO(fields=["anomaly_map", "gt_mask"], prefix="pixel_"),
    ]
    side = cell["image_size"]
    options: dict[str, Any] = {
        "backbone": "resnet18",
        "layers": LAYERS,
        "evaluator": Evaluator(test_metrics=measures),
        "visualizer": False,
        "post_processor": False,
    }
    if cell["method"] == "rd":
        options["pre_processor"] = ReverseDistillation.configure_pre_processor((side, side))
        model = ReverseDistillation(pre_trained=False, **options)
        teacher = model.model.encoder
    else:
        options["pre_processor"] = Stfpm.configure_pre_processor((side, side))
        create = timm.create_model  # Stfpm has no option that keeps it off the hub
        timm.create_model = lambda name, **given: create(name, **given | {"pretrained": False})
        try:
            model = Stfpm(**options)
        finally:
            timm.create_model = create
        teacher = model.model.teacher_model
    expected = teacher.feature_extractor.state_dict()
    state = torch.load(cell["weights"], map_location="cpu", weights_only=True)
    counters = {key: value for key, value in expected.items() if key.endswith("num_batches_tracked")}
    teacher.feature_extractor.load_state_dict(
        counters | {key: state[key] for key in expected if key in state}
    )
    return model


if __name__ == "__main__":
    cells = json.loads(Path(sys.argv[1]).read_text())
    Path(sys.argv[2]).write_text(json.dumps([run_cell(cell) for cell in cells]))
