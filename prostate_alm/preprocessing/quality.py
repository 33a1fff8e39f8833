"""Quality gates: what must hold of a study before a model may answer for it."""

from collections.abc import Mapping

import torch

from prostate_alm.errors import Reason
from prostate_alm.study import QualityFinding, Study

T2_COVERAGE = 0.6  # of the box; 59 % of PI-CAI studies are shorter than the 72 mm box, few below 45 mm
DWI_COVERAGE = 0.8  # of the part of the box that T2 covers
ADC_MEDIAN = (400.0, 2500.0)  # 1e-6 mm²/s in the middle of the box; a unit error is a factor of 10 or 1000
CONTRAST = 1e-3  # standard deviation over mean magnitude

Sampled = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def quality_findings(study: Study, sampled: Sampled) -> tuple[QualityFinding, ...]:
    """Hold a study against every gate.

    Args:
        study: the study as it was read.
        sampled: values and mask in the box, ``[H, W, D]`` each, by "t2", "dwi", "adc".
    """
    t2_inside, dwi_inside = sampled["t2"][1], sampled["dwi"][1]
    return (
        _frames_agree(study),
        _at_least(Reason.COVERAGE_LOW, _share(t2_inside, torch.ones_like(t2_inside)), T2_COVERAGE),
        _at_least(Reason.COVERAGE_LOW, _share(dwi_inside, t2_inside), DWI_COVERAGE),
        *(_at_least(Reason.VOLUME_CONSTANT, _contrast(*sampled[name]), CONTRAST) for name in ("t2", "dwi", "adc")),
        _adc_in_range(*sampled["adc"]),
    )


def _at_least(reason: Reason, value: float, limit: float) -> QualityFinding:
    return QualityFinding(reason, value, limit, passed=value >= limit)


def _frames_agree(study: Study) -> QualityFinding:
    """Two volumes that name different coordinate systems can't be laid over each other."""
    volumes = (study.t2, *study.dwi.values(), study.adc)
    frames = {volume.frame_of_reference for volume in volumes if volume.frame_of_reference}
    return QualityFinding(Reason.FRAME_OF_REFERENCE_DIFFERS, float(len(frames)), 1.0, passed=len(frames) <= 1)


def _share(part: torch.Tensor, whole: torch.Tensor) -> float:
    """Share of `whole` that `part` covers; 0 for an empty whole."""
    return float((part & whole).sum()) / max(float(whole.sum()), 1.0)


def _contrast(values: torch.Tensor, inside: torch.Tensor) -> float:
    if not inside.any():
        return 0.0
    return float(values[inside].std(correction=0) / values[inside].abs().mean().clamp_min(1e-12))


def _adc_in_range(adc: torch.Tensor, valid: torch.Tensor) -> QualityFinding:
    """The median over the middle third of the box, where the gland lies."""
    middle = tuple(slice(n // 3, n - n // 3) for n in adc.shape)
    values = adc[middle][valid[middle]]
    median = float(values.median()) if values.numel() else 0.0
    low, high = ADC_MEDIAN
    return QualityFinding(Reason.ADC_OUT_OF_RANGE, median, low if median < low else high, passed=low <= median <= high)
