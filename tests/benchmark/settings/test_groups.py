"""Groups of settings refuse values that no run can use, when they are read."""

import os
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from benchmark.errors import BenchmarkError
from benchmark.settings.evaluation import Evaluation
from benchmark.settings.groups import GROUPS, VALUES, check_groups, did_you_mean, hints_from
from benchmark.settings.runtime import FeatureLimits, RuntimeSettings
from benchmark.settings.sweep import Jobs, Protocol, Tracking
from benchmark.settings.values import typed
from tests.conftest import PROJECT_ROOT

FEATURES = {"device_gb": 1, "memory_gb": 1, "disk_gb": 0}
RUNTIME: dict[str, Any] = {
    "device": "cpu",
    "precision": "fp32",
    "channels_last": True,
    "malloc": True,
    "threads": None,
    "deterministic": True,
    "progress": False,
    "cache_dir": "cache",
    "features": FEATURES,
    "checkpoint_seconds": None,
}
EVALUATION: dict[str, Any] = {
    "batch_size": 4,
    "threshold": "f1_image",
    "quantile": 0.995,
    "fpr_limit": 0.3,
    "pro_variants": ["exact"],
    "bootstrap": 1000,
}
USUAL: dict[type, dict[str, Any]] = {
    RuntimeSettings: RUNTIME,
    Evaluation: EVALUATION,
    Tracking: {"uri": "sqlite:///x.db", "experiment": "x"},
    Jobs: {"force": False, "fail_fast": False, "cell_seconds": None, "audit": 0},
    Protocol: {"name": "paper"},
}
FRACTION = r"expected a number, more than 0 and at most 1 \(a fraction, not percent\)$"
NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("kind", "name", "values", "message"),
    [
        (Evaluation, "threshold", ["best"], r": found 'best'; expected f1_image, "),
        (Evaluation, "pro_variants", [["exact", "rescale"]], r": found 'rescale' .*mean 'rescaled'"),
        (Evaluation, "pro_variants", [["exact"] * 2], r": found 'exact' 2 times; expected each once"),
        (Evaluation, "pro_variants", ["exact", [1], None], r"=.*: expected a list, each item text"),
        (Evaluation, "shifts", [["blur", "nois"]], r": found 'nois' .*mean 'noise'.*; expected brightness, .*, all$"),
        (Evaluation, "shifts", ["fog"], r": found 'fog'; expected brightness, darkness, .*, translation, all$"),
        (Evaluation, "shifts", [["blur"] * 2], r": found 'blur' 2 times; expected each once"),
        (Evaluation, "shifts", [None, 5, ""], r"=.*: expected text or a list, each item text"),
        (Evaluation, "batch_size", [0, -1, 10**9], r"=.*: expected a whole number, 1 to 65536$"),
        (Evaluation, "bootstrap", [-1, 2.5, 10**6], r"=.*: expected a whole number, 0 to 100000$"),
        (Evaluation, "fpr_limit", [0, 30, -0.1, NAN], f"=.*: {FRACTION}"),
        (Evaluation, "quantile", [0, 99.5, NAN, INFINITY], f"=.*: {FRACTION}"),
        (RuntimeSettings, "threads", [0, -1, 100_000], r"=.*: expected a whole number, 1 to \d+ .*, or auto, or null"),
        (RuntimeSettings, "checkpoint_seconds", [-5, NAN, INFINITY], "=.*: .*, 0 or more, or null$"),
        (RuntimeSettings, "cache_dir", [""], "=: expected a path; the value is empty"),
        (RuntimeSettings, "features", [None, 5], "=.*: expected a group of options$"),
        (RuntimeSettings, "features", [FEATURES | {"disk_gb": -1}], r"\.disk_gb=-1: expected a number, 0 or more$"),
        (Jobs, "audit", [-1], "=-1: expected a whole number, 0 or more .*"),
        (Jobs, "cell_seconds", [0, -1.0, NAN, INFINITY, 1e12], "=.*: .*more than 0 and at most 31622400 .*, or null"),
        (Jobs, "force", [1, "yes", None], "=.*: expected true, false$"),
        (Tracking, "uri", [""], r"=: expected text; the value is empty \(a shell variable"),
        (Tracking, "experiment", ["", None], "=.*: expected text"),
        (Protocol, "name", ["", None, 5], "=.*: expected text"),
    ],
)  # fmt: skip
def test_values_that_no_run_can_use_are_refused_with_the_accepted_ones(
    kind: type, name: str, values: list[object], message: str
) -> None:
    typed(kind, USUAL[kind], "group")
    for value in values:
        with pytest.raises(BenchmarkError, match=rf"^\w+\.{name}{message}"):
            typed(kind, USUAL[kind] | {name: value}, "group")


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        (Evaluation, {"fpr_limit": 1, "quantile": 1.0, "batch_size": 65_536, "pro_variants": []}),
        (Evaluation, {"shifts": "all"}),
        (Evaluation, {"shifts": ["blur", "jpeg"]}),
        (RuntimeSettings, {"threads": 8 * (os.cpu_count() or 1), "checkpoint_seconds": 0}),
        (Jobs, {"cell_seconds": 0.001}),
    ],
)
def test_bounds_that_can_be_meant_are_accepted(kind: type, changes: dict[str, Any]) -> None:
    read = typed(kind, USUAL[kind] | changes, "group")
    assert {name: getattr(read, name) for name in changes} == changes


