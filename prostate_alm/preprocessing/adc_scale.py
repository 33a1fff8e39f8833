"""The unit of an ADC map, which no DICOM attribute tells reliably: detected, rescaled when sure, refused otherwise.

For cohorts, whose datalist carries the flag. The service rescales nothing: there a gate sends another unit to a person.
"""

import dataclasses
import math

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.preprocessing.diffusion import decay, middle
from prostate_alm.study import FloatArray, Role, Study, Volume

TRUE_UNIT = (400.0, 2500.0)  # 1e-6 mm²/s: a median in the middle that needs no rescaling
EXPECTED = (700.0, 2000.0)  # 1e-6 mm²/s: what a rescaled median must meet
POWERS = (-3, -1, 1, 3, 6)
"""Of ten, that have been seen: two GE scanners 10 apart, maps in 1e-3 mm²/s (3) and in mm²/s (6)."""
AGREEMENT = 2.5  # the factor by which the map may differ from the decay of the b-values; below √10, so one power fits


def in_adc_units(study: Study) -> Study:
    """The study with its ADC in 1e-6 mm²/s.

    The median of the positive values in the middle of the map is held against what pelvic tissue has and, where two
    b-values were acquired, against the decay between the lowest and the highest. A map in its unit is left as it
    is; when exactly one power of ten makes it fit, it is multiplied and the study flagged `ADC_RESCALED`. A map known
    by its file's name alone is multiplied only where two b-values confirm it.

    Raises:
        StudyRefusedError: no power of ten fits, or the map contradicts the diffusion images: `ADC_SCALE_UNKNOWN`.
    """
    median = _middle_median(study.adc.data)
    expected = math.nan if Reason.ADC_COMPUTED in study.flags else decay(study)
    if TRUE_UNIT[0] <= median <= TRUE_UNIT[1] and _agrees(median, expected):
        return study
    fitting = [
        power
        for power in POWERS
        if EXPECTED[0] <= median * 10.0**power <= EXPECTED[1] and _agrees(median * 10.0**power, expected)
    ]
    if len(fitting) != 1 or (math.isnan(expected) and _known_by_name_alone(study)):
        against = "" if math.isnan(expected) else f" and {expected:.0f} from the diffusion images"
        raise StudyRefusedError(
            Reason.ADC_SCALE_UNKNOWN,
            f"the ADC has median {median:.4g} in the middle; expected {EXPECTED[0]:.0f} to {EXPECTED[1]:.0f} (1e-6"
            f" mm²/s){against}, and no power of ten is sure to mend it. Check that it is an ADC map, and its unit.",
        )
    adc = Volume(
        (study.adc.data * np.float32(10.0 ** fitting[0])).astype(np.float32),
        study.adc.geometry,
        study.adc.frame_of_reference,
    )
    return dataclasses.replace(study, adc=adc, flags=(*study.flags, Reason.ADC_RESCALED))


def _agrees(median: float, expected: float) -> bool:
    return math.isnan(expected) or expected / AGREEMENT <= median <= expected * AGREEMENT


def _known_by_name_alone(study: Study) -> bool:
    """Whether no header says that the map is one: a file of that name may be another image of another unit."""
    return all(series.number is None for series in study.series if series.role is Role.ADC)


def _middle_median(adc: FloatArray) -> float:
    values = middle(adc)
    positive = values[values > 0]
    return float(np.median(positive)) if positive.size else 0.0
