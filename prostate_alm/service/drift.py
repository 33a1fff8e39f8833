"""How far the recent patients are from the validated ones: the population stability index and Kolmogorov-Smirnov.

Both compare figures with the quantiles in the ensemble's `reference.json`; an alarm asks a person to look, it changes
no answer (studies that are too far away fail safe by the gates of the decision).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.reference import QUANTILES

FEWEST = 50
"""With fewer recent patients there is no alarm: both figures are mostly noise."""
LARGE_PSI = 0.25
"""By convention a shift that asks for action (Siddiqi, Credit Risk Scorecards, 2006)."""
KS_FACTOR = 1.95
"""Of the two-sided critical value at a level of 0.001: D > 1.95 sqrt(1/n + 1/m)."""


@dataclass(frozen=True)
class Drift:
    """Recent figures against the validated ones.

    Attributes:
        studies: recent figures.
        psi: population stability index over the deciles of the reference; NaN without a figure.
        ks: largest difference of the distribution functions; NaN without a figure.
        alarm: whether both say that the patients differ.
    """

    studies: int
    psi: float
    ks: float
    alarm: bool


def drift_of(figures: Sequence[float], quantiles: Sequence[float], patients: int) -> Drift:
    """Compare `figures` with a reference.

    Args:
        figures: of recent patients; those that are not finite are left out.
        quantiles: of the validated patients at `QUANTILES`.
        patients: how many of those there were.

    Raises:
        ArgumentError: another number of quantiles.
    """
    if len(quantiles) != len(QUANTILES):
        raise ArgumentError(f"expected {len(QUANTILES)} quantiles, got {len(quantiles)}.")
    recent = np.sort([figure for figure in figures if math.isfinite(figure)])
    n = len(recent)
    if not n:
        return Drift(0, math.nan, math.nan, alarm=False)
    reference, levels = np.asarray(quantiles, float), np.asarray(QUANTILES)
    psi, ks = _psi(recent, reference, levels, patients), _ks(recent, reference, levels)
    differs = ks > KS_FACTOR * math.sqrt(1 / n + 1 / patients)
    return Drift(n, psi, ks, alarm=bool(n >= FEWEST and psi > LARGE_PSI and differs))


def _psi(recent: np.ndarray, reference: np.ndarray, levels: np.ndarray, patients: int) -> float:
    """Sum of (a - e) ln(a / e) over deciles, with half a patient added to each bin so that none is empty."""
    edges = np.unique(reference[2:-1:2])
    below = levels[np.searchsorted(reference, edges, side="right") - 1]
    shares = np.diff(below, prepend=0.0, append=1.0)
    counts = np.bincount(np.searchsorted(edges, recent, side="left"), minlength=len(shares))
    half = 0.5 * len(shares)
    expected, actual = (shares * patients + 0.5) / (patients + half), (counts + 0.5) / (len(recent) + half)
    return float(np.sum((actual - expected) * np.log(actual / expected)))


def _ks(recent: np.ndarray, reference: np.ndarray, levels: np.ndarray) -> float:
    """Largest difference at the reference's quantiles, on both sides of each step."""
    points = np.unique(reference)
    right = levels[np.searchsorted(reference, points, side="right") - 1]
    left = levels[np.searchsorted(reference, points, side="left")]
    ours_right = np.searchsorted(recent, points, side="right") / len(recent)
    ours_left = np.searchsorted(recent, points, side="left") / len(recent)
    return float(max(np.abs(ours_right - right).max(), np.abs(ours_left - left).max()))
