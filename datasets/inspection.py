"""A look at all chosen categories before anything trains: one error with every fault, and facts with warnings."""

import os
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from datasets.category import Category, Sample
from datasets.dataset import Dataset
from datasets.doubts import VALUES, Found, faults_of, shares_of, values_of, warnings_of
from datasets.errors import SHOWN, DatasetError
from datasets.facts import CategoryFacts
from datasets.images import check_binary, read_header, read_mask_values, value_shares
from datasets.names import check_category_name, check_dataset_name, check_file_name
from datasets.point_clouds import check_header
from store.folders import file_state


def inspect(dataset: Dataset) -> list[CategoryFacts]:
    """List all chosen categories of a dataset, read the headers of all files, and decode the masks.

    What was found is remembered in the process while the files do not change.

    Raises
    ------
    DatasetError
        If a name or a category cannot be used; it names all faults, of each category up to five.
    """
    check_dataset_name(dataset.name)
    facts: list[CategoryFacts] = []
    faults: dict[str, tuple[str, ...]] = {}
    for name in dataset.categories:
        check_category_name(name)
        try:
            found, faults[name] = _look(dataset, dataset.category(name))
            facts.append(found)
        except DatasetError as error:
            faults[name] = error.faults
    refused = {name: each for name, each in faults.items() if each}
    if refused:
        count = sum(map(len, refused.values()))
        where = f" in {len(refused)} of {len(faults)} categories" if len(faults) > 1 else ""
        total = f"found {count} faults{where}: " if count > 1 else ""
        raise DatasetError(total + "; ".join(_listed(*each) for each in refused.items()))
    return facts


def _listed(name: str, faults: Sequence[str]) -> str:
    more = f"; and {len(faults) - SHOWN} more in '{name}'" if len(faults) > SHOWN else ""
    return f"'{name}': " + "; ".join(faults[:SHOWN]) + more


_REMEMBERED: dict[tuple[str, str], tuple[object, CategoryFacts, tuple[str, ...]]] = {}


def _look(dataset: Dataset, category: Category) -> tuple[CategoryFacts, tuple[str, ...]]:
    """Return what was found in a category, and its faults."""
    samples = (*category.train, *category.validation, *category.test)
    unused = dataset.unused(category)
    try:
        states = [file_state(path) for each in samples for path in _files(each)]
    except OSError as error:
        raise DatasetError(f"{error.filename}: cannot be read ({error.strerror})") from error
    place, given = (dataset.name, category.name), (category, unused, states)
    if place not in _REMEMBERED or _REMEMBERED[place][0] != given:
        for sample in samples:
            check_file_name(sample.image)
        found = _find_all(samples, category.mask_threshold)
        faults = (*faults_of(category, samples, found), *(each for one in found for each in one.faults))
        warnings = (
            () if faults else (*warnings_of(category, samples, found, dataset.has_ground_truth), *unused)
        )
        _REMEMBERED[place] = given, _facts(category, found, warnings), faults
    return _REMEMBERED[place][1:]


def _files(sample: Sample) -> Iterable[Path]:
    return (path for path in (sample.image, sample.mask, sample.xyz) if path is not None)


def _find_all(samples: Sequence[Sample], threshold: float | None) -> list[Found]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            return list(pool.map(partial(_find, threshold=threshold), samples))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _find(sample: Sample, threshold: float | None) -> Found:
    """Look into the files of one sample."""
    found = Found()
    try:
        found.header = read_header(sample.image)
        size = found.header.size
    except DatasetError as error:
        found.faults += error.faults
        return found
    try:
        if sample.mask is not None:
            values, found.from_alpha = read_mask_values(sample.mask, size, threshold)
            shares = value_shares(values)
            found.values = tuple(shares)
            check_binary(sample.mask, shares, threshold, found.from_alpha)
            found.share = sum(share for value, share in shares.items() if value > (threshold or 0))
    except DatasetError as error:
        found.faults += error.faults
    try:
        if sample.xyz is not None:
            check_header(sample.xyz, size)
    except DatasetError as error:
        found.faults += error.faults
    return found


def _facts(category: Category, found: Sequence[Found], warnings: tuple[str, ...]) -> CategoryFacts:
    headers = [each.header for each in found if each.header is not None]
    sizes = Counter("x".join(map(str, header.size)) for header in headers)
    shares = shares_of(found)
    kinds = Counter(sample.kind for sample in category.test if sample.label)
    return CategoryFacts(
        category=category.name,
        group=category.group,
        train=len(category.train),
        validation=len(category.validation),
        good=len(category.test) - kinds.total(),
        kinds=dict(kinds),
        masks=sum(sample.mask is not None for sample in category.test if sample.label),
        size=sizes.most_common(1)[0][0] if sizes else "",
        other_sizes=len(headers) - max(sizes.values(), default=0),
        modes=dict(Counter(("16-bit " if each.is_deep_colour else "") + each.mode for each in headers)),
        mask_values=values_of(found)[:VALUES],
        mask_threshold=category.mask_threshold,
        median_share=statistics.median(shares) if shares else None,
        largest_share=max(shares, default=None),
        alpha=sum(each.from_alpha for each in found),
        warnings=warnings,
    )
