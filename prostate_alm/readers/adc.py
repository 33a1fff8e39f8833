"""The apparent diffusion coefficient, fitted when the scanner sent no map."""

from collections.abc import Mapping

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.study import Volume


def no_adc_error() -> StudyRefusedError:
    """The refusal of a study without an ADC map and without the means to fit one."""
    return StudyRefusedError(
        Reason.ADC_MISSING,
        "there is no ADC map and fewer than two acquired b-values to fit one; send the ADC series or all b-values.",
    )


def fit_adc(dwi: Mapping[float, Volume]) -> Volume:
    """Fit S(b) = S(0)·exp(-b·ADC) by least squares on log S over all acquired b-values.

    Args:
        dwi: volumes by b-value in s/mm², on one grid.

    Returns:
        ADC in 1e-6 mm²/s, not below 0; 0 where a signal is not positive, as scanners write it in the noise.

    Raises:
        StudyRefusedError: fewer than two b-values.
    """
    if len(dwi) < 2:
        raise no_adc_error()
    b = np.array(sorted(dwi), dtype=np.float64)
    weights = (b - b.mean()) / ((b - b.mean()) ** 2).sum()  # slope of a line: sum of weights times ordinates
    first = dwi[float(b[0])]
    slope = np.zeros(first.geometry.shape, dtype=np.float64)
    positive = np.ones(first.geometry.shape, dtype=bool)
    for value, weight in zip(b, weights, strict=True):
        signal = dwi[float(value)].data
        positive &= signal > 0
        slope += weight * np.log(np.where(signal > 0, signal, 1.0), dtype=np.float64)
    adc = np.where(positive, np.maximum(-slope * 1e6, 0.0), 0.0)
    return Volume(adc.astype(np.float32), first.geometry, first.frame_of_reference)
