"""What the diffusion images tell of their b-values and of the ADC map that came with them."""

import math
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import Reason
from prostate_alm.study import FloatArray, Study

SMALLEST_STEP = 200.0  # s/mm² between the b-values from which a decay is read


def decay(study: Study) -> float:
    """ADC of the middle by log(S₁ / S₂) / (b₂ - b₁) of the lowest and highest b-value, in 1e-6 mm²/s.

    Its median over the voxels with signal; NaN without them or without two b-values that are far enough apart.
    """
    return _decay(study, min(study.dwi), max(study.dwi))


def smallest_decay(study: Study) -> float:
    """The smallest decay from a b-value to the next that is far enough above it, in 1e-6 mm²/s; NaN as `decay`.

    It is positive in tissue. Below 0 the signal rises with b: the volumes bear each other's b-values.
    """
    chain = [min(study.dwi)]
    for b in sorted(study.dwi):
        if b - chain[-1] >= SMALLEST_STEP:
            chain.append(b)
    decays = [_decay(study, low, high) for low, high in pairwise(chain)]
    return min(decays, default=math.nan)


def adc_agreement(study: Study) -> float:
    """Pearson correlation of the ADC map with the decay of the middle's voxels.

    NaN where it can't be known: the map was computed from them, there is one b-value, or nothing varies.
    """
    low, high = min(study.dwi), max(study.dwi)
    if Reason.ADC_COMPUTED in study.flags or high - low < SMALLEST_STEP:
        return math.nan
    first, second, adc = (middle(one.data) for one in (study.dwi[low], study.dwi[high], study.adc))
    seen = (first > 0) & (second > 0) & (adc > 0)
    logs, values = np.log(first[seen] / second[seen], dtype=np.float64), adc[seen].astype(np.float64)
    if not seen.any() or logs.std() == 0 or values.std() == 0:
        return math.nan
    return float(np.corrcoef(logs, values)[0, 1])


def middle(data: FloatArray) -> FloatArray:
    """The middle third along each axis, where the gland lies."""
    return data[tuple(slice(n // 3, max(n - n // 3, n // 3 + 1)) for n in data.shape)]


def _decay(study: Study, low: float, high: float) -> float:
    first, second = (middle(study.dwi[b].data).astype(np.float64) for b in (low, high))
    seen: NDArray[np.bool_] = (first > 0) & (second > 0)
    if high - low < SMALLEST_STEP or not seen.any():
        return math.nan
    return float(np.median(np.log(first[seen] / second[seen]))) / (high - low) * 1e6
