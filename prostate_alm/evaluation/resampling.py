"""Stratified percentile bootstrap of a rate above a threshold that critical cases set.

Cases are drawn with replacement within each stratum (positives, negatives; in `multiclass` each class), because a test
set fixes how many of each it holds. Two models, or several runs, are compared on the same draws. What is resampled
are the test cases: the intervals hold for the trained networks at hand and say nothing about training once more
(`comparisons.paired_seeds` does).
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.cases import check_level
from prostate_alm.evaluation.roc import Scores

FEWEST_MISSES = 5
BLOCK_DRAWS = 1_000_000  # indices held at once: 8 MB, and as much for the scores drawn
Counts = NDArray[np.int64]


class FewPositivesWarning(UserWarning):
    """So few positives may be missed that the bootstrap of the threshold can't be trusted."""


@dataclass(frozen=True)
class RateInterval:
    """A rate (0 to 1) with its percentile interval.

    Attributes:
        value: on the cases as they are.
        low: lower end.
        high: upper end.
        reliable: False where the interval is known not to keep its level; `note` says why.
        note: empty where `reliable`.
    """

    value: float
    low: float
    high: float
    reliable: bool
    note: str


@dataclass(frozen=True)
class PairedDifference:
    """A rate of a minus that of b on the same cases, with percentile interval and two-sided bootstrap p.

    Attributes:
        difference: on the cases as they are.
        low: lower end.
        high: upper end.
        p_value: ``min(1, 2 (1 + min(#{d <= 0}, #{d >= 0})) / (B + 1))`` over the B resampled differences d: the
            level at which the percentile interval just reaches 0. Draws of exactly 0 count on both sides. The 1 added
            (Davison and Hinkley 1997, chapter 4) keeps it from 0; the smallest possible is ``2 / (B + 1)``.
        reliable: as in `RateInterval`.
        note: as in `RateInterval`.
    """

    difference: float
    low: float
    high: float
    p_value: float
    reliable: bool = True
    note: str = ""


