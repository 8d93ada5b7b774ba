"""Warnings about facts that a reader of the tables might overlook, one sentence each."""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from metrics import MEASURES, is_oracle
from reports.data_caveats import DATA_RULES
from reports.measured import measured, trained_only
from reports.parts import Parts
from reports.sentences import (
    KEYS,
    are,
    by,
    cell_names,
    keys,
    listed_parts,
    method_names,
    mixed,
    one_each,
    titles,
    were,
)
from reports.tables.captions import on_datasets, pretraining
from reports.tables.cost import machines
from reports.tables.literature import PROTOCOLS, base_method, published_networks, read_published
from reports.tables.seeds import ENOUGH_SEEDS
from reports.teachers import UNTRAINED, teachers
from reports.training_caveats import training_caveats
from store.table import labels, rows
from store.tags import DATASET_CHOICE, FORMAT, NO_IMAGES, OWN_IMAGES
from store.text import counted, listed


def caveats(cells: pd.DataFrame, parts: Parts | None = None) -> list[str]:
    """Return the warnings of a report, the most serious first, each naming the methods that it concerns.

    First what is missing, then what makes numbers incomparable with others or with each other, then the limits of
    what they can show. Empty if there is nothing to warn of. With `parts`, a rule that fails costs its warnings only.
    """

    named = cells.assign(label=labels, row=rows)
    done = named[named["status"] == "FINISHED"]
    tables = [
        *((rule, named) for rule in _OF_ALL),
        *((rule, done if rule in _OF_TRAININGS else measured(done)) for rule in _OF_FINISHED),
    ]
    checks = [partial(rule, table) for rule, table in tables if len(table)]
    results = [parts.make_all("warnings", check) if parts else check() for check in checks]
    return [sentence for sentences in results for sentence in sentences]


def _not_finished(named: pd.DataFrame) -> list[str]:
    """Warn of cells without numbers: failed, running, interrupted."""
    runs = one_each(named)
    verbs = {"FAILED": "failed", "RUNNING": "still running"}
    states = runs["status"].map(lambda status: verbs.get(status, f"unfinished ({status.lower()})"))
    return [
        f"{len(part)} of {counted(len(runs), 'cell')} {_be(part, state)} and missing from means: {cell_names(part)}."
        for state, part in by(runs.assign(state=states), "state")
        if (part["status"] != "FINISHED").all()
    ]


def _never_ran(named: pd.DataFrame) -> list[str]:
    """Warn of combinations of method, category and a seed of the method that no sweep ran."""
    columns = ["label", "row", "seed"]
    seeds, categories = named[["label", "seed"]].drop_duplicates(), named[["row"]].drop_duplicates()
    expected = pd.MultiIndex.from_frame(seeds.merge(categories, how="cross")[columns])
    missing = expected.difference(pd.MultiIndex.from_frame(named[columns]), sort=False).to_frame(index=False)
    if missing.empty:
        return []
    count, total = len(missing), counted(len(expected), "cell")
    return [f"{count} of {total} {were(count)} never run and missing from means: {cell_names(missing)}."]


def _trained_only(named: pd.DataFrame) -> list[str]:
    """Name the cells that were not measured, as there are no test images."""
    finished, only = one_each(named[named["status"] == "FINISHED"]), one_each(trained_only(named))
    if only.empty:
        return []
    if len(only) == len(finished):
        return [
            "Nothing was measured, as there are no test images. The detectors are trained: the table of them shows "
            "their thresholds and how to use them."
        ]
    count, total = len(only), counted(len(finished), "finished cell")
    return [
        f"{count} of {total} {were(count)} trained, not measured, as there are no test images: {cell_names(only)}."
    ]


def _undefined(done: pd.DataFrame) -> list[str]:
    """Warn of measures that some finished cells have and others lack, and of cells without any."""
    if not done["metric"].isin(MEASURES).any():
        return [
            "No measure is defined on these test images: they need normal and anomalous ones, or masks of anomalous "
            "ones."
        ]
    sentences = []
    every = one_each(done)
    defined = done[done["value"].notna()].drop_duplicates([*KEYS, "metric"])
    counts = defined["metric"].value_counts()
    for name, measure in MEASURES.items():
        if 0 < counts.get(name, 0) < len(every):
            lacking = every[~keys(every).isin(keys(defined[defined["metric"] == name]))]
            sentences.append(
                f"{measure.label} is undefined or was not measured in {len(lacking)} of "
                f"{counted(len(every), 'finished cell')}, missing from means: {cell_names(lacking)}."
            )
    return sentences


