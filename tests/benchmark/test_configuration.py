"""Options by their dotted names; that a sweep records those it changed is tested in tests/end_to_end."""

from benchmark.configuration import flat


def test_nested_options_get_dotted_names_and_lists_stay_whole() -> None:
    tree = {"method": {"layers": ["a", "b"], "training": {"epochs": 5, "stages": {}}}, "seed": 0}
    assert flat(tree) == {"method.layers": ["a", "b"], "method.training.epochs": 5, "seed": 0}
