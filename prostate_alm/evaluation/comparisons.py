"""Statistics over rows of a table and over repeated runs: Holm, Pearson, paired seeds."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  # scipy has none
from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.cases import check_level
from prostate_alm.evaluation.roc import Scores


@dataclass(frozen=True)
class Correlation:
    """Pearson's r with Fisher's interval, the two-sided p of r = 0, and the number of pairs."""

    r: float
    low: float
    high: float
    p_value: float
    n: int


@dataclass(frozen=True)
class ImprovementCorrelation:
    """How improvement goes with the level it started from, both ways.

    Attributes:
        with_baseline: r of (baseline, treated - baseline), the paper's; below 0 from noise alone.
        with_mean: r of (mean of both, treated - baseline), Oldham's; free of that artefact.
    """

    with_baseline: Correlation
    with_mean: Correlation


@dataclass(frozen=True)
class SeedComparison:
    """Differences a - b of runs that share a seed.

    Attributes:
        mean_difference: mean of a - b.
        low: lower end of its t interval.
        high: upper end of its t interval.
        p_t: two-sided p of the paired t test.
        p_wilcoxon: two-sided, exact p of the signed-rank test.
        n: pairs.
    """

    mean_difference: float
    low: float
    high: float
    p_t: float
    p_wilcoxon: float
    n: int


def holm(p_values: ArrayLike) -> Scores:
    """Holm's step-down adjustment: reject where the adjusted value is at most the level of the whole family.

    The family is what is passed: all comparisons that a claim rests on, not the ones that look good.

    Args:
        p_values: ``[M]``, each in [0, 1].

    Returns:
        ``[M]`` in the order given: ``max over smaller p of (M - rank + 1) p``, at most 1.

    Raises:
        ArgumentError: not a list, or a value is NaN or outside [0, 1]. A comparison that was not made can't be
            adjusted; leave it out and say so.

    Source: Holm 1979.

    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    if values.ndim != 1:
        raise ArgumentError(f"`p_values` must be a list, got shape {values.shape}.")
    if not ((values >= 0) & (values <= 1)).all():
        raise ArgumentError("`p_values` must lie in [0, 1] and none may be NaN; leave out comparisons not made.")
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1)
    return adjusted


def pearson(x: ArrayLike, y: ArrayLike, level: float = 0.95) -> Correlation:
    """Pearson's correlation with Fisher's z interval and the t test of r = 0.

    Don't use it on a baseline and the improvement over it: improvement holds minus the baseline, so noise in the
    baseline alone gives a negative r (regression to the mean); -0.71 is expected of two sets of unrelated numbers of
    one spread. See `improvement_correlation`. The interval assumes pairs that are independent and about normal; rows
    of one table that share a test set are not independent, and it is then too narrow.

    Args:
        x: ``[n]``, finite, not constant, n >= 3.
        y: ``[n]``, as `x`.
        level: two-sided, between 0 and 1.

    Returns:
        With three pairs the interval is [-1, 1]; at r = +-1 it is the point and p is 0.

    Raises:
        ArgumentError: lengths differ, too few pairs, a value is not finite, a side is constant, or `level` is out
            of range.

    Source: Fisher 1921.
    """
    check_level(level)
    a, b = _paired(x, y, "x", "y", fewest=3)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        raise ArgumentError("a correlation is undefined where `x` or `y` is constant.")
    a, b = a - a.mean(), b - b.mean()
    r = float(np.clip((a / np.linalg.norm(a)) @ (b / np.linalg.norm(b)), -1, 1))
    n = a.size
    if abs(r) == 1:
        return Correlation(r, r, r, 0.0, n)
    t = r * math.sqrt((n - 2) / ((1 - r) * (1 + r)))
    reach = NormalDist().inv_cdf((1 + level) / 2) / math.sqrt(n - 3) if n > 3 else math.inf
    z = math.atanh(r)
    return Correlation(r, math.tanh(z - reach), math.tanh(z + reach), _two_sided_t(t, n - 2), n)


