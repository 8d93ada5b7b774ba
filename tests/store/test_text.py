"""Counts and lists in sentences."""

import pytest

from store.text import counted, listed


@pytest.mark.parametrize(
    ("noun", "plural"),
    [
        *(
            ("cell", "cells"),
            ("finished cell", "finished cells"),
            ("category", "categories"),
            ("day", "days"),
        ),
        *(("box", "boxes"), ("batch", "batches"), ("image", "images")),
    ],
)
def test_only_one_of_a_thing_is_in_the_singular(noun: str, plural: str) -> None:
    assert [counted(number, noun) for number in (0, 1, 2, 11)] == [
        f"0 {plural}",
        f"1 {noun}",
        f"2 {plural}",
        f"11 {plural}",
    ]


def test_an_irregular_plural_can_be_given() -> None:
    assert counted(2, "criterion", "criteria") == "2 criteria"
    assert counted(1, "criterion", "criteria") == "1 criterion"


@pytest.mark.parametrize(
    ("items", "most", "text"),
    [([], None, ""), ("ab", None, "a, b"), ("abc", 3, "a, b, c"), ("abcd", 3, "a, b, c and 1 more")],
)
def test_long_lists_end_with_the_number_of_the_others(items: str, most: int | None, text: str) -> None:
    assert listed(items, most) == text
