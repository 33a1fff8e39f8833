"""How far a figure counted on few patients can be from the truth."""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  # scipy has none

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import Scores, split_scores


def miss_rate_upper_bound(false_negatives: int, positives: int, *, confidence: float = 0.95) -> float:
    """Upper bound on the miss rate of a threshold set at the (k+1)-th lowest positive score.

    With `false_negatives` k fixed beforehand and scores exchangeable with a new patient's, the miss rate is
    distributed as Beta(k+1, n-k). Its quantile equals the one-sided Clopper-Pearson bound; for k = 0 it is
    ``1 - (1 - confidence) ** (1 / n)``.

    Args:
        false_negatives: k, misses allowed when the threshold was set, 0 <= k < positives.
        positives: n, positives it was set on.
        confidence: one-sided, between 0 and 1.

    Raises:
        ArgumentError: an argument is out of its range.

    Source: order statistics of a uniform sample, e.g. David and Nagaraja 2003, section 2.2.

    >>> round(miss_rate_upper_bound(0, 100), 4)
    0.0295
    """
    _check_counts(false_negatives, positives, confidence)
    if false_negatives == positives:
        raise ArgumentError(f"`false_negatives` must be below `positives`, got {false_negatives} of {positives}.")
    return _beta_quantile(confidence, false_negatives + 1, positives - false_negatives)


def miss_rate_expected(false_negatives: int, positives: int) -> float:
    """Mean of Beta(k+1, n-k), ``(k + 1) / (n + 1)``: the chance that the next positive is missed.

    Raises:
        ArgumentError: as `miss_rate_upper_bound`.
    """
    _check_counts(false_negatives, positives, 0.5)
    if false_negatives == positives:
        raise ArgumentError(f"`false_negatives` must be below `positives`, got {false_negatives} of {positives}.")
    return (false_negatives + 1) / (positives + 1)


def proportion_interval(count: int, total: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a proportion (Clopper and Pearson 1934), for a fixed threshold on new patients.

    Args:
        count: patients counted, 0 <= count <= total.
        total: patients looked at, at least 1.
        confidence: two-sided, between 0 and 1.

    Raises:
        ArgumentError: an argument is out of its range.

    >>> low, high = proportion_interval(0, 50)
    >>> low, round(high, 4)
    (0.0, 0.0711)
    """
    _check_counts(count, total, confidence)
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _beta_quantile(tail, count, total - count + 1)
    high = 1.0 if count == total else _beta_quantile(1 - tail, count + 1, total - count)
    return low, high


def auc_interval(scores: ArrayLike, labels: ArrayLike, *, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of the AUC with DeLong's variance, normal on the logit of the AUC so that it stays in [0, 1].

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1; two of each class at least.
        confidence: two-sided, between 0 and 1.

    Returns:
        Lower and upper end; ``(nan, nan)`` where the classes are separated or the variance is zero, because
        DeLong's variance says nothing there.

    Raises:
        ArgumentError: as `split_scores`, a class has fewer than two cases, or `confidence` is out of range.

    Source: DeLong, DeLong and Clarke-Pearson 1988, eq. 3 to 6, computed as in Sun and Xu 2014.
    """
    positives, negatives = split_scores(scores, labels)
    _check_counts(0, 1, confidence)
    if min(positives.size, negatives.size) < 2:
        raise ArgumentError(
            f"two of each class are needed, got {positives.size} positives, {negatives.size} negatives."
        )
    beaten = _midrank_share(positives, negatives)
    beating = 1 - _midrank_share(negatives, positives)
    area = float(beaten.mean())
    variance = float(beaten.var(ddof=1) / positives.size + beating.var(ddof=1) / negatives.size)
    if variance == 0 or not 0 < area < 1:
        return math.nan, math.nan
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance) / (area * (1 - area))
    centre = math.log(area / (1 - area))
    return _sigmoid(centre - reach), _sigmoid(centre + reach)


def _beta_quantile(probability: float, a: int, b: int) -> float:
    return float(betaincinv(a, b, probability))


def _midrank_share(of: Scores, among: Scores) -> Scores:
    """For each score in `of`, the share of `among` (ascending) below it, ties counting half."""
    both = np.searchsorted(among, of, side="left") + np.searchsorted(among, of, side="right")
    return both / (2 * among.size)


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value)) if value >= 0 else 1 - 1 / (1 + math.exp(value))


def _check_counts(count: int, total: int, confidence: float) -> None:
    if total < 1 or not 0 <= count <= total:
        raise ArgumentError(f"a count must lie between 0 and its total, which is at least 1; got {count} of {total}.")
    if not 0 < confidence < 1:
        raise ArgumentError(f"`confidence` must lie between 0 and 1, got {confidence}.")
