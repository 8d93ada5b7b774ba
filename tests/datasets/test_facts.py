"""Facts of categories: their JSON form, and a line of text."""

import json
from typing import Any

from datasets.facts import CategoryFacts, describe, to_json

SCREW = CategoryFacts(
    category="screw",
    group="metal",
    train=20,
    good=5,
    kinds={"scratch": 3, "dent": 4},
    masks=7,
    size="640x480",
    other_sizes=2,
    modes={"RGB": 31, "L": 1},
    mask_values=(0, 1),
    mask_threshold=0.5,
    median_share=0.031,
    largest_share=0.2,
    alpha=1,
    warnings=("one mask is empty",),
)


def test_facts_survive_json() -> None:
    objects = json.loads(json.dumps(to_json([SCREW, CategoryFacts("empty")])))
    tuples: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in each.items()} for each in objects
    ]
    assert [CategoryFacts(**each) for each in tuples] == [SCREW, CategoryFacts("empty")]


def test_json_has_the_names_of_the_attributes_and_nothing_but_json() -> None:
    (plain,) = to_json([SCREW])
    assert plain["kinds"] == {"scratch": 3, "dent": 4}
    assert plain["warnings"] == ["one mask is empty"]
    assert plain == json.loads(json.dumps(plain))


def test_a_line_describes_a_category() -> None:
    assert describe(SCREW) == (
        "screw: 20 train, 5 good and 7 anomalous (scratch 3, dent 4), 640x480 and 2 of other sizes, RGB and L; "
        "7 masks of 0, 1 (alpha) > 0.5, 3.1 % of the image (largest 20.0 %)"
    )
