"""The cases of a paired comparison in their own order, and the checks that the statistics share."""

import numpy as np
from numpy.typing import ArrayLike

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import Scores, split_scores


def scores_in_order(scores: ArrayLike, labels: ArrayLike) -> tuple[Scores, Scores]:
    """The scores of the positives ``[P]`` and of the negatives ``[N]``, each in the order of the cases.

    Two models scored on the same cases stay paired this way, which `roc.split_scores` (sorted) does not offer.

    Raises:
        ArgumentError: as `roc.split_scores`.
    """
    split_scores(scores, labels)
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels) == 1
    return values[positive], values[~positive]


def check_level(level: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        ArgumentError: it is.
    """
    if not 0 < level < 1:
        raise ArgumentError(f"`level` must lie between 0 and 1 (0.95 for 95 %), got {level}.")
