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
    monkeypatch.setattr(sketches, "BAND", 2**7)
    rng = np.random.default_rng(seed)
    sketch, parts = Sketch(finest, leaf=1000), []
    for size in rng.integers(1, 2000, 100):
        scores = rng.normal(rng.normal(), rng.exponential(), size).round(rng.integers(0, 6))
        masses = np.ones(size) if finest else rng.pareto(1, size)
        parts.append(sort_points(scores, masses))
        sketch.add(scores, None if finest else masses)
    kept, every = sketch.points(), join(parts)
    assert kept.scores.size < every.scores.size / 4
    asked = np.unique(every.scores)[::50]
    for compare, known in zip((np.greater, np.greater_equal), sketch.above(asked), strict=True):
        for score, mass in zip(asked, known, strict=True):
            real = every.weighted[compare(every.scores, score)].sum()
            part = 2**-6 * (1 + 2**-5) * (real if finest else every.weighted.sum())
            assert abs(mass - real) <= sketch.levels * part + 1e-9
            summarised = kept.weighted[compare(kept.scores, score)].sum()
            assert abs(summarised - real) <= (sketch.levels + 1) * part + 1e-9


def test_the_highest_scores_are_kept_one_by_one() -> None:
    scores = np.arange(300_000, dtype=np.float32)
    kept = sketches.summarise(Points(scores, None), finest=1)[:]
    assert kept.masses is not None
    np.testing.assert_array_equal(kept.scores[-(2**16) :], scores[-(2**16) :])
    np.testing.assert_array_equal(kept.masses[-(2**16) :], 1)
    assert kept.masses.sum() == pytest.approx(scores.size, rel=1e-12)
