"""How far a figure counted on few patients can be from the truth."""

from scipy.special import betaincinv  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  # scipy has none

from prostate_alm.errors import ArgumentError


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


def _beta_quantile(probability: float, a: int, b: int) -> float:
    return float(betaincinv(a, b, probability))


def _check_counts(count: int, total: int, confidence: float) -> None:
    if total < 1 or not 0 <= count <= total:
        raise ArgumentError(f"a count must lie between 0 and its total, which is at least 1; got {count} of {total}.")
    if not 0 < confidence < 1:
        raise ArgumentError(f"`confidence` must lie between 0 and 1, got {confidence}.")