@dataclass(frozen=True)
class Resampling:
    """How often to resample, from which seed, and the level of the interval.

    Raises:
        ArgumentError: `level` is out of (0, 1), or not even one resample would lie in each tail.
    """

    resamples: int
    seed: int
    level: float

    def __post_init__(self) -> None:
        check_level(self.level)
        if self.resamples * (1 - self.level) / 2 < 1:
            raise ArgumentError(
                f"`resamples` must put at least one resample in each tail of a {self.level:g} interval, "
                f"got {self.resamples}; 2000 is usual."
            )

    def indices(self, sizes: tuple[int, ...]) -> Iterator[Counts]:
        """Blocks ``[b, sum(sizes)]`` of indices into cases ordered by stratum, each drawn within its stratum."""
        rng = np.random.default_rng(self.seed)
        starts = np.cumsum((0, *sizes[:-1]))
        block = max(1, BLOCK_DRAWS // sum(sizes))
        for first in range(0, self.resamples, block):
            rows = min(block, self.resamples - first)
            yield np.concatenate(
                [rng.integers(start, start + size, (rows, size)) for start, size in zip(starts, sizes, strict=True)],
                axis=1,
            )

    def ends(self, draws: Scores) -> tuple[float, float]:
        """The percentile interval of the resampled statistic ``[B]``."""
        low, high = np.quantile(draws, ((1 - self.level) / 2, (1 + self.level) / 2))
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class StratifiedScores:
    """Scores of one model or several runs, ordered by stratum, the critical cases first.

    Attributes:
        scores: ``[R, N]``; +inf for a case that is wrong at every threshold.
        sizes: cases of each stratum; the first is the critical one.
    """

    scores: Scores
    sizes: tuple[int, ...]

    @property
    def others(self) -> int:
        """How many cases are not critical."""
        return sum(self.sizes[1:])

    def as_they_are(self) -> Counts:
        """The indices ``[1, N]`` of the one sample that is not resampled."""
        return np.arange(sum(self.sizes), dtype=np.int64).reshape(1, -1)

    def counts(self, misses: int, indices: Counts) -> Counts:
        """Others at or above the threshold, ``[b, R]``, in the resamples `indices` ``[b, N]``.

        The threshold is the (misses+1)-th lowest critical score of the resample, or +inf where all may be missed.
        """
        critical, others = np.split(indices, self.sizes[:1], axis=1)
        columns = [_counts_of_run(run, critical, others, misses) for run in self.scores]
        return np.stack(columns, axis=1)


def rate_interval(cases: StratifiedScores, misses: int, resampling: Resampling) -> RateInterval:
    """Share of the others at or above the threshold that misses at most `misses`, averaged over the runs.

    Warns:
        FewPositivesWarning: see `few_misses_note`.
    """
    total = cases.others * len(cases.scores)
    observed = cases.counts(misses, cases.as_they_are()).sum()
    drawn = np.concatenate([cases.counts(misses, block) for block in resampling.indices(cases.sizes)])
    return interval_of(float(observed) / total, drawn.sum(axis=1) / total, resampling, _warned(misses, cases.sizes[0]))


def rate_difference(a: StratifiedScores, b: StratifiedScores, misses: int, resampling: Resampling) -> PairedDifference:
    """The rate of `rate_interval`, a minus b, all runs of both on the same draws.

    Warns:
        FewPositivesWarning: see `few_misses_note`.
    """
    runs_a, runs_b = len(a.scores), len(b.scores)
    both = StratifiedScores(np.concatenate((a.scores, b.scores)), a.sizes)

    def difference(indices: Counts) -> Scores:
        counts = both.counts(misses, indices)
        # whole numbers until the division, so that no difference is exactly 0
        crossed = counts[:, :runs_a].sum(axis=1) * runs_b - counts[:, runs_a:].sum(axis=1) * runs_a
        return crossed / (runs_a * runs_b * both.others)

    draws = np.concatenate([difference(block) for block in resampling.indices(both.sizes)])
    observed = float(difference(both.as_they_are())[0])
    return difference_of(observed, draws, resampling, _warned(misses, both.sizes[0]))


def interval_of(value: float, draws: Scores, resampling: Resampling, note: str = "") -> RateInterval:
    """The interval of a rate from its resampled values; one without width is marked unreliable."""
    low, high = resampling.ends(draws)
    if low == high:
        no_width = "No resample changed the rate, so the interval has no width; `proportion_interval` gives a bound."
        note = f"{note} {no_width}".lstrip()
    return RateInterval(value, low, high, not note, note)


def difference_of(observed: float, draws: Scores, resampling: Resampling, note: str = "") -> PairedDifference:
    """The interval and p-value of a difference from its resampled values ``[B]``."""
    rarer = min(int(np.count_nonzero(draws <= 0)), int(np.count_nonzero(draws >= 0)))
    p_value = min(1.0, 2 * (1 + rarer) / (draws.size + 1))
    return PairedDifference(observed, *resampling.ends(draws), p_value, not note, note)


def few_misses_note(misses: int, positives: int) -> str:
    """Why the bootstrap can't be trusted where at most `misses` of `positives` may be missed; empty if it can.

    The threshold is an order statistic, the (k+1)-th lowest positive score, and its bootstrap is sound only if k
    grows with the number of positives. For a fixed k it is inconsistent, worst at k = 0: the lowest of a resample is
    the lowest of the sample with probability 1 - (1 - 1/P)^P, about 0.63, and never below it (Bickel and
    Freedman 1981). `benchmarks/statistics_coverage.py` shows what that costs in coverage.
    """
    if misses >= FEWEST_MISSES:
        return ""
    note = (
        f"At most {misses} of {positives} positives may be missed; below {FEWEST_MISSES} the bootstrap interval is "
        "too narrow."
    )
    if misses == 0:
        note += (
            " With no miss allowed it is inconsistent: a resample never holds a lower positive score than the sample."
        )
    return note


def _warned(misses: int, positives: int) -> str:
    note = few_misses_note(misses, positives)
    if note:
        # the caller of the public function: _warned, rate_..., the function itself
        warnings.warn(note, FewPositivesWarning, stacklevel=4)
    return note


def _counts_of_run(run: Scores, critical: Counts, others: Counts, misses: int) -> Counts:
    if misses == critical.shape[1]:
        threshold = np.full((len(critical), 1), np.inf)
    else:
        threshold = np.partition(run.take(critical), misses, axis=1)[:, misses, None]
    return np.count_nonzero(run.take(others) >= threshold, axis=1)
