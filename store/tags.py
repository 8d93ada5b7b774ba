"""Names of tags, metrics, parameters and files in an MLflow store, for those who write and those who read them."""

from pathlib import Path

RESULTS = Path(__file__).resolve().parent.parent / "results"
"""The default results folder."""
STORE = f"sqlite:///{RESULTS / 'mlflow.db'}"
"""The default tracking URI."""

# tags of every run
FORMAT_TAG = "format"
FORMAT = "2"
"""Value of the tag `format`; runs of the first format have no such tag."""
KIND = "kind"
SWEEP_KIND, CELL_KIND = "sweep", "cell"
"""Values of the tag `kind`: the parent run of a sweep, and the run of a cell."""

# tags of a sweep's parent run
SWEEP = "sweep"
"""Name of the sweep; for a cell, of the sweep that ran it."""
JOBS = "jobs"
"""Number of jobs of the sweep."""

# tags of a cell
IDENTITY = "identity"
"""Key of the cell; cells of equal identity have equal results."""
TRAINING_KEY = "training_key"
"""Key of the detector's training."""
TEST_IMAGES = "test_images"
"""Digest of the contents of the test images and masks, whatever size they are brought to; without test images, that of
the train images."""
PRETRAINING_DIGEST = "pretraining_digest"
"""Digest of the contents of the images on which a method pretrains its own networks."""
TEACHER = "teacher"
"""Identity of the frozen network: its name and the digest of the weights used."""
RESULTS_DIR = "results_dir"
"""Results folder of the process that ran the cell, whose locks show whether the cell is still running; `.`: that of
the database of a local store, wherever it is moved."""
REASON = "reason"
"""Error of a failed cell."""
COMMAND = "command"
"""The command for exactly this cell, or where it is written if it is long."""
CHECKSUM = "checksum"
"""Checksum of the metrics, see `store.checksum`."""
TIMED_CATEGORY = "timed_category"
"""Category on whose images the cost of inference was measured: the cell's own, or that of an earlier cell of the job,
whose numbers it repeats."""
MISSING = "missing"
"""Undefined measures, each with its cause."""
UNMEASURED = "unmeasured"
"""Why nothing was measured: `no test images`; a measured cell has no such tag."""
METHOD = "method"
MODE = "mode"
DATASET = "dataset"
"""The dataset's own name: `dataset.name`, by default that of its folder."""
DATASET_CHOICE = "dataset_choice"
"""The configuration by which it was read: `mvtec_ad`, `folder`, ...; earlier cells have only the tag `dataset`, which
holds this choice."""
CATEGORY = "category"
GROUP = "group"
"""Group of the category within its dataset (textures or objects in MVTec AD), or nothing."""
SEED = "seed"
PROTOCOL = "protocol"
BACKBONE = "backbone"
"""timm's name of the frozen network."""
WEIGHTS = "weights"
"""Source of its weights: `imagenet` (timm's), `package` (an installed one), `random`, or the path of a file."""
WEIGHTS_FILE = "weights_file_sha256"
"""SHA-256 of the file of its weights, if they come from a file."""
TRAINED_ON = "trained_on"
"""How the train images differ from all those of the category: `8 train images`, `6 of 60 train images are defective`,
`one model for all 4 categories`; absent: they do not."""
PRETRAINING_IMAGES = "pretraining_images"
"""Images on which the method pretrained its own networks: `own`, or the name of a folder; absent: none."""
OWN_IMAGES = "own"
"""Value of the tag `pretraining_images`: the train images of all categories of the job."""
PRETRAINING_COUNT = "pretraining_count"
"""Number of those images."""
NATURAL_IMAGES = "natural_images"
"""Natural images that the method's training steps see besides the category's: `none`, or the name of a folder; absent:
the method wants none."""
NO_IMAGES = "none"
"""Value of the tag `natural_images`: the method wants some, and no folder of them was named."""
THRESHOLD_POLICY = "threshold_policy"
"""Policy of the cell's thresholds; without test images `train_quantile`, or nothing if no images were held out."""
FPR_LIMIT = "fpr_limit"
DEVICE = "device"
PRECISION = "precision"
CPU = "cpu"
CPU_THREADS = "cpu_threads"
GPU = "gpu"
CPU_COUNT = "cpu_count"
PYTHON = "python"
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "FrEIA",
    "numpy",
    "scipy",
    "scikit-learn",
    "hydra-core",
    "mlflow",
)
"""Libraries whose versions are tags, by their names."""
PLATFORM = "platform"
GIT_COMMIT = "git_commit"
GIT_DIRTY = "git_dirty"
"""Whether tracked files differed from the commit: true, false or unknown."""

