"""Whether a probability means what it says, and one number that mends it: temperature scaling.

A threshold on the logit needs none of this: temperature is monotone and moves no patient across it. It matters where
the probability is read as one, as in a decision curve.
"""

import math
from typing import Annotated, cast

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field
from scipy.optimize import brentq  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]  # scipy has none
from scipy.special import expit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import Proportion
from prostate_alm.evaluation.roc import Scores, split_scores

BINS = 10
Share = Annotated[float, Field(ge=0, le=1)]
NEWTON_STEPS, TOLERANCE = 100, 1e-10
Z95 = 1.959963984540054


class Estimate(BaseModel):
    """A coefficient with its 95 % Wald interval."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    value: float
    low: float
    high: float


class ReliabilityBin(BaseModel):
    """Patients of similar probability: what was said, and what was so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predicted: Share = Field(description="mean probability")
    observed: Proportion


class Calibration(BaseModel):
    """How well probabilities are calibrated on these patients."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    brier: Share = Field(description="mean squared difference of probability and label")
    ece: Share = Field(description="expected calibration error over `bins`")
    bins: list[ReliabilityBin] = Field(min_length=1, description="of about equally many patients each")
    intercept: Estimate | None = Field(description="calibration in the large, 0 is ideal; null where undefined")
    slope: Estimate | None = Field(description="1 is ideal, below 1 too extreme; null where undefined")
    note: str = ""


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """The temperature T > 0 for which ``sigmoid(logit / T)`` has the greatest likelihood.

    The negative log-likelihood is convex in ``1 / T``; its derivative there, ``sum z (sigmoid(z / T) - y)``, is solved.

    Args:
        logits: ``[N]``, finite.
        labels: ``[N]``, 0 or 1.

    Raises:
        ArgumentError: as `roc.split_scores`; or there is no such T, because every patient lies on the right side of
            the logit 0 (T would be 0) or the logits say nothing, or the contrary, about the labels (T infinite).

    Source: Guo et al. 2017, section 4.2.
    """
    split_scores(logits, labels)
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)

    def slope(inverse: float) -> float:
        return float((z * (probabilities_of(inverse * z) - y)).sum())

    if not ((z > 0) & (y == 0)).any() and not ((z < 0) & (y == 1)).any():
        raise ArgumentError("no temperature fits: every patient lies on the right side of the logit 0; T would be 0.")
    if slope(0.0) >= 0:
        raise ArgumentError("no temperature fits: these logits do not rise with the label; T would be infinite.")
    upper = 1.0 / max(float(np.abs(z).max()), 1e-300)
    while slope(upper) < 0:
        upper *= 2
    return 1.0 / cast("float", brentq(slope, 0.0, upper, xtol=1e-15))


def calibration_of(logits: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> Calibration:
    """Brier score, expected calibration error, intercept and slope of ``sigmoid(logits)``.

    Args:
        logits: ``[N]``, finite.
        labels: ``[N]``, 0 or 1.
        bins: of about equally many patients; equal probabilities share a bin, so there may be fewer.

    Raises:
        ArgumentError: as `roc.split_scores`, or `bins` is below 1.

    Source: Brier 1950; Naeini et al. 2015 (ECE); Cox 1958 and Van Calster et al. 2019 (intercept and slope).
    """
    positives, negatives = split_scores(logits, labels)
    z, y = np.asarray(logits, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    probabilities = probabilities_of(z)
    table = reliability(probabilities, labels, bins=bins)
    apart = positives[0] >= negatives[-1] or negatives[0] >= positives[-1]
    note = "The classes do not overlap, so the slope has no finite estimate." if apart else ""
    return Calibration(
        brier=float(np.mean((probabilities - y) ** 2)),
        ece=sum(b.observed.total * abs(b.predicted - b.observed.count / b.observed.total) for b in table) / y.size,
        bins=table,
        intercept=_intercept(z, y),
        slope=None if apart else _slope(z, y),
        note=note,
    )


def reliability(probabilities: ArrayLike, labels: ArrayLike, *, bins: int = BINS) -> list[ReliabilityBin]:
    """Patients sorted by probability and cut into bins of about equal size.

    Args:
        probabilities: ``[N]``, 0 to 1.
        labels: ``[N]``, 0 or 1.
        bins: at most so many; patients of one probability stay together.

    Raises:
        ArgumentError: `bins` is below 1, or lists are empty or of unequal length.
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(labels)
    if bins < 1 or p.size == 0 or p.shape != y.shape:
        raise ArgumentError(f"at least one bin and as many labels as probabilities are needed, got {bins} bins, "
                            f"{p.size} probabilities and {y.size} labels.")  # fmt: skip
    edges = np.quantile(p, np.arange(1, bins) / bins, method="higher")
    which = np.searchsorted(np.unique(edges), p, side="right")
    return [
        ReliabilityBin(
            predicted=min(1.0, float(p[which == number].mean())),
            observed=Proportion.of(int(y[which == number].sum()), int((which == number).sum())),
        )
        for number in np.unique(which)
    ]


def probabilities_of(logits: Scores) -> Scores:
    """``sigmoid(logits)``, ``[N]``, without overflow."""
    return np.asarray(expit(logits), dtype=np.float64)


def _intercept(z: Scores, y: Scores) -> Estimate:
    """Shift a of ``logit P = a + z``: the slope is held at 1."""

    def excess(shift: float) -> float:
        return float((probabilities_of(z + shift) - y).sum())

    reach = float(np.abs(z).max()) + 50.0
    shift = cast("float", brentq(excess, -reach, reach))
    p = probabilities_of(z + shift)
    return _wald(shift, float((p * (1 - p)).sum()))


def _slope(z: Scores, y: Scores) -> Estimate | None:
    """Slope b of ``logit P = a + b z`` by Newton's method; None where it does not settle."""
    design = np.stack((np.ones_like(z), z), axis=1)
    beta = np.array([0.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = probabilities_of(design @ beta)
        information = design.T @ (design * (p * (1 - p))[:, None])
        if not np.isfinite(information).all() or np.linalg.cond(information) > 1e14:
            return None  # all logits alike, or a separation that escaped the check
        step = np.linalg.solve(information, design.T @ (y - p))
        beta = beta + step
        if float(np.abs(step).max()) < TOLERANCE:
            variance = float(np.linalg.inv(information)[1, 1])
            return _wald(float(beta[1]), 1.0 / variance)
    return None


def _wald(value: float, information: float) -> Estimate:
    reach = Z95 / math.sqrt(information)
    return Estimate(value=value, low=value - reach, high=value + reach)
