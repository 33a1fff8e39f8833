"""The unit of an ADC map, which no DICOM attribute tells reliably: detected, rescaled when sure, refused otherwise.

For cohorts, whose datalist carries the flag. The service rescales nothing: there a gate sends another unit to a person.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.study import Study, Volume

TRUE_UNIT = (400.0, 2500.0)  # 1e-6 mm²/s: a median in the middle that needs no rescaling
EXPECTED = (700.0, 2000.0)  # 1e-6 mm²/s: what a rescaled median must meet
POWERS = (-3, -1, 1, 3, 6)
"""Of ten, that have been seen: two GE scanners 10 apart, maps in 1e-3 mm²/s (3) and in mm²/s (6)."""
AGREEMENT = 2.5  # the factor by which the map may differ from the decay of the b-values; below √10, so one power fits
SMALLEST_STEP = 200.0  # s/mm² between the b-values from which a decay is read


def in_adc_units(study: Study) -> Study:
    """The study with its ADC in 1e-6 mm²/s.

    The median of the positive values in the middle of the map is held against what pelvic tissue has and, where two
    b-values were acquired, against the decay between the lowest and the highest. A map in its unit is left as it
    is; when exactly one power of ten makes it fit, it is multiplied and the study flagged `ADC_RESCALED`.

    Raises:
        StudyRefusedError: no power of ten fits, or the map contradicts the diffusion images: `ADC_SCALE_UNKNOWN`.
    """
    median = _middle_median(study.adc.data)
    decay = None if Reason.ADC_COMPUTED in study.flags else _decay(study)
    if TRUE_UNIT[0] <= median <= TRUE_UNIT[1] and _agrees(median, decay):
        return study
    fitting = [
        power
        for power in POWERS
        if EXPECTED[0] <= median * 10.0**power <= EXPECTED[1] and _agrees(median * 10.0**power, decay)
    ]
    if len(fitting) != 1:
        against = "" if decay is None else f" and {decay:.0f} from the diffusion images"
        raise StudyRefusedError(
            Reason.ADC_SCALE_UNKNOWN,
            f"the ADC has median {median:.4g} in the middle; expected {EXPECTED[0]:.0f} to {EXPECTED[1]:.0f} (1e-6"
            f" mm²/s){against}, and no power of ten fits. Check that it is an ADC map, and its unit.",
        )
    adc = Volume(
        (study.adc.data * np.float32(10.0 ** fitting[0])).astype(np.float32),
        study.adc.geometry,
        study.adc.frame_of_reference,
    )
    return dataclasses.replace(study, adc=adc, flags=(*study.flags, Reason.ADC_RESCALED))


def _agrees(median: float, decay: float | None) -> bool:
    return decay is None or decay / AGREEMENT <= median <= decay * AGREEMENT


def _decay(study: Study) -> float | None:
    """ADC of the middle by log(S₁ / S₂) / (b₂ - b₁), in 1e-6 mm²/s; None without two b-values, signal, or a decay."""
    low, high = min(study.dwi), max(study.dwi)
    first, second = (_middle(study.dwi[b].data).astype(np.float64) for b in (low, high))
    seen = (first > 0) & (second > 0)
    if high - low < SMALLEST_STEP or not seen.any():
        return None
    decay = float(np.median(np.log(first[seen] / second[seen]))) / (high - low) * 1e6
    return decay if math.isfinite(decay) and decay > 0 else None


def _middle_median(adc: NDArray[np.float32]) -> float:
    values = _middle(adc)
    positive = values[values > 0]
    return float(np.median(positive)) if positive.size else 0.0


def _middle(data: NDArray[np.float32]) -> NDArray[np.float32]:
    """The middle third along each axis, where the gland lies."""
    return data[tuple(slice(n // 3, max(n - n // 3, n // 3 + 1)) for n in data.shape)]