def _untrained(done: pd.DataFrame) -> list[str]:
    untrained = done[done["weights"] == UNTRAINED]
    return [
        f"The teacher of {method_names(part)} is {teacher}: its numbers are not comparable with published ones."
        for teacher, part in by(untrained.assign(teacher=teachers), "teacher")
    ]


def _other_networks(done: pd.DataFrame) -> list[str]:
    """Warn of teacher networks with which no numbers of a method were published, where any were for the dataset."""
    literature = read_published()
    known = {*zip(literature["method"].map(base_method), literature["dataset"], strict=True)}
    runs = done.drop_duplicates(["label", "backbone", DATASET_CHOICE])
    published = runs["method"].map(published_networks)
    compared = [place in known for place in zip(runs["method"], runs[DATASET_CHOICE], strict=True)]
    pairs = zip(compared, runs["backbone"], published, strict=True)
    differ = [has_numbers and network not in networks for has_numbers, network, networks in pairs]
    sentences = []
    for network, part in by(runs.assign(published=published.map(" or ".join))[differ], "backbone"):
        used = [f"{name} for {listed(pd.unique(own['method']))}" for name, own in by(part, "published")]
        networks = "; ".join(used) if len(used) > 1 else part["published"].iloc[0]
        sentences.append(
            f"The teacher of {method_names(part)} is {network}, but published numbers used {networks}."
        )
    return sentences


def _other_protocols(done: pd.DataFrame) -> list[str]:
    return [
        f"Protocol {protocol} of {method_names(part)} is not the published one: its numbers are not comparable with "
        "published ones."
        for protocol, part in by(done[~done["protocol"].isin(PROTOCOLS)], "protocol")
    ]


def _changed(done: pd.DataFrame) -> list[str]:
    return [
        f"Settings were changed from the protocol's for {method_names(part)}{on_datasets(part, done)}: {changes}."
        for changes, part in by(done, "changes")
        if changes
    ]


def _earlier(done: pd.DataFrame) -> list[str]:
    runs = one_each(done)
    old = runs[runs["format"] != FORMAT]
    if old.empty:
        return []
    return [
        f"{len(old)} of {counted(len(runs), 'finished cell')} ({method_names(old)}) {were(len(old))} recorded by an "
        "earlier version, and which settings were changed is not known."
    ]


def _own_images(done: pd.DataFrame) -> list[str]:
    own = done[done["pretraining_images"] == OWN_IMAGES]
    return [
        f"The teachers of {label} were pretrained on {images}, and not on natural images as published."
        for label, images in pretraining(own, "label")
    ]


def _no_natural_images(done: pd.DataFrame) -> list[str]:
    without = done[done["natural_images"] == NO_IMAGES]
    if without.empty:
        return []
    return [
        f"The training steps of {method_names(without)} saw no natural images besides the category's, as published "
        "ones do: method.training.pretraining.images names none."
    ]


def _mixed_protocols(done: pd.DataFrame) -> list[str]:
    return mixed(done, "protocol", "protocols", "so schedules and sizes of images may differ")


def _mixed_limits(done: pd.DataFrame) -> list[str]:
    overlaps = done[done["metric"].str.startswith("pro")]
    consequence = "so their PROs are different measures"
    return mixed(overlaps, "fpr_limit", "limits of the false-positive rate", consequence)


def _mixed_policies(done: pd.DataFrame) -> list[str]:
    at_threshold = done[done["metric"].isin([m.name for m in MEASURES.values() if m.at_threshold])]
    consequence = f"so values of {titles(at_threshold)} do not compare"
    return mixed(at_threshold, "threshold_policy", "rules for thresholds", consequence)


def _mixed_teachers(done: pd.DataFrame) -> list[str]:
    consequence = "so a difference between methods may be one between teachers"
    return mixed(done.assign(teacher=teachers), "teacher", "teachers", consequence)


