"""The ROC curve and the figures read from it, on exact counts.

Everywhere a case is called positive when ``score >= threshold``, and thresholds start at +inf (nobody is
positive). A tie between a positive and a negative at the threshold is therefore a true and a false positive.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prostate_alm.errors import ArgumentError

Scores = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RocCurve:
    """The ROC curve as steps, one for +inf and one for each distinct score, thresholds falling.

    Attributes:
        fpr: ``[T]``, share of the negatives with ``score >= threshold``.
        tpr: ``[T]``, share of the positives with ``score >= threshold``.
        thresholds: ``[T]``, strictly falling; the first is +inf.
    """

    fpr: Scores
    tpr: Scores
    thresholds: Scores


def split_scores(scores: ArrayLike, labels: ArrayLike) -> tuple[Scores, Scores]:
    """The scores of the positives and of the negatives, each ascending.

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 1 for positive and 0 for negative.

    Raises:
        ArgumentError: shapes differ, a score is not finite, a label is neither 0 nor 1, or a class is missing.
    """
    values = np.asarray(scores, dtype=np.float64)
    classes = np.asarray(labels)
    if values.ndim != 1 or values.shape != classes.shape:
        raise ArgumentError(
            f"`scores` and `labels` must be two lists of one length, got shapes {values.shape} and {classes.shape}."
        )
    if not np.isfinite(values).all():
        raise ArgumentError(f"`scores` must be finite, {int((~np.isfinite(values)).sum())} of {values.size} are not.")
    if not np.isin(classes, (0, 1)).all():
        raise ArgumentError("`labels` must be 0 (negative) or 1 (positive); map other codes first.")
    positives, negatives = np.sort(values[classes == 1]), np.sort(values[classes == 0])
    if positives.size == 0 or negatives.size == 0:
        raise ArgumentError(
            f"both classes are needed, got {positives.size} positives and {negatives.size} negatives in `labels`."
        )
    return positives, negatives


def auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: how often a positive out-ranks a negative, a tie counting half.

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1.

    Raises:
        ArgumentError: as `split_scores`.

    Source: Hanley and McNeil 1982, the Mann-Whitney statistic over ``|p||n|``.

    >>> auc([0.1, 0.4, 0.4, 0.8], [0, 0, 1, 1])
    0.875
    """
    positives, negatives = split_scores(scores, labels)
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return int((below + not_above).sum()) / (2 * positives.size * negatives.size)


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """All steps of the ROC curve, none left out.

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1.

    Raises:
        ArgumentError: as `split_scores`.
    """
    positives, negatives = split_scores(scores, labels)
    distinct = np.unique(np.concatenate((positives, negatives)))[::-1]
    thresholds = np.concatenate(([np.inf], distinct))
    return RocCurve(
        fpr=_shares_at_or_above(negatives, thresholds),
        tpr=_shares_at_or_above(positives, thresholds),
        thresholds=thresholds,
    )


def fpr_at_false_negatives(scores: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Smallest false-positive rate with at most `k` positives missed (the paper's FPR@nFN).

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1.
        k: misses allowed, 0 <= k < number of positives.

    Raises:
        ArgumentError: as `split_scores`, or `k` is out of its range.

    >>> fpr_at_false_negatives([0.2, 0.7, 0.5, 0.1, 0.3], [1, 1, 0, 0, 0], 0)
    0.6666666666666666
    """
    positives, negatives = split_scores(scores, labels)
    return _share_at_or_above(negatives, lowest_positive(positives, k))


def fpr_at_tpr(scores: ArrayLike, labels: ArrayLike, tpr: float) -> float:
    """Smallest false-positive rate whose true-positive rate is at least `tpr`.

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1.
        tpr: sensitivity asked for, 0 to 1; 0 is reached at the threshold +inf.

    Raises:
        ArgumentError: as `split_scores`, or `tpr` is out of its range.

    >>> fpr_at_tpr([0.2, 0.7, 0.5, 0.1, 0.3], [1, 1, 0, 0, 0], 0.5)
    0.0
    """
    positives, negatives = split_scores(scores, labels)
    misses = misses_allowed(tpr, positives.size)
    return 0.0 if misses == positives.size else _share_at_or_above(negatives, lowest_positive(positives, misses))


def misses_allowed(tpr: float, positives: int) -> int:
    """The most of `positives` that can be missed with a true-positive rate of at least `tpr`.

    Counted, not multiplied: ``(1 - 0.9) * 50`` is below 5 in floating point.

    Raises:
        ArgumentError: `tpr` does not lie in [0, 1].

    >>> misses_allowed(0.9, 50)
    5
    """
    if not 0 <= tpr <= 1:
        raise ArgumentError(f"`tpr` must lie in [0, 1], got {tpr}.")
    reached = np.arange(positives + 1) / positives >= tpr
    return positives - int(np.argmax(reached))


def lowest_positive(positives: Scores, k: int) -> float:
    """The (k+1)-th lowest of the ascending `positives`: the highest threshold that misses at most `k` of them.

    Raises:
        ArgumentError: `k` is negative or not below the number of positives.
    """
    if not 0 <= k < positives.size:
        raise ArgumentError(
            f"`k` false negatives must be at least 0 and below the number of positives, got {k} of {positives.size}."
        )
    return float(positives[k])


def _share_at_or_above(ascending: Scores, threshold: float) -> float:
    return float(_shares_at_or_above(ascending, np.array([threshold]))[0])


def _shares_at_or_above(ascending: Scores, thresholds: Scores) -> Scores:
    return (ascending.size - np.searchsorted(ascending, thresholds, side="left")) / ascending.size