# parameters: the resolved options of a cell by their dotted names, and
PROTOCOL_VALUE = "protocol_value."
"""Prefix of an option that was changed; the value is the one that method, dataset and protocol alone give."""
POOL = "dataset.pool"
"""The option that says whether one model is trained for all categories; if so, it is recorded with their names, as in
`all 2 categories (capsule, washer)`."""
CONTAMINATION = "dataset.contamination"
"""The share of the train images that are defective test images, which are no longer tested."""
TRAINING_SET = ("dataset.train_images", CONTAMINATION, POOL)
"""Options by which a model is trained on other images than all of its category's own; a cell has those that do so."""
NUMBERS = (
    *("method.", "backbone.", "evaluation."),
    *("runtime.precision", "runtime.channels_last", "runtime.deterministic"),
    *TRAINING_SET,
)
"""Beginnings of options that can change results, whatever the dataset."""
NOT_NUMBERS = ("evaluation.tables", "evaluation.bootstrap", "evaluation.shifts")
"""Options among those that change no result: what is shown (only cells of the first format have it), and what is
measured in addition."""

QUANTILE = "evaluation.quantile"
"""The option that says which quantile of held-out images' scores is a threshold."""

# metrics of a cell, in addition to the measures
THRESHOLD = "threshold"
IMAGE_THRESHOLD = "image_threshold"
DICE_MAX_THRESHOLD = "dice_max_threshold"
TRAIN_SECONDS = "train_seconds"
TRAIN_IMAGES_PER_SECOND = "train_images_per_second"
PRETRAINING_SECONDS = "pretraining_seconds"
INFERENCE_SECONDS_SINGLE = "inference_seconds_single"
INFERENCE_SECONDS_BATCHED = "inference_seconds_batched"
INFERENCE_IMAGES_PER_SECOND = "inference_images_per_second"
MULTIPLY_ADDS = "multiply_adds"
INFERENCE_BATCH_SIZE = "inference_batch_size"
"""Number of images in the batches that were timed: `evaluation.batch_size`, at most all test images, or, without them,
all train images."""
WITHOUT_TRUTH = "images_without_ground_truth"
"""Number of anomalous test images without ground truth, which pixel measures leave out."""
PEAK_MEMORY_GB = "peak_memory_gb"
CORES_OF_OTHERS = "cores_of_others"
"""Mean number of cores that other processes kept busy while the cell was computed."""
PARAMETERS = "parameters"
TRAIN_IMAGES = "train_images"
"""Number of train images of the category, with those that are held out; of one model for several, of all of them."""
HELD_OUT_IMAGES = "held_out_images"
"""Number of held-out normal images, which give the thresholds of `train_quantile`."""
ANOMALOUS_IMAGES = "anomalous_images"
NORMAL_IMAGES = "normal_images"
"""Numbers of anomalous and normal test images."""
# beginnings of metrics of a threshold policy, before its name: `misses/train_quantile`
MISSES = "misses/"
"""Number of anomalous test images judged normal at the policy's image threshold."""
FALSE_ALARMS = "false_alarms/"
"""Number of normal test images judged anomalous at the policy's image threshold."""
SHIFTED = "shifted_image_auroc/"
"""Beginning of the metric of a shift, before its name: the mean image AUROC over its five levels."""
CHANCE_AUROC = "chance_auroc"
"""Image AUROC that chance exceeds in one of 20 cases with the cell's test images (`store.doubts.chance_auroc`)."""
# endings of metrics of a stage, after its name
LOSS = "/loss"
"""Mean loss by epoch, or by step."""
SELECTION = "/selection"
"""Validation score by which an epoch was chosen, by epoch."""
BEST_EPOCH = "/best_epoch"
"""Epoch whose weights were kept."""
STEPS = "/steps"
"""Number of optimiser steps."""
STILL_IMPROVING = "/still_improving"
"""1 if its curve was still falling at the end (`store.doubts.still_improving`), otherwise 0."""

# artifacts of a cell
SCORES = "scores.csv"
CURVES = "curves.csv"
REGIONS = "regions.csv"
REPLICATES = "bootstrap.npz"
SHIFTS = "shifts.csv"
MAPS = "maps.npz"
PICTURES = "pictures.zip"
PAIRS = "pairs.npz"
FIGURE = "figure.png"
DETECTOR = "detector"
"""Folder of the trained detector."""
MODEL = "model"
"""Name of the logged model of a cell, which MLflow finds as `runs:/<run id>/model`."""
CONFIG = "config.yaml"
TRACEBACK = "traceback.txt"
COMMAND_FILE = "command.txt"
# artifacts of a sweep's parent run
PLANS = "jobs"
"""Folder of the jobs' plans, `<number>.json`."""
DATA = "data"
"""Folder of what was found in the data of each job, `<number>.json`; see `store.data_facts`."""
AUDITS = "audits"
"""Folder of the audits of cells; see `store.audits`."""
REPORT = "report"
"""Folder of the report."""
