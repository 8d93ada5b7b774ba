"""Plans of jobs, keys of jobs, and positions of cells, in the present form and in that of the first format."""

import json

import pytest

from store import format1
from store.errors import StoreError
from store.plan import Member, Plan, job_key, parse_member, read_plan

PLAN = Plan("stfpm", ("method=stfpm", "seed=1"), ("bottle", "cable"), "0123456789abcdef")


def test_a_plan_comes_back() -> None:
    assert read_plan(PLAN.to_json(), "jobs/0.json") == PLAN


@pytest.mark.parametrize("text", ["", "[]", "{}", PLAN.to_json()[:-20], '{"title": 1, "overrides": 2}'])
def test_a_damaged_plan_is_named(text: str) -> None:
    with pytest.raises(StoreError, match=r"jobs/0\.json: the plan is damaged"):
        read_plan(text, "jobs/0.json")


def test_a_position_comes_back() -> None:
    member = Member(12, 345, PLAN.key)
    assert str(member) == "12.345.0123456789abcdef"
    assert parse_member(str(member)) == member
    assert parse_member('{"place": [0, 1]}') is None


def test_the_key_of_a_job_depends_on_what_can_change_results() -> None:
    params = {"method.layers": ["a"], "seed": 0, "runtime.device": "cpu", "tracking.uri": "x"}
    key = job_key(params)
    assert len(key) == 16
    assert job_key({**params, "runtime.device": "cuda", "evaluation.tables": ["pro"]}) == key
    for change in (
        {"method.layers": ["b"]},
        {"seed": 1},
        {"dataset.root": "/x"},
        {"runtime.precision": "bf16"},
    ):
        assert job_key({**params, **change}) != key


def test_positions_and_plans_of_the_first_format_are_read() -> None:
    overrides = ["method=stfpm", "seed=1", "sweep=a"]
    member = format1.member_of(json.dumps({"place": [2, 5], "overrides": overrides}))
    plan = format1.plan_of(
        json.dumps({"title": "stfpm", "overrides": overrides[::-1], "categories": ["bottle"]})
    )
    assert (member.job, member.place) == (2, 5)
    assert plan is not None
    assert plan.categories == ("bottle",)
    assert plan.key == member.key


def test_json_that_mlflow_cut_ends_nothing() -> None:
    text = json.dumps({"place": [2, 5], "overrides": ["x" * 9000]})[:8000]
    member = format1.member_of(text)
    assert (member.job, member.place) == (2, 5)
    assert format1.plan_of(text) is None
    assert format1.member_of("").job == 0
