"""The hint for a name that is nearly right."""

import pytest

from store.errors import near


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("botle", " (did you mean 'bottle'?)"),
        ("Bottle", " (did you mean 'bottle'?)"),
        ("screw", ""),
        ("", ""),
    ],
)
def test_only_a_similar_name_is_suggested(name: str, hint: str) -> None:
    assert near(name, ("bottle", "cable")) == near(name, {"bottle": 1, "cable": 2}) == hint


def test_nothing_is_suggested_of_nothing() -> None:
    assert near("bottle", ()) == ""
