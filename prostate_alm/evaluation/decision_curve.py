"""Net benefit against giving contrast to everybody and to nobody (Vickers and Elkin 2006).

Whoever would give contrast to a patient with a chance of p of needing it weighs one needless contrast as
``p / (1 - p)`` misses; the net benefit counts both in that currency, per patient.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import Confusion, confusion
from prostate_alm.evaluation.roc import split_scores

THRESHOLDS = tuple(round(0.01 * step, 2) for step in range(1, 51))
"""Chances of needing contrast, 1 to 50 %: nobody holds a miss for less bad than a needless contrast."""


class DecisionCurve(BaseModel):
    """Net benefit by the chance at which one would give contrast."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thresholds: list[float] = Field(min_length=1, description="chances, between 0 and 1")
    model: list[float] = Field(description="contrast where the probability reaches the threshold")
    everybody: list[float]
    fixed: dict[str, list[float]] = Field(description="of rules that do not move with the threshold, by name")


def decision_curve(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    fixed: dict[str, Confusion] | None = None,
    thresholds: Sequence[float] = THRESHOLDS,
) -> DecisionCurve:
    """The curve at the prevalence of these patients; giving contrast to nobody has a net benefit of 0.

    Args:
        probabilities: ``[N]``, 0 to 1, calibrated.
        labels: ``[N]``, 0 or 1.
        fixed: what rules of another kind do to the same patients, such as operating points.
        thresholds: chances, each between 0 and 1.

    Raises:
        ArgumentError: as `roc.split_scores`, or a threshold is out of its range.
    """
    split_scores(probabilities, labels)
    values = np.asarray(probabilities, dtype=np.float64)
    everybody = confusion(np.ones(values.shape, dtype=np.bool_), labels)
    return DecisionCurve(
        thresholds=list(thresholds),
        model=[net_benefit(confusion(values >= threshold, labels), threshold) for threshold in thresholds],
        everybody=[net_benefit(everybody, threshold) for threshold in thresholds],
        fixed={name: [net_benefit(counts, t) for t in thresholds] for name, counts in (fixed or {}).items()},
    )


def net_benefit(counts: Confusion, threshold: float) -> float:
    """``found / n - recalled / n * threshold / (1 - threshold)``.

    Args:
        counts: what a rule does to n patients.
        threshold: chance at which one would give contrast, between 0 and 1.

    Raises:
        ArgumentError: `threshold` is out of its range.

    Source: Vickers and Elkin 2006, equation 1.
    """
    if not 0 < threshold < 1:
        raise ArgumentError(f"`threshold` must lie between 0 and 1, got {threshold}.")
    n = counts.positives + counts.negatives
    return (counts.found - counts.recalled * threshold / (1 - threshold)) / n
