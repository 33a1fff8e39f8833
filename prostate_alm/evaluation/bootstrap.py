"""False-positive rates at a fixed sensitivity with stratified percentile bootstrap intervals, alone and paired."""

import numpy as np
from numpy.typing import ArrayLike

from prostate_alm.evaluation.cases import scores_in_order
from prostate_alm.evaluation.resampling import (
    FewPositivesWarning,
    PairedDifference,
    RateInterval,
    Resampling,
    StratifiedScores,
    rate_difference,
    rate_interval,
)
from prostate_alm.evaluation.roc import lowest_positive, misses_allowed

__all__ = [
    "FewPositivesWarning",
    "PairedDifference",
    "RateInterval",
    "fpr_at_false_negatives_difference",
    "fpr_at_false_negatives_interval",
    "fpr_at_tpr_difference",
    "fpr_at_tpr_interval",
]


def fpr_at_tpr_interval(
    scores: ArrayLike, labels: ArrayLike, tpr: float, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> RateInterval:
    """`roc.fpr_at_tpr` with a stratified percentile bootstrap interval.

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1.
        tpr: sensitivity asked for, 0 to 1.
        resamples: bootstrap samples.
        seed: of the draws; the same seed draws the same cases.
        level: two-sided, between 0 and 1.

    Raises:
        ArgumentError: as `roc.fpr_at_tpr`, or `level` and `resamples` don't fit.

    Warns:
        FewPositivesWarning: fewer than 5 misses are allowed, ``(1 - tpr) P < 5``; see `resampling.few_misses_note`.

    Source: Efron and Tibshirani 1993, ch. 13; strata as in Robin et al. 2011 (pROC).
    """
    cases = _two_strata(scores, labels)
    return rate_interval(cases, misses_allowed(tpr, cases.sizes[0]), Resampling(resamples, seed, level))


def fpr_at_false_negatives_interval(
    scores: ArrayLike, labels: ArrayLike, k: int, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> RateInterval:
    """`roc.fpr_at_false_negatives` with a stratified percentile bootstrap interval.

    For k below 5 it is marked unreliable and warned of; at k = 0 the bootstrap of the lowest positive score is
    inconsistent, however many positives there are.

    Args:
        scores: as `fpr_at_tpr_interval`.
        labels: as `fpr_at_tpr_interval`.
        k: misses allowed, 0 <= k < number of positives.
        resamples: as `fpr_at_tpr_interval`.
        seed: as `fpr_at_tpr_interval`.
        level: as `fpr_at_tpr_interval`.

    Raises:
        ArgumentError: as `roc.fpr_at_false_negatives`, or `level` and `resamples` don't fit.

    Warns:
        FewPositivesWarning: k is below 5; see `resampling.few_misses_note`.
    """
    cases = _two_strata(scores, labels)
    _check_misses(cases, k)
    return rate_interval(cases, k, Resampling(resamples, seed, level))


def fpr_at_tpr_difference(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    labels: ArrayLike,
    tpr: float,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """`roc.fpr_at_tpr` of a minus that of b, both on the same resampled cases.

    Args:
        scores_a: ``[N]``, finite; higher means more likely positive.
        scores_b: ``[N]``, of the same cases in the same order.
        labels: ``[N]``, 0 or 1.
        tpr: as `fpr_at_tpr_interval`.
        resamples: as `fpr_at_tpr_interval`; the smallest p-value is ``2 / (resamples + 1)``.
        seed: as `fpr_at_tpr_interval`.
        level: as `fpr_at_tpr_interval`.

    Raises:
        ArgumentError: as `fpr_at_tpr_interval`.

    Warns:
        FewPositivesWarning: as `fpr_at_tpr_interval`.
    """
    a, b = _two_strata(scores_a, labels), _two_strata(scores_b, labels)
    return rate_difference(a, b, misses_allowed(tpr, a.sizes[0]), Resampling(resamples, seed, level))


def fpr_at_false_negatives_difference(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    labels: ArrayLike,
    k: int,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """`roc.fpr_at_false_negatives` of a minus that of b, both on the same resampled cases.

    Args:
        scores_a: as `fpr_at_tpr_difference`.
        scores_b: as `fpr_at_tpr_difference`.
        labels: as `fpr_at_tpr_difference`.
        k: misses allowed, 0 <= k < number of positives.
        resamples: as `fpr_at_tpr_difference`.
        seed: as `fpr_at_tpr_difference`.
        level: as `fpr_at_tpr_difference`.

    Raises:
        ArgumentError: as `fpr_at_false_negatives_interval`.

    Warns:
        FewPositivesWarning: as `fpr_at_false_negatives_interval`.
    """
    a, b = _two_strata(scores_a, labels), _two_strata(scores_b, labels)
    _check_misses(a, k)
    return rate_difference(a, b, k, Resampling(resamples, seed, level))


def _two_strata(scores: ArrayLike, labels: ArrayLike) -> StratifiedScores:
    positives, negatives = scores_in_order(scores, labels)
    return StratifiedScores(np.concatenate((positives, negatives))[None, :], (positives.size, negatives.size))


def _check_misses(cases: StratifiedScores, k: int) -> None:
    lowest_positive(cases.scores[0, : cases.sizes[0]], k)  # refuses a k that leaves no positive
