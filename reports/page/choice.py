"""Which test images the gallery shows: those on which methods disagree most, and the hardest ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from store.predictions import WRONG, outcome_of

KEYS = ["image", "kind", "label"]


@dataclass(frozen=True)
class Judged:
    """The scores of one category's test images and what follows from them.

    Attributes
    ----------
    scores
        A row per image (index `KEYS`), a column per method; NaN where there is none.
    thresholds
        The image threshold of each method; NaN, or none at all, where it gives no verdicts.
    """

    scores: pd.DataFrame
    thresholds: Mapping[str, float]

    @property
    def images(self) -> list[tuple[str, str, bool]]:
        """Name and kind of each image, and whether it is anomalous."""
        return [(str(image), str(kind), label == 1) for image, kind, label in self.scores.index]

    @property
    def methods(self) -> list[str]:
        """The columns."""
        return [str(label) for label in self.scores]

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """For each score the fraction of the method's others that are lower, 0 to 1; undefined ones do not count."""
        return self.scores.apply(_fraction_below)

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """Verdict compared with label, of `store.predictions.OUTCOMES`; "" without a verdict."""
        columns = {label: self._outcomes(label) for label in self.methods}
        return pd.DataFrame(columns, index=self.scores.index, dtype=object)

    @cached_property
    def disagreement(self) -> "pd.Series[float]":
        """The largest minus the smallest rank that a method gives each image."""
        return self.ranks.max(axis=1) - self.ranks.min(axis=1)

    def chosen(self, count: int) -> list[int]:
        """Return the positions of at most `count` images.

        Of a single method these are the hardest ones, the hardest first. Of several, half are those with the largest
        disagreement, and the others the hardest of the rest; they are sorted by disagreement.
        """
        hardest = self._hardness.sort_values([*self._hardness], ascending=False, kind="stable").index.tolist()
        if self.scores.notna().any().sum() < 2:
            return hardest[:count]
        disagreement = self.disagreement.fillna(0).to_list()
        disputed = sorted(hardest, key=lambda place: disagreement[place], reverse=True)
        most = disputed[: (count + 1) // 2]
        kept = {*most, *[place for place in hardest if place not in most][: count - len(most)]}
        return [place for place in disputed if place in kept]

    @cached_property
    def _hardness(self) -> pd.DataFrame:
        """By position, the mean over methods of what makes an image hard, the most important first.

        A wrong verdict; the share of images of the other kind that it has a score on the wrong side of, ties half;
        how near it is to the other kind among the images of its own.
        """
        wrong = self.outcomes.isin([*WRONG]).mean(axis=1).reset_index(drop=True)
        scores, anomalous = self.scores.reset_index(drop=True), self._anomalous
        signed = scores.where(anomalous, -scores, axis=0)  # the lower, the harder
        crossed, place = signed * 0.0, signed * 0.0
        for own in (anomalous, ~anomalous):
            others = -signed[~own]
            place[own] = 1 - signed[own].apply(_fraction_below)
            crossed[own] = signed[own].apply(
                lambda column, others=others: _share_above(column, others[column.name])
            )
        return pd.DataFrame({"wrong": wrong, "crossed": crossed.mean(axis=1), "place": place.mean(axis=1)})

    @property
    def _anomalous(self) -> "pd.Series[bool]":
        return pd.Series(self.scores.index.get_level_values("label") == 1)

    def _outcomes(self, label: str) -> list[str]:
        threshold = self.thresholds.get(label, float("nan"))
        return [
            "" if pd.isna(score) or pd.isna(threshold) else outcome_of(anomalous, score >= threshold)
            for score, anomalous in zip(self.scores[label], self._anomalous, strict=True)
        ]


def _fraction_below(scores: "pd.Series[float]") -> "pd.Series[float]":
    return (scores.rank(method="min") - 1) / max(scores.count() - 1, 1)


def _share_above(scores: "pd.Series[float]", others: "pd.Series[float]") -> "pd.Series[float]":
    """Return for each score the share of others that are above it, equal ones half; 0 where there are none."""
    known = others.dropna().sort_values().to_numpy()
    if not len(known):
        return scores * 0.0
    below = (known.searchsorted(scores, "left") + known.searchsorted(scores, "right")) / 2
    return pd.Series(1 - below / len(known), scores.index).where(scores.notna())
