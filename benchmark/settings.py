"""The resolved configuration as typed objects: a value of the wrong kind is refused before any work starts."""

import difflib
import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_object

from benchmark.errors import BenchmarkError
from metrics import MEASURES, PRO_VARIANTS, THRESHOLD_POLICIES

T = TypeVar("T")


@dataclass(frozen=True)
class FeatureLimits:
    """Room for teacher features, in GB: per split on the device and in memory, in all on disk."""

    device_gb: float
    memory_gb: float
    disk_gb: float

    def resident_gb(self, device: str) -> float:
        """Return the room for what stays beside the computation on a device of this type."""
        return self.device_gb if device == "cuda" else self.memory_gb


@dataclass(frozen=True)
class Trainer:
    """How the work is done: conf/trainer/default.yaml."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["fp32", "bf16"]
    channels_last: bool
    malloc: bool
    threads: int | None
    deterministic: bool
    progress: bool
    cache_dir: Path
    features: FeatureLimits
    checkpoint_seconds: float | None


@dataclass(frozen=True)
class Pretext:
    """The images that stages train on which belong to no category: `training.pretext` of a method.

    Attributes
    ----------
    images
        A folder of natural images, searched with all its subfolders; None: the train images of all
        categories of the run.
    limit
        At most so many of them are used, a random part.
    image_size
        Side to which they are brought, pixels.
    """

    images: Path | None = None
    limit: int = 10_000
    image_size: int = 256

    def __post_init__(self) -> None:
        _at_least_one("method.training.pretext", limit=self.limit, image_size=self.image_size)


@dataclass(frozen=True)
class Schedule:
    """How one stage trains: for a number of epochs, or of steps (batches)."""

    batch_size: int
    optimizer: Mapping[str, Any]
    epochs: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Training:
    """A method's schedule: `training` in conf/method/<name>.yaml.

    `stages.<name>` overrides batch size, optimizer and epochs for one stage, or counts steps instead. Depth is
    brought to a side of `depth_size` pixels, where the dataset has any.
    """

    image_size: int
    batch_size: int
    epochs: int
    validation_fraction: float
    validation_seed: int
    optimizer: Mapping[str, Any]
    stages: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    pretext: Pretext = field(default_factory=Pretext)
    depth_size: int = 192

    def __post_init__(self) -> None:
        _at_least_one("method.training", image_size=self.image_size, depth_size=self.depth_size)
        self.schedule("")
        for name in self.stages:
            self.schedule(name)

    def schedule(self, name: str) -> Schedule:
        """Return the schedule of the stages that go by this name."""
        own = self.stages.get(name, {})
        path = f"method.training.stages.{name}" if own else "method.training"
        if not isinstance(own, Mapping):
            raise BenchmarkError(f"{path}={own}: accepted: a group of options")
        if "epochs" in own and "steps" in own:
            raise BenchmarkError(f"{path} has both epochs and steps; accepted: one of the two")
        usual = {"batch_size": self.batch_size, "optimizer": self.optimizer}
        length = {} if "steps" in own else {"epochs": self.epochs}
        schedule = typed(Schedule, {**usual, **length, **own}, path)
        given = {key: getattr(schedule, key) for key in ("batch_size", "epochs", "steps")}
        _at_least_one(path, **{key: value for key, value in given.items() if value is not None})
        return schedule


def _at_least_one(path: str, **values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise BenchmarkError(f"{path}.{name}={value}: accepted: 1 or more")


@dataclass(frozen=True)
class Evaluation:
    """What is measured: conf/evaluation/default.yaml."""

    batch_size: int
    threshold: str
    quantile: float
    fpr_limit: float
    pro_variants: Sequence[str]
    tables: Sequence[str]

    def __post_init__(self) -> None:
        one_of("evaluation.threshold", [self.threshold], THRESHOLD_POLICIES)
        one_of("evaluation.pro_variants", self.pro_variants, PRO_VARIANTS)
        one_of("evaluation.tables", self.tables, MEASURES)
        if self.batch_size < 1:
            raise BenchmarkError(f"evaluation.batch_size={self.batch_size}: accepted: 1 or more")


@dataclass(frozen=True)
class Tracking:
    """Where results are recorded: conf/tracking/mlflow.yaml."""

    uri: str
    experiment: str
    maps: bool = True
    pictures: bool = True
    student: bool = True
    figure: bool = True
    report: bool = True


@dataclass(frozen=True)
class Jobs:
    """How the cells of a sweep are worked off: `jobs` in conf/config.yaml.

    Attributes
    ----------
    force
        Run cells again that have finished before.
    fail_fast
        End the sweep with the first cell that fails.
    cell_seconds
        A cell that trains and scores longer fails; None: no limit.
    """

    force: bool
    fail_fast: bool
    cell_seconds: float | None

    def __post_init__(self) -> None:
        if self.cell_seconds is not None and self.cell_seconds <= 0:
            raise BenchmarkError(f"jobs.cell_seconds={self.cell_seconds:g}: accepted: more than 0, or null")


def one_of(path: str, values: Collection[str], known: Collection[str]) -> None:
    """Refuse a value that is not among the known ones."""
    for value in values:
        if value not in known:
            near = difflib.get_close_matches(value, known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise BenchmarkError(f"{path}: '{value}' is unknown{hint}; accepted: {', '.join(known)}")


def build(path: str, values: Mapping[str, Any], **given: Any) -> Any:
    """Call what `_target_` names with the other values, each checked against its type hint.

    Parameters
    ----------
    path
        Of the values in the configuration, for messages: `method`, `dataset`.
    values
        `_target_` and the arguments.
    given
        Further arguments, which do not come from the configuration.

    Raises
    ------
    BenchmarkError
        If the target cannot be imported, or an argument is unknown, missing or of the wrong type.
    """
    factory = target_of(path, values)
    return typed(factory, {key: value for key, value in values.items() if key != "_target_"}, path, **given)


def target_of(path: str, values: Mapping[str, Any]) -> Any:
    """Import what `_target_` names; see `build`."""
    target = values.get("_target_")
    if not isinstance(target, str):
        raise BenchmarkError(f"{path}._target_ is missing: it names the class, as module.Class")
    try:
        return get_object(target)
    except Exception as error:  # whatever the import of a user's module raises
        raise BenchmarkError(f"{path}._target_={target}: cannot be imported ({error})") from error


def typed(factory: Callable[..., T], values: Mapping[str, Any], path: str, **given: Any) -> T:
    """Call a class or function with configured values, each checked against its type hint."""
    parameters = inspect.signature(factory).parameters
    hints = get_type_hints(getattr(factory, "__init__") if isinstance(factory, type) else factory)
    accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    known = [name for name in parameters if name not in given]
    for name in values:
        if name not in known and not accepts_any:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise BenchmarkError(f"{path}.{name}: there is no such option{hint}; known: {', '.join(known)}")
    missing = [
        name
        for name, p in parameters.items()
        if p.default is p.empty
        and name not in values
        and name not in given
        and p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    if missing:
        raise BenchmarkError(f"{path}.{missing[0]} is missing; known: {', '.join(known)}")
    checked = {name: convert(value, hints.get(name, Any), f"{path}.{name}") for name, value in values.items()}
    return factory(**checked, **given)


def convert(value: Any, hint: Any, path: str) -> Any:
    """Return the value as the type that the hint names, or refuse it; hints of other kinds accept anything."""
    if _matches(value, hint):
        if get_origin(hint) in (Union, types.UnionType):
            return convert(value, next(item for item in get_args(hint) if _matches(value, item)), path)
        if hint is float:
            return float(value)
        if hint is Path:
            return Path(value).expanduser()
        if isinstance(hint, type) and hasattr(hint, "__dataclass_fields__"):
            return typed(hint, value, path)
        return value
    raise BenchmarkError(f"{path}={value}: accepted: {_describe(hint)}")


def _matches(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in arguments
    if origin in (Union, types.UnionType):
        return any(_matches(value, argument) for argument in arguments)
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint in (bool, str):
        return isinstance(value, hint)
    if hint is Path:
        return isinstance(value, str | Path)
    if (isinstance(hint, type) and hasattr(hint, "__dataclass_fields__")) or origin is Mapping:
        return isinstance(value, Mapping)
    if origin in (Sequence, list, tuple):
        return isinstance(value, list | tuple) and all(
            _matches(item, arguments[0]) for item in value if arguments and arguments[0] is not Ellipsis
        )
    return True


def _describe(hint: Any) -> str:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return ", ".join(map(str, arguments))
    if origin in (Union, types.UnionType):
        return " or ".join(_describe(argument) for argument in arguments)
    if origin in (Sequence, list, tuple):
        return f"a list, each item {_describe(arguments[0])}"
    names = {
        bool: "true, false",
        int: "a whole number",
        float: "a number",
        str: "text",
        Path: "a path",
        type(None): "null",
    }
    return names.get(hint, "a group of options")