def _oracles(done: pd.DataFrame) -> list[str]:
    """Warn of measures whose thresholds use the test labels."""
    sentences = []
    for policy, part in by(done, "threshold_policy"):
        measures = [m.name for m in MEASURES.values() if m.at_threshold and is_oracle(policy)]
        concerned = part[part["metric"].isin(measures)]
        if len(concerned):
            sentences.append(
                f"Oracle: {titles(concerned)} of {method_names(concerned)} {_are(concerned)} taken at thresholds "
                f"chosen on the test images ({policy}), which are unavailable in production."
            )
    always = done[done["metric"].isin([m.name for m in MEASURES.values() if m.oracle])]
    if len(always):
        sentences.append(
            f"Oracle: {titles(always)} of {method_names(always)} {_are(always)} the best over all thresholds, chosen "
            "on the test images."
        )
    return sentences


def _code(done: pd.DataFrame) -> list[str]:
    """Warn of several commits, unknown ones, and uncommitted changes."""
    short = done.assign(commit=done["git_commit"].str[:10].replace("", "unknown"))
    sentences = mixed(short, "commit", "states of the code (commits)", "so the code may differ too")
    dirty = short[short["git_dirty"] == "true"]
    if len(dirty):
        sentences.append(
            f"The code of {method_names(dirty)} had uncommitted changes: commit "
            f"{listed(pd.unique(dirty['commit']))} alone does not reproduce these numbers."
        )
    unknown = short[short["commit"] == "unknown"]
    if len(unknown):
        sentences.append(f"The state of the code is not recorded for {method_names(unknown)}.")
    return sentences


def _one_category(done: pd.DataFrame) -> list[str]:
    categories = pd.unique(done["row"])
    if len(categories) > 1:
        return []
    return [
        f"There is only one category, {categories[0]} ({method_names(done)}): other categories may differ."
    ]


def _few_seeds(done: pd.DataFrame) -> list[str]:
    seeds = done.groupby("label", sort=False)["seed"].nunique()
    one, few = seeds[seeds == 1], seeds[(seeds > 1) & (seeds < ENOUGH_SEEDS)]
    sentences = []
    if len(one):
        sentences.append(
            f"One seed of {listed(one.index)}: the variation between seeds is unknown, and there are neither "
            "deviations nor confidence intervals."
        )
    if len(few):
        named = [f"{label} ({count})" for label, count in few.items()]
        sentences.append(
            f"Fewer than {ENOUGH_SEEDS} seeds of {listed(named)}: deviations are themselves uncertain, and "
            "there are no confidence intervals."
        )
    return sentences


def _mixed_machines(done: pd.DataFrame) -> list[str]:
    timed = done[done["metric"].str.endswith("_seconds") | done["metric"].str.startswith("inference_")]
    setups: dict[str, list[str]] = {}
    for label, part in by(timed, "label"):
        for setup in machines(part):
            setups.setdefault(setup, []).append(label)
    if len(setups) < 2:
        return []
    named = listed_parts([f"{setup} ({listed(methods)})" for setup, methods in setups.items()])
    return [f"Costs were measured with {len(setups)} setups, so times do not compare: {named}."]


def _be(part: pd.DataFrame, state: str) -> str:
    return state if state == "failed" else f"{are(len(part))} {state}"


def _are(measures: pd.DataFrame) -> str:
    return are(measures["metric"].nunique())


_Rule = Callable[[pd.DataFrame], list[str]]
_OF_ALL: Sequence[_Rule] = (_not_finished, _never_ran, _trained_only)
_OF_TRAININGS: Sequence[_Rule] = (training_caveats, _untrained, _changed, _code)
"""Rules that concern cells that were trained only, too."""
_OF_FINISHED: Sequence[_Rule] = (
    *(
        _undefined,
        *DATA_RULES,
        training_caveats,
        _untrained,
        _other_networks,
        _other_protocols,
        _changed,
        _earlier,
    ),
    *(
        _mixed_protocols,
        _mixed_limits,
        _mixed_policies,
        _oracles,
        _own_images,
        _no_natural_images,
        _mixed_teachers,
        _code,
        _one_category,
    ),
    *(_few_seeds, _mixed_machines),
)
