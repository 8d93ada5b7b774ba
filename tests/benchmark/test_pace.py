"""Which cell begins, and the time left of a sweep."""

from benchmark.pace import Pace

GUESS = " (a guess, by the time of cells of other jobs)"


def test_cells_are_counted_over_all_jobs_of_the_sweep() -> None:
    pace = Pace({0: 3, 1: 5})
    assert [pace.count(0) for _ in range(3)] == ["cell 1 of 8", "cell 2 of 8", "cell 3 of 8"]
    assert pace.count(1) == "cell 4 of 8"


def test_cells_of_a_job_that_could_not_start_are_passed_over() -> None:
    assert Pace({0: 3, 1: 5}).count(1) == "cell 4 of 8"


def test_no_time_is_given_before_a_cell_has_ended() -> None:
    assert Pace({0: 3}).time_left(0, 3) == ""


def test_the_time_left_is_that_of_the_cells_of_each_job_that_have_ended() -> None:
    pace = Pace({0: 3, 1: 2, 2: 2})
    pace.end(0, 100)
    pace.end(0, 200)
    assert pace.time_left(0, 1) == f", about 12 min left for the sweep{GUESS}"  # 5 cells of 150 s
    pace.end(1, 600)
    assert pace.time_left(1, 1) == f", about 20 min left for the sweep{GUESS}"  # 600 s, and 2 of 300 s
    pace.end(2, 30)
    assert pace.time_left(2, 1) == ", about 30 s left for the sweep"


def test_cells_that_are_known_to_be_finished_take_no_time() -> None:
    pace = Pace({0: 3, 1: 2}, "this job")
    pace.end(1, 50)
    assert pace.time_left(1, 0) == ", about 0 s left for this job"
