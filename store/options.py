"""Options of cells compared: those that tell the cells of a method apart, and those changed from the protocol."""

import ast
from collections import Counter
from collections.abc import Mapping, Sequence

from store.tags import NOT_NUMBERS, NUMBERS, POOL, PROTOCOL_VALUE, TRAINING_SET

Params = Mapping[str, str]

# changed options that captions state in any case
_IN_CAPTIONS = (
    *("backbone.weights", "evaluation.threshold", "evaluation.fpr_limit", "evaluation.pro_variants"),
    "evaluation.batch_size",
)
# options of a dataset that leave its images alone
_ACCESS = (
    *("dataset._target_", "dataset.name", "dataset.root", "dataset.categories", "dataset.cache_dir"),
    *("dataset.normal_dir", "dataset.abnormal_dir", "dataset.normal_test_dir", "dataset.mask_dir"),
    *("dataset.download", "dataset.accept_license", "dataset.url", "dataset.checksum"),
)
# an option of a dataset that refuses images or admits them, but changes none
_REQUIREMENTS = ("dataset.require_masks",)


def differing_options(
    params: Sequence[Params], choices: Sequence[tuple[str, ...]], formats: Sequence[str]
) -> list[str]:
    """Return the options that can change results and that tell cells of one method apart.

    An option that differs only because of the choices (as the image size of two protocols), and was not changed, does
    not count. Neither does one that no cell of a format has, as that format may not know it.

    Parameters
    ----------
    params
        The parameters of each cell; none for a cell that failed before they were known.
    choices
        The choices of each cell that set other options: dataset and protocol.
    formats
        The format of each cell.
    """
    names = dict.fromkeys(name for own in params for name in own if changes_numbers(name))
    differing = []
    for name in names:
        knowing = {version for own, version in zip(params, formats, strict=True) if name in own}
        values = [
            (choice, own.get(name))
            for own, choice, version in zip(params, choices, formats, strict=True)
            if own and version in knowing
        ]
        within_choices = len(set(values)) > len({choice for choice, _ in values})
        changed = any(PROTOCOL_VALUE + name in own for own in params)
        if within_choices or (changed and len({value for _, value in values}) > 1):
            differing.append(name)
    return differing


def changed_options(params: Params) -> dict[str, str]:
    """Return the options of a cell that were changed from its protocol, {option: value}.

    They are those that can change results, and those of the dataset that can change images, without what captions
    state in any case.
    """
    names = [name.removeprefix(PROTOCOL_VALUE) for name in params if name.startswith(PROTOCOL_VALUE)]
    return {
        name: params[name]
        for name in names
        if name in params and (changes_numbers(name) or _changes_data(name)) and name not in _IN_CAPTIONS
    }


def data_options(params: Params) -> dict[str, str]:
    """Return the options of a cell's dataset that can change how its images or their ground truth are read."""
    return {
        name: value for name, value in params.items() if _changes_data(name) and name not in _REQUIREMENTS
    }


def training_set(params: Params) -> dict[str, str]:
    """Return the options by which a cell is trained on other images than all of its category's own, {option: value}."""
    return {name: value for name, value in changed_options(params).items() if name in TRAINING_SET}


def _changes_data(name: str) -> bool:
    return name.startswith("dataset.") and name not in _ACCESS and not changes_numbers(name)


def changes_numbers(name: str) -> bool:
    """Return whether an option can change results, whatever the dataset."""
    return name.startswith(NUMBERS) and not name.startswith(NOT_NUMBERS)


def describe(options: Params) -> str:
    """Return options as labels and captions show them.

    Examples
    --------
    >>> describe({"method.layers": "['layer1', 'layer2']", "backbone.name": "resnet18.tv_in1k"})
    'layers=[layer1,layer2] backbone=resnet18.tv_in1k'
    >>> describe({"dataset.pool": "all 4 categories"})
    'one model for all 4 categories'
    """
    return " ".join(
        f"one model for {value}" if name == POOL else f"{_short(name)}={_shown(value)}"
        for name, value in options.items()
    )


def short_pools(params: Sequence[Params]) -> list[Params]:
    """Return the parameters of cells without the names of the categories that a model is for, unless they tell apart.

    Examples
    --------
    >>> short_pools([{"dataset.pool": "all 2 categories (capsule, washer)"}, {}])
    [{'dataset.pool': 'all 2 categories'}, {}]
    """
    pools = {own[POOL] for own in params if POOL in own}
    short = {pool: pool.partition(" (")[0] for pool in pools}
    counts = Counter(short.values())
    return [
        {**own, POOL: short[own[POOL]]} if POOL in own and counts[short[own[POOL]]] == 1 else own
        for own in params
    ]


def _short(name: str) -> str:
    return "backbone" if name == "backbone.name" else name.removeprefix("method.")


def _shown(value: str) -> str:
    """Return a value as it is written on the command line: lists without spaces, `null`, `true` and `false`."""
    try:
        parsed = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return value
    return _written(parsed) if isinstance(parsed, list | tuple | bool | None) else value


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