def test_features_are_held_on_the_gpu_or_in_main_memory() -> None:
    limits = FeatureLimits(device_gb=8, memory_gb=4, disk_gb=50)
    assert (limits.resident_gb("cuda"), limits.resident_gb("cpu")) == (8, 4)


WHOLE: dict[str, Any] = {**{name: {} for name in GROUPS}, **dict.fromkeys(VALUES, 0)}


# other tests of the process may have run the command, which registers choices of the same names
@pytest.mark.filterwarnings("ignore:(?s).*ConfigStore schema with the same name")
def test_the_known_options_are_those_of_the_configuration() -> None:
    import run_benchmark  # noqa: F401 (registers what the configuration refers to)

    with initialize_config_dir(str(PROJECT_ROOT / "conf"), version_base="1.3"):
        config = compose("config", ["method=stfpm"])
    assert set(config) == {*GROUPS, *VALUES}
    check_groups([str(key) for key in config])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foo": {"bar": 1}}, r"^foo\.bar: there is no such option; known: runtime, "),
        ({"jops": {}}, r"^jops: there is no such option \(did you mean 'jobs'\?\)"),
        ({"trainer": {"threads": 1}}, r"^trainer\.threads: .*\(did you mean 'runtime\.threads'\?\)"),
        ({"runtime": None}, r"^runtime=null: expected a group of options$"),
        ({"jobs": "fast"}, r"^jobs=fast: expected a group of options$"),
    ],
)
def test_groups_that_do_not_exist_or_are_none_are_refused(changes: dict[str, Any], message: str) -> None:
    whole = WHOLE | {"runtime": {"threads": None}}
    check_groups(whole)
    with pytest.raises(BenchmarkError, match=message):
        check_groups(whole | changes)


@pytest.mark.parametrize("name", [*GROUPS, *VALUES])
def test_an_option_that_was_deleted_is_missed(name: str) -> None:
    with pytest.raises(BenchmarkError, match=rf"^{name} is missing; known: "):
        check_groups({key: value for key, value in WHOLE.items() if key != name})


@pytest.mark.parametrize(
    ("name", "key", "hint"),
    [
        ("trainer.features.disk_gb", "trainer", " (did you mean 'runtime.features.disk_gb'?)"),
        ("threads", "threads", " (did you mean 'runtime.threads'?)"),
        ("runtim.threads", "runtim", " (did you mean 'runtime'?)"),
        ("sede", "sede", " (did you mean 'seed'?)"),
        ("batch_size", "batch_size", " (did you mean 'evaluation.batch_size' or 'method.batch_size'?)"),
        ("foo.bar", "foo", ""),
    ],
)
def test_the_hint_is_a_close_name_or_where_an_option_of_that_name_stands(
    name: str, key: str, hint: str
) -> None:
    options = {
        "runtime": {"threads": 1, "features": {"disk_gb": 1}},
        "evaluation": {"batch_size": 1},
        "method": {"batch_size": 1},
        "seed": 0,
    }
    assert did_you_mean(name, key, list(options), options) == hint


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("epochs", r" \(did you mean 'method\.training\.epochs'\?\)"),
        ("names", r" \(did you mean 'name'\?\)"),
        ("foo", ""),
    ],
)
def test_an_option_in_the_wrong_group_is_answered_with_its_own(option: str, hint: str) -> None:
    whole = {"method": {option: 1, "training": {"epochs": 2}}, "seed": 0}
    with (
        pytest.raises(
            BenchmarkError, match=rf"^method\.{option}: there is no such option{hint}; known: name$"
        ),
        hints_from(whole),
    ):
        typed(Protocol, {option: 1}, "method")
