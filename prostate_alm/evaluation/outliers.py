"""Setting what a `Reference` holds: how far patients lie from each other, and how far a new one may."""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.covariance import ledoit_wolf  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.reference import Distance, Limit

BEYOND = 0.005
"""Share of patients like the validated ones that a limit should leave out, as far as their number allows."""
SMALLEST_DEVIATION = 0.01
"""A figure that hardly varies among the validated patients is believed to vary by this much."""

Array = NDArray[np.float64]


def fit_distance(features: ArrayLike, names: Sequence[str]) -> Distance:
    """Centre and shrunk covariance of the figures (Ledoit and Wolf 2004), each standardised first.

    Args:
        features: ``[N, P]``, N >= 2.
        names: of the P figures.

    Raises:
        ArgumentError: there are fewer than two patients, or figures that are not finite.
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2 or len(values) < 2 or not np.isfinite(values).all():
        raise ArgumentError("`features` must hold finite figures of at least two patients; read them again.")
    deviation = np.maximum(values.std(axis=0, ddof=1), SMALLEST_DEVIATION)
    covariance = cast("Array", ledoit_wolf((values - values.mean(axis=0)) / deviation)[0])
    # what all patients share leaves no variance: keep the covariance invertible with the smallest one
    covariance += np.eye(len(covariance)) * 1e-3
    precision = np.linalg.inv(covariance) / np.outer(deviation, deviation)
    return Distance(features=list(names), centre=values.mean(axis=0).tolist(), precision=precision.tolist())


def left_out_distances(features: ArrayLike, names: Sequence[str], *, patients: Sequence[str]) -> Array:
    """The distance of each study from all other patients: what a new one of the same kind would have.

    Args:
        features: ``[N, P]``.
        names: of the P figures.
        patients: ``[N]``, whose study each is; a patient is left out with all of his studies.

    Raises:
        ArgumentError: as `fit_distance`, with one patient left out.
    """
    values, owner = np.asarray(features, dtype=np.float64), np.array(patients)
    distances = np.zeros(len(values))
    for patient in np.unique(owner):
        own = owner == patient
        fitted = fit_distance(values[~own], names)
        distances[own] = [fitted.of(row) for row in values[own]]
    return distances


def upper_limit(figures: ArrayLike, *, beyond: float = BEYOND) -> Limit:
    """A limit that a new patient's figure passes with a chance of `beyond`, as far as N patients can tell.

    With N >= 1 / beyond - 1 it is the k-th smallest figure, ``k = ceil((N + 1)(1 - beyond))``, which holds whatever
    their distribution. Fewer patients don't reach so far: then it is where a log-normal distribution of their median
    and quartiles leaves `beyond` above it, or the largest figure if that is smaller, so that one odd patient among few
    does not open the range.

    Args:
        figures: ``[N]``, 0 or more, of patients with whom a new one is exchangeable.
        beyond: the share, between 0 and 1.

    Returns:
        The limit; its `expected_beyond` counts the figures above it, and one more for what is not known.

    Raises:
        ArgumentError: a figure is not finite or negative, or there is none.

    Source: Papadopoulos et al. 2002 (inductive conformal prediction); the bound is David and Nagaraja 2003,
        section 2.2.

    >>> upper_limit([1.0, 2.0, 3.0]).limit, upper_limit([1.0, 2.0, 3.0]).expected_beyond
    (3.0, 0.25)
    """
    values = np.sort(np.asarray(figures, dtype=np.float64).ravel())
    if values.size == 0 or not (np.isfinite(values) & (values >= 0)).all():
        raise ArgumentError("`figures` must be finite, at least 0 and at least one; score the patients again.")
    if not 0 < beyond < 1:
        raise ArgumentError(f"`beyond` must lie between 0 and 1, got {beyond}.")
    n = values.size
    rank = math.ceil((n + 1) * (1 - beyond))
    limit = float(values[rank - 1]) if rank <= n else min(float(values[-1]), _log_normal_limit(values, beyond))
    return Limit(limit=limit, patients=n, expected_beyond=(int((values > limit).sum()) + 1) / (n + 1))


def _log_normal_limit(values: Array, beyond: float) -> float:
    """Where a log-normal distribution of the values' median and quartiles leaves `beyond` above; infinite at 0."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    if low <= 0 or low == high:
        return math.inf
    deviation = (math.log(high) - math.log(low)) / (2 * NormalDist().inv_cdf(0.75))
    return math.exp(math.log(middle) + NormalDist().inv_cdf(1 - beyond) * deviation)
