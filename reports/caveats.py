"""Warnings about facts that a reader of the tables might overlook, one sentence each."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from metrics import MEASURES, is_oracle
from reports.tables.captions import pretraining
from reports.tables.cost import machines
from reports.tables.literature import PROTOCOLS, published_networks
from reports.tables.seeds import ENOUGH_SEEDS
from reports.teachers import UNTRAINED, teachers
from store.table import labels, rows
from store.tags import FORMAT, OWN_IMAGES

NAMED = 4
"""So many cells are named one by one; the others are counted."""


def caveats(cells: pd.DataFrame) -> list[str]:
    """Return the warnings of a report, the most serious first, each naming the methods that it concerns.

    First what is missing, then what makes numbers incomparable with others or with each other, then the limits of
    what they can show. Empty if there is nothing to warn of.
    """
    named = cells.assign(label=labels, row=rows)
    done = named[named["status"] == "FINISHED"]
    sentences = [sentence for rule in _OF_ALL for sentence in rule(named)]
    if done.empty:
        return sentences
    return sentences + [sentence for rule in _OF_FINISHED for sentence in rule(done)]


def _not_finished(named: pd.DataFrame) -> list[str]:
    """Warn of cells without numbers: failed, running, interrupted."""
    runs = _one_each(named)
    verbs = {"FAILED": "failed", "RUNNING": "still running"}
    states = runs["status"].map(lambda status: verbs.get(status, f"unfinished ({status.lower()})"))
    return [
        f"{len(part)} of {len(runs)} cells {_be(part, state)} and missing from means: {_cells(part)}."
        for state, part in _by(runs.assign(state=states), "state")
        if (part["status"] != "FINISHED").all()
    ]


def _never_ran(named: pd.DataFrame) -> list[str]:
    """Warn of combinations of method, category and seed that no sweep ran."""
    keys = ["label", "row", "seed"]
    expected = pd.MultiIndex.from_product([pd.unique(named[key]) for key in keys], names=keys)
    missing = expected.difference(pd.MultiIndex.from_frame(named[keys]), sort=False).to_frame(index=False)
    if missing.empty:
        return []
    was = "was" if len(missing) == 1 else "were"
    return [
        f"{len(missing)} of {len(expected)} cells {was} never run and missing from means: {_cells(missing)}."
    ]


def _undefined(done: pd.DataFrame) -> list[str]:
    """Warn of measures that some finished cells have and others lack."""
    sentences = []
    every = _one_each(done)
    for name, measure in MEASURES.items():
        having = _one_each(done[(done["metric"] == name) & done["value"].notna()])
        lacking = every[~_keys(every).isin(_keys(having))]
        if len(having) and len(lacking):
            sentences.append(
                f"{measure.label} is undefined or was not measured in {len(lacking)} of {len(every)} finished cells, "
                f"missing from means: {_cells(lacking)}."
            )
    return sentences


def _untrained(done: pd.DataFrame) -> list[str]:
    untrained = done[done["weights"] == UNTRAINED]
    return [
        f"The teacher of {_labels(part)} is {teacher}: no comparison with published numbers."
        for teacher, part in _by(untrained.assign(teacher=teachers), "teacher")
    ]


def _other_networks(done: pd.DataFrame) -> list[str]:
    """Warn of teacher networks with which no numbers of a method were published."""
    runs = done.drop_duplicates(["label", "backbone"])
    published = runs["method"].map(published_networks)
    pairs = zip(runs["backbone"], published, strict=True)
    differ = [bool(networks) and network not in networks for network, networks in pairs]
    sentences = []
    for network, part in _by(runs.assign(published=published.map(" or ".join))[differ], "backbone"):
        used = [f"{name} for {_listed(pd.unique(own['method']))}" for name, own in _by(part, "published")]
        listed = "; ".join(used) if len(used) > 1 else part["published"].iloc[0]
        sentences.append(f"The teacher of {_labels(part)} is {network}, but published numbers used {listed}.")
    return sentences


def _other_protocols(done: pd.DataFrame) -> list[str]:
    return [
        f"Protocol {protocol} of {_labels(part)} is not the published one: no comparison with published numbers."
        for protocol, part in _by(done[~done["protocol"].isin(PROTOCOLS)], "protocol")
    ]


def _changed(done: pd.DataFrame) -> list[str]:
    return [
        f"Settings were changed from the protocol's for {_labels(part)}: {changes}."
        for changes, part in _by(done, "changes")
        if changes
    ]


def _earlier(done: pd.DataFrame) -> list[str]:
    runs = _one_each(done)
    old = runs[runs["format"] != FORMAT]
    if old.empty:
        return []
    return [
        f"{len(old)} of {len(runs)} finished cells ({_labels(old)}) were recorded by an earlier version, and which of "
        "their settings were changed is not known."
    ]


def _own_images(done: pd.DataFrame) -> list[str]:
    own = done[done["pretraining_images"] == OWN_IMAGES]
    return [
        f"The teachers of {label} were pretrained on {images}, and not on natural images as published."
        for label, images in pretraining(own, "label")
    ]


def _mixed_protocols(done: pd.DataFrame) -> list[str]:
    return _mixed(done, "protocol", "protocols", "so schedules and sizes of images may differ")


def _mixed_limits(done: pd.DataFrame) -> list[str]:
    overlaps = done[done["metric"].str.startswith("pro")]
    consequence = "so their PROs are different measures"
    return _mixed(overlaps, "fpr_limit", "limits of the false-positive rate", consequence)


def _mixed_policies(done: pd.DataFrame) -> list[str]:
    at_threshold = done[done["metric"].isin([m.name for m in MEASURES.values() if m.at_threshold])]
    consequence = f"so values of {_titles(at_threshold)} do not compare"
    return _mixed(at_threshold, "threshold_policy", "rules for thresholds", consequence)


def _mixed_teachers(done: pd.DataFrame) -> list[str]:
    consequence = "so a difference between methods may be one between teachers"
    return _mixed(done.assign(teacher=teachers), "teacher", "teachers", consequence)


def _oracles(done: pd.DataFrame) -> list[str]:
    """Warn of measures whose thresholds use the test labels."""
    sentences = []
    for policy, part in _by(done, "threshold_policy"):
        measures = [m.name for m in MEASURES.values() if m.at_threshold and is_oracle(policy)]
        concerned = part[part["metric"].isin(measures)]
        if len(concerned):
            sentences.append(
                f"Oracle: {_titles(concerned)} of {_labels(concerned)} {_be_of(concerned)} taken at thresholds chosen "
                f"on the test images ({policy}), which production does not have."
            )
    always = done[done["metric"].isin([m.name for m in MEASURES.values() if m.oracle])]
    if len(always):
        sentences.append(
            f"Oracle: {_titles(always)} of {_labels(always)} {_be_of(always)} the best over all thresholds, chosen on "
            "the test images."
        )
    return sentences


def _code(done: pd.DataFrame) -> list[str]:
    """Warn of several commits, unknown ones, and uncommitted changes."""
    short = done.assign(commit=done["git_commit"].str[:10].replace("", "unknown"))
    sentences = _mixed(short, "commit", "states of the code (commits)", "so the code may differ too")
    dirty = short[short["git_dirty"] == "true"]
    if len(dirty):
        sentences.append(
            f"The code of {_labels(dirty)} had uncommitted changes: commit "
            f"{_listed(pd.unique(dirty['commit']))} alone does not reproduce these numbers."
        )
    unknown = short[short["commit"] == "unknown"]
    if len(unknown):
        sentences.append(f"The state of the code is not recorded for {_labels(unknown)}.")
    return sentences


def _one_category(done: pd.DataFrame) -> list[str]:
    categories = pd.unique(done["row"])
    if len(categories) > 1:
        return []
    return [f"There is only one category, {categories[0]} ({_labels(done)}): other categories may differ."]


def _few_seeds(done: pd.DataFrame) -> list[str]:
    seeds = done.groupby("label", sort=False)["seed"].nunique()
    one, few = seeds[seeds == 1], seeds[(seeds > 1) & (seeds < ENOUGH_SEEDS)]
    sentences = []
    if len(one):
        sentences.append(
            f"One seed of {_listed(one.index)}: the variation between seeds is unknown, and there are neither "
            "deviations nor confidence intervals."
        )
    if len(few):
        counted = [f"{label} ({count})" for label, count in few.items()]
        sentences.append(
            f"Fewer than {ENOUGH_SEEDS} seeds of {_listed(counted)}: deviations are themselves uncertain, and "
            "there are no confidence intervals."
        )
    return sentences


def _mixed_machines(done: pd.DataFrame) -> list[str]:
    timed = done[done["metric"].str.endswith("_seconds") | done["metric"].str.startswith("inference_")]
    setups: dict[str, list[str]] = {}
    for label, part in _by(timed, "label"):
        for setup in machines(part):
            setups.setdefault(setup, []).append(label)
    if len(setups) < 2:
        return []
    listed = "; ".join(f"{setup} ({_listed(methods)})" for setup, methods in setups.items())
    return [f"Costs were measured with {len(setups)} setups, so times do not compare: {listed}."]


def _mixed(done: pd.DataFrame, column: str, title: str, consequence: str) -> list[str]:
    """Return a sentence if a column has several values, each with its methods; "" counts as a value."""
    if column not in done or done[column].nunique() < 2:
        return []
    listed = "; ".join(f"{value or 'none'} for {_labels(part)}" for value, part in _by(done, column))
    return [f"Different {title} are compared, {consequence}: {listed}."]


def _by(table: pd.DataFrame, column: str) -> list[tuple[str, pd.DataFrame]]:
    """Return the parts of a table by the values of a column, in order of appearance."""
    return [(str(value), part) for value, part in table.groupby(column, sort=False)]


def _one_each(named: pd.DataFrame) -> pd.DataFrame:
    return named.drop_duplicates(["label", "row", "seed", "protocol", "status"])


def _keys(named: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(named[["label", "row", "seed", "protocol"]])


def _cells(runs: pd.DataFrame) -> str:
    """Name cells by method: categories and seeds."""
    parts = []
    for label, part in _by(runs, "label"):
        items = [f"{row} seed {seed}" for row, seed in part[["row", "seed"]].itertuples(index=False)]
        more = [f"{len(items) - NAMED} more"] if len(items) > NAMED else []
        parts.append(f"{label} ({_listed([*items[:NAMED], *more])})")
    return "; ".join(parts)


def _labels(part: pd.DataFrame) -> str:
    return _listed(pd.unique(part["label"]))


def _titles(part: pd.DataFrame) -> str:
    return _listed(measure.label for name, measure in MEASURES.items() if (part["metric"] == name).any())


def _be(part: pd.DataFrame, state: str) -> str:
    if state == "failed":
        return state
    return f"{'is' if len(part) == 1 else 'are'} {state}"


def _be_of(part: pd.DataFrame) -> str:
    return "is" if part["metric"].nunique() == 1 else "are"


def _listed(items: Iterable[object]) -> str:
    return ", ".join(map(str, items))


_Rule = Callable[[pd.DataFrame], list[str]]
_OF_ALL: Sequence[_Rule] = (_not_finished, _never_ran)
_OF_FINISHED: Sequence[_Rule] = (
    *(
        _undefined,
        _untrained,
        _other_networks,
        _other_protocols,
        _changed,
        _earlier,
        _mixed_protocols,
        _mixed_limits,
        _mixed_policies,
    ),
    *(_oracles, _own_images, _mixed_teachers, _code, _one_category, _few_seeds, _mixed_machines),
)