def improvement_correlation(baseline: ArrayLike, treated: ArrayLike, level: float = 0.95) -> ImprovementCorrelation:
    """Does a method improve more where the baseline is worse? The paper's r beside one that noise can't make.

    The r of (baseline, treated - baseline) is negative whenever the baseline is measured with noise, even if the
    method does nothing. Oldham's r of ((baseline + treated) / 2, treated - baseline) is 0 then, as long as both are
    equally noisy: it asks whether the spread of the results shrinks (r < 0) or grows.

    Args:
        baseline: ``[n]``, one figure a row of the table, n >= 3.
        treated: ``[n]``, of the same rows.
        level: as `pearson`.

    Raises:
        ArgumentError: as `pearson`; the improvement counts as a side, so it can't be the same in every row.

    Source: section 5.3 of the paper (r = -0.85); Oldham 1962.
    """
    before, after = _paired(baseline, treated, "baseline", "treated", fewest=3)
    return ImprovementCorrelation(
        with_baseline=pearson(before, after - before, level),
        with_mean=pearson((before + after) / 2, after - before, level),
    )


def paired_seeds(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> SeedComparison:
    """Compare two methods over runs that share seed and split, a - b.

    Where all differences are equal there is no spread to judge them by: the t interval is that point, and p_t is 1
    for 0 and 0 for anything else. With n pairs the smallest p_wilcoxon is ``2 ** (1 - n)``: 5 pairs never reach
    0.05. Runs that share training data are not independent, and both p-values are then too small.

    Args:
        a: ``[S]``, finite, one figure a run, S >= 2.
        b: ``[S]``, of the same seeds in the same order.
        level: of the t interval, between 0 and 1.

    Raises:
        ArgumentError: lengths differ, fewer than two pairs, a value is not finite, or `level` is out of range.

    Source: Student 1908; Wilcoxon 1945 (differences of 0 are left out, ties take midranks).
    """
    check_level(level)
    first, second = _paired(a, b, "a", "b", fewest=2)
    differences = first - second
    n, mean = differences.size, float(differences.mean())
    p_wilcoxon = _signed_rank_p(differences)
    if np.ptp(differences) == 0:
        mean = float(differences[0])
        return SeedComparison(mean, mean, mean, 1.0 if mean == 0 else 0.0, p_wilcoxon, n)
    error = float(differences.std(ddof=1)) / math.sqrt(n)
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * error
    return SeedComparison(mean, mean - reach, mean + reach, _two_sided_t(mean / error, n - 1), p_wilcoxon, n)


def _signed_rank_p(differences: Scores) -> float:
    """Exact two-sided p: each rank is positive or negative with probability 1/2, summed over all 2^n ways."""
    nonzero = differences[differences != 0]
    if nonzero.size == 0:
        return 1.0
    doubled = np.rint(2 * np.asarray(rankdata(np.abs(nonzero)), dtype=np.float64)).astype(np.int64)
    chance = np.zeros(int(doubled.sum()) + 1)  # of each sum of positive ranks
    chance[0] = 1
    for rank in doubled:
        chance = (chance + np.concatenate((np.zeros(rank), chance[:-rank]))) / 2
    seen = int(doubled[nonzero > 0].sum())
    return min(1.0, 2 * float(min(chance[: seen + 1].sum(), chance[seen:].sum())))


def _two_sided_t(t: float, degrees: int) -> float:
    return 2 * float(stdtr(degrees, -abs(t)))


def _paired(x: ArrayLike, y: ArrayLike, x_name: str, y_name: str, *, fewest: int) -> tuple[Scores, Scores]:
    a, b = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ArgumentError(
            f"`{x_name}` and `{y_name}` must be two lists of one length, got shapes {a.shape} and {b.shape}."
        )
    if a.size < fewest:
        raise ArgumentError(f"at least {fewest} pairs are needed, got {a.size}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ArgumentError(f"`{x_name}` and `{y_name}` must be finite; a failed run must be left out of both.")
    return a, b
