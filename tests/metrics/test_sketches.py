"""A sketch knows the mass above any score to a known part of it."""

import numpy as np
import pytest

from metrics import sketches
from metrics.sketches import Points, Sketch, join, sort_points


@pytest.mark.parametrize("finest", [1.0, None])
@pytest.mark.parametrize("seed", range(5))
def test_a_sketch_knows_the_mass_above_any_score_to_its_part(
    monkeypatch: pytest.MonkeyPatch, seed: int, finest: float | None
) -> None:
    monkeypatch.setattr(sketches, "CELL", 2**-5)
    rng = np.random.default_rng(seed)
    sketch, parts = Sketch(finest), []
    for size in rng.integers(1, 2000, 100):
        scores = rng.normal(rng.normal(), rng.exponential(), size).round(rng.integers(0, 6))
        masses = np.ones(size) if finest else rng.pareto(1, size)
        parts.append(sort_points(scores, masses))
        sketch.add(parts[-1])
    kept, every = join(list(sketch)), join(parts)
    assert kept.scores.size < every.scores.size / 4
    for compare in (np.greater, np.greater_equal):
        for score in np.unique(every.scores)[::50]:
            known = kept.weighted[compare(kept.scores, score)].sum()
            real = every.weighted[compare(every.scores, score)].sum()
            allowed = sketch.levels * 2**-6 * (1 + 2**-5) * (real if finest else every.weighted.sum())
            assert abs(known - real) <= allowed + 1e-9


def test_the_highest_scores_are_kept_one_by_one() -> None:
    scores = np.arange(300_000, dtype=np.float32)
    kept = sketches.summarise(Points(scores, None), finest=1)
    assert kept.masses is not None
    np.testing.assert_array_equal(kept.scores[-(2**16) :], scores[-(2**16) :])
    np.testing.assert_array_equal(kept.masses[-(2**16) :], 1)
    assert kept.masses.sum() == pytest.approx(scores.size, rel=1e-12)
