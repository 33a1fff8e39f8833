"""DeLong's variance of the AUC and his test of two AUCs on the same cases, in O(n log n).

The variance is built from placements: for each positive the share of the negatives it beats, for each negative the
share of the positives that beat it, a tie counting half (DeLong, DeLong and Clarke-Pearson 1988, eq. 3 to 6). They come
from midranks (Sun and Xu 2014). Placements are kept as whole numbers (twice the count), so a variance that is zero
comes out as exactly zero.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import rankdata  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  # scipy has none

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.cases import check_level, scores_in_order
from prostate_alm.evaluation.roc import Scores

ZERO_VARIANCE = (
    "DeLong's variance of this difference is zero: it is the same for every positive and every negative. The p-value "
    "is the limit of the normal approximation, not a measure of evidence."
)


@dataclass(frozen=True)
class AucInterval:
    """An AUC with DeLong's standard error and its normal interval, cut to [0, 1]."""

    auc: float
    standard_error: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedAuc:
    """The difference of two AUCs on the same cases.

    Attributes:
        difference: AUC of a minus AUC of b.
        standard_error: DeLong's, of the difference.
        z: difference over standard error; infinite where the error is zero and the difference is not.
        p_value: two-sided.
        note: what must be known to read the p-value; empty as a rule.
    """

    difference: float
    standard_error: float
    z: float
    p_value: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Placements:
    """Twice the placement counts: of each positive ``[P]`` (0 to 2N) and of each negative ``[N]`` (0 to 2P)."""

    of_positives: Scores
    of_negatives: Scores

    def __sub__(self, other: "_Placements") -> "_Placements":
        return _Placements(self.of_positives - other.of_positives, self.of_negatives - other.of_negatives)

    def mean(self) -> float:
        """The AUC, or the difference of two."""
        return float(self.of_positives.sum()) / (2 * self.of_positives.size * self.of_negatives.size)

    def standard_error(self) -> float:
        """Root of DeLong's variance, eq. 5 and 6."""
        p, n = self.of_positives.size, self.of_negatives.size
        over_positives = float(self.of_positives.var(ddof=1)) / (4 * n * n)
        over_negatives = float(self.of_negatives.var(ddof=1)) / (4 * p * p)
        return math.sqrt(over_positives / p + over_negatives / n)


def delong_interval(scores: ArrayLike, labels: ArrayLike, level: float = 0.95) -> AucInterval:
    """The AUC with DeLong's standard error and the interval ``auc -+ z * error``, cut to [0, 1].

    At an AUC of 1 (or 0) the variance is zero and the interval is the point [1, 1]: the classes were separated in
    this sample, which doesn't say that they always are. Read a standard error of 0 as "unknown".

    Args:
        scores: ``[N]``, finite; higher means more likely positive.
        labels: ``[N]``, 0 or 1; two of each class at least.
        level: two-sided, between 0 and 1.

    Raises:
        ArgumentError: as `roc.split_scores`, a class has fewer than two cases, or `level` is out of range.

    Source: DeLong, DeLong and Clarke-Pearson 1988, eq. 3 to 6; Sun and Xu 2014.
    """
    check_level(level)
    placements = _placements(scores, labels)
    auc, error = placements.mean(), placements.standard_error()
    reach = NormalDist().inv_cdf((1 + level) / 2) * error
    return AucInterval(auc, error, max(0.0, auc - reach), min(1.0, auc + reach))


def delong_test(scores_a: ArrayLike, scores_b: ArrayLike, labels: ArrayLike) -> PairedAuc:
    """Test whether two models have the same AUC on the same cases.

    Where both models rank alike, the difference is 0 and p is 1. Where they differ by the same amount for every
    case (one separates the classes, the other gives one score to all), the variance is zero, z is infinite and p 0;
    `note` says so.

    Args:
        scores_a: ``[N]``, finite; higher means more likely positive.
        scores_b: ``[N]``, of the same cases in the same order.
        labels: ``[N]``, 0 or 1; two of each class at least.

    Raises:
        ArgumentError: as `roc.split_scores`, or a class has fewer than two cases.

    Source: DeLong, DeLong and Clarke-Pearson 1988, for the contrast (1, -1).
    """
    placements = _placements(scores_a, labels) - _placements(scores_b, labels)
    difference, error = placements.mean(), placements.standard_error()
    if error > 0:
        z = difference / error
        return PairedAuc(difference, error, z, math.erfc(abs(z) / math.sqrt(2)))
    if difference == 0:
        return PairedAuc(0.0, 0.0, 0.0, 1.0)
    return PairedAuc(difference, 0.0, math.copysign(math.inf, difference), 0.0, ZERO_VARIANCE)


def _placements(scores: ArrayLike, labels: ArrayLike) -> _Placements:
    positives, negatives = scores_in_order(scores, labels)
    if min(positives.size, negatives.size) < 2:
        raise ArgumentError(
            f"two of each class are needed for a variance, got {positives.size} positives, {negatives.size} negatives."
        )
    among_all = _midranks(np.concatenate((positives, negatives)))
    lost = 2 * (among_all[positives.size :] - _midranks(negatives))
    return _Placements(
        of_positives=2 * (among_all[: positives.size] - _midranks(positives)),
        of_negatives=2 * positives.size - lost,
    )


def _midranks(values: Scores) -> Scores:
    return np.asarray(rankdata(values), dtype=np.float64)
