"""Quality gates: what must hold of a study before a model may answer for it."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from prostate_alm.errors import Reason
from prostate_alm.preprocessing.artefacts import motion_score, susceptibility_score
from prostate_alm.preprocessing.diffusion import adc_agreement, smallest_decay
from prostate_alm.study import QualityFinding, Study, Volume

T2_COVERAGE = 0.6  # of the box; 59 % of PI-CAI studies are shorter than the 72 mm box, few below 45 mm
DWI_COVERAGE = 0.8  # of the part of the box that T2 covers
GLAND_MM = (72.0, 72.0, 48.0)  # around the middle: mean extents of 1500 glands, with room for their usual offset
GLAND_COVERAGE = 0.9
VALUES = 0.5  # share of that part with values above 0
ADC_VALUES = 0.3  # the same of an ADC map, which scanners mask where the signal is low
ADC_MEDIAN = (400.0, 2500.0)  # 1e-6 mm²/s in the middle of the box; a unit error is a factor of 10 or 1000
CONTRAST = 1e-3  # standard deviation over mean magnitude
SATURATED = 0.005  # share of the middle at the volume's largest value
MOTION = 0.14  # `artefacts.motion_score` of any b-value: clean synthetic studies have up to 0.06, of 4 mm voxels 0.11
SUSCEPTIBILITY = 0.12  # `artefacts.susceptibility_score`: the same studies have up to 0.116
DECAY = 50.0  # 1e-6 mm²/s from a b-value to the next: tissue has ten times that, swapped b-values have less than 0
AGREEMENT = 0.5  # `diffusion.adc_agreement`: 0.99 on real and synthetic studies, below 0 for an image in its place

Sampled = Mapping[str, tuple[torch.Tensor, torch.Tensor]]


def quality_findings(
    study: Study, sampled: Sampled, *, box_mm: tuple[float, float, float]
) -> tuple[QualityFinding, ...]:
    """Hold a study against every gate.

    Args:
        study: the study as it was read.
        sampled: values and mask in the box, ``[H, W, D]`` each, by "t2", "dwi", "adc".
        box_mm: size of the box.
    """
    t2_inside, dwi_inside = sampled["t2"][1], sampled["dwi"][1]
    gland = _gland(t2_inside.shape, box_mm)
    both = (t2_inside & dwi_inside)[gland]
    volumes = (study.t2, *study.dwi.values(), study.adc)
    return (
        _frames_agree(volumes),
        _at_most(Reason.CONTRAST_GIVEN, float(study.acquisition.contrast_agent or False), 0.5),
        _at_least(Reason.COVERAGE_LOW, _share(t2_inside, torch.ones_like(t2_inside)), T2_COVERAGE),
        _at_least(Reason.COVERAGE_LOW, _share(dwi_inside, t2_inside), DWI_COVERAGE),
        _at_least(Reason.FIELD_OF_VIEW_SMALL, float(both.float().mean()), GLAND_COVERAGE),
        *(_at_least(Reason.VOLUME_CONSTANT, _contrast(*sampled[name]), CONTRAST) for name in ("t2", "dwi", "adc")),
        *(_at_least(Reason.VOLUME_CONSTANT, _valued(sampled[name][0][gland], both), VALUES) for name in ("t2", "dwi")),
        _at_least(Reason.VOLUME_CONSTANT, _share(sampled["adc"][1][gland], both), ADC_VALUES),
        _at_most(Reason.VOLUME_SATURATED, max(map(_saturated, volumes)), SATURATED),
        _adc_in_range(*sampled["adc"]),
        _at_most(Reason.MOTION_SUSPECTED, max(map(motion_score, study.dwi.values())), MOTION),
        _at_most(
            Reason.SUSCEPTIBILITY_SUSPECTED,
            susceptibility_score(study.dwi[min(study.dwi)], middle=study.t2.geometry.centre),
            SUSCEPTIBILITY,
        ),
        _at_least_or_unknown(Reason.SIGNAL_RISES_WITH_B, smallest_decay(study), DECAY),
        _at_least_or_unknown(Reason.ADC_DISAGREES, adc_agreement(study), AGREEMENT),
    )


def _gland(shape: torch.Size, box_mm: tuple[float, float, float]) -> tuple[slice, ...]:
    """The part of the box where the gland is expected."""
    halves = (
        max(1, round(n * min(part / size, 1.0) / 2)) for n, size, part in zip(shape, box_mm, GLAND_MM, strict=True)
    )
    return tuple(slice(max(n // 2 - half, 0), n // 2 + half) for n, half in zip(shape, halves, strict=True))


def _at_most(reason: Reason, value: float, limit: float) -> QualityFinding:
    return QualityFinding(reason, value, limit, passed=value <= limit)


def _valued(values: torch.Tensor, inside: torch.Tensor) -> float:
    """Share of `inside` with a value above 0: a mask or a void leaves zeros."""
    return _share(values > 0, inside)


def _saturated(volume: Volume) -> float:
    """Share of the middle half, in plane, that has the volume's largest value; 0 for a constant volume."""
    columns, rows, _ = volume.geometry.shape
    middle = volume.data[columns // 4 : columns - columns // 4, rows // 4 : rows - rows // 4]
    largest = float(volume.data.max())
    return 0.0 if float(volume.data.min()) == largest else float((middle == largest).mean(dtype=np.float64))


def _at_least(reason: Reason, value: float, limit: float) -> QualityFinding:
    return QualityFinding(reason, value, limit, passed=value >= limit)


def _at_least_or_unknown(reason: Reason, value: float, limit: float) -> QualityFinding:
    """A gate that one b-value, or an ADC computed here, leaves nothing to hold against: the figure is NaN then."""
    return QualityFinding(reason, value, limit, passed=math.isnan(value) or value >= limit)


def _frames_agree(volumes: Sequence[Volume]) -> QualityFinding:
    """Two volumes that name different coordinate systems can't be laid over each other."""
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
