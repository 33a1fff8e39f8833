"""The ways in which an archive hands over one examination, each with the series that are right.

Every layout is written around the same three volumes, T2w, diffusion and ADC; beside them lies what a choice of
series has to leave aside.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from prostate_alm.datasets.synthetic import reformats
from prostate_alm.datasets.synthetic.dicom_writer import CALCULATED_B, calculated_b, sagittal_reformat
from prostate_alm.datasets.synthetic.examination import Images, SeriesPlan
from prostate_alm.datasets.synthetic.vendors import Kind, SeriesStyle, Vendor, named
from prostate_alm.study import FloatArray, Role, Study, Volume

DIRECTION_FACTORS = (0.8, 1.0, 1.25)  # their geometric mean is 1
TIME_POINTS = 20
_DIFFUSION = frozenset(
    {Kind.DIRECTIONS, Kind.MOSAIC, Kind.DWI, Kind.ADC, Kind.CALCULATED, Kind.FA, Kind.TENSOR, Kind.EXPONENTIAL}
)


class Layout(StrEnum):
    """How an examination is laid out."""

    MULTI_B = "one multi-b series"
    SERIES_PER_B = "one series a b-value"
    DIRECTIONS_AND_TRACE = "directions beside the trace"
    DIRECTIONS_ONLY = "directions alone"
    DTI_FAMILY = "DTI with its maps"
    REPEATED_T2 = "repeated T2"
    LOCALIZERS = "localizers in three planes"
    DCE = "dozens of DCE time points"
    ADC_WITH_B_TAG = "ADC with a b tag"
    CALCULATED_B = "calculated b-value"
    ENHANCED = "enhanced multi-frame"
    DISK = "disk: DICOMDIR, no extensions, stray files"
    MIXED_TREE = "patients and studies mixed"
    DUPLICATES = "every file twice"
    COMPRESSED = "compressed"
    ZIP = "zip"
    NIFTI = "NIfTI of dcm2niix"
    MHA = "MHA of PI-CAI"


@dataclass(frozen=True)
class Laid:
    """The series of a layout and which of them are the study.

    Attributes:
        series: everything that is written.
        roles: numbers of the right series.
    """

    series: tuple[SeriesPlan, ...]
    roles: Mapping[Role, tuple[int, ...]]


def lay_out(layout: Layout, study: Study, vendor: Vendor) -> Laid:
    """The series that a vendor's scanner sends of a study; layouts that differ in files alone share the first one's."""
    build = _BUILDERS.get(layout, _multi_b)
    built, dwi = build(study, vendor)
    series = _dated(built)
    adc = next(plan.number for plan in series if plan.kind is Kind.ADC)
    t2 = max(plan.number for plan in series if plan.kind is Kind.T2)
    return Laid(tuple(series), {Role.T2: (t2,), Role.DWI: dwi, Role.ADC: (adc,)})


Built = tuple[list[SeriesPlan], tuple[int, ...]]


def _dated(series: list[SeriesPlan]) -> list[SeriesPlan]:
    """What was made of a diffusion acquisition is dated as it is, whenever it was computed."""
    first = min(plan.number for plan in series if plan.kind in {Kind.DIRECTIONS, Kind.MOSAIC, Kind.DWI})
    return [replace(plan, begins_as=first) if plan.kind in _DIFFUSION else plan for plan in series]


def _turbo(study: Study, vendor: Vendor) -> list[SeriesPlan]:
    """The sagittal and the axial T2w series."""
    sagittal = Images(sagittal_reformat(study.t2), sequence_name=vendor.styles[Kind.T2_SAGITTAL].sequence_name)
    return [
        SeriesPlan(2, Kind.T2_SAGITTAL, vendor.styles[Kind.T2_SAGITTAL], (sagittal,)),
        _axial(3, study.t2, vendor),
    ]


def _axial(number: int, volume: Volume, vendor: Vendor) -> SeriesPlan:
    style = vendor.styles[Kind.T2]
    return SeriesPlan(number, Kind.T2, style, (Images(volume, sequence_name=style.sequence_name),))


def _weighted(style: SeriesStyle, study: Study, b: float, volume: Volume, direction: int = 1) -> Images:
    """One diffusion-weighted volume, with its b-value wherever the vendor writes it."""
    return Images(volume, b, sequence_name=_sequence_name(style, study, b, direction))


def _sequence_name(style: SeriesStyle, study: Study, b: float, direction: int = 1) -> str:
    low, high = min(study.dwi), max(study.dwi)
    return style.sequence_name.format(b=f"{b:.0f}", low=f"{low:.0f}", high=f"{high:.0f}", direction=direction)


def _dwi(number: int, study: Study, vendor: Vendor, kind: Kind = Kind.DWI) -> SeriesPlan:
    style = vendor.styles[kind]
    images = tuple(_weighted(style, study, b, volume) for b, volume in study.dwi.items())
    return SeriesPlan(number, kind, style, images)


def _map(number: int, kind: Kind, study: Study, vendor: Vendor, volume: Volume) -> SeriesPlan:
    """A map that was computed from the diffusion series; Siemens leaves its highest b-value in the tag."""
    style, highest = vendor.styles[kind], max(study.dwi)
    tagged = highest if vendor.has_mosaics and vendor.name == "siemens" else None
    return SeriesPlan(number, kind, style, (Images(volume, tagged, {}, _sequence_name(style, study, highest)),))


def _multi_b(study: Study, vendor: Vendor) -> Built:
    adc = _map(5, Kind.ADC, study, vendor, study.adc)
    return [*_turbo(study, vendor), _dwi(4, study, vendor), adc], (4,)


def _series_per_b(study: Study, vendor: Vendor) -> Built:
    style, first = vendor.styles[Kind.DWI], 4
    series = [
        SeriesPlan(first + place, Kind.DWI, style, (_weighted(style, study, b, volume),))
        for place, (b, volume) in enumerate(study.dwi.items())
    ]
    numbers = tuple(plan.number for plan in series)
    adc = _map(numbers[-1] + 1, Kind.ADC, study, vendor, study.adc)
    return [*_turbo(study, vendor), *series, adc], numbers


def _directions(number: int, study: Study, vendor: Vendor) -> SeriesPlan:
    style, images = vendor.styles[Kind.DIRECTIONS], []
    for b, volume in study.dwi.items():
        for direction, data in enumerate(_stored_directions(b, volume), start=1):
            turned = Volume(data, volume.geometry, volume.frame_of_reference)
            images.append(_weighted(style, study, b, turned, direction))
    return SeriesPlan(number, Kind.DIRECTIONS, style, tuple(images))


def _stored_directions(b: float, volume: Volume) -> list[FloatArray]:
    """Three directions of a b-value above 0, whose geometric mean is the trace up to their rounding."""
    factors = DIRECTION_FACTORS if b else (1.0,)
    return [np.rint(volume.data * np.float32(factor)) for factor in factors]


def geometric_means(dwi: Mapping[float, Volume]) -> dict[float, Volume]:
    """What the directions that are written of these volumes amount to, each of them rounded.

    Not the volumes themselves: of a signal of 8, rounding three directions takes 2 %, and 20e-6 mm²/s of its ADC.
    """
    means: dict[float, Volume] = {}
    for b, volume in dwi.items():
        directions = np.stack(_stored_directions(b, volume)).astype(np.float64)
        mean = np.prod(directions, axis=0) ** (1 / len(directions))
        means[b] = Volume(mean.astype(np.float32), volume.geometry, volume.frame_of_reference)
    return means


def _directions_and_trace(study: Study, vendor: Vendor) -> Built:
    adc = _map(6, Kind.ADC, study, vendor, study.adc)
    return [*_turbo(study, vendor), _directions(4, study, vendor), _dwi(5, study, vendor), adc], (5,)


def _directions_only(study: Study, vendor: Vendor) -> Built:
    adc = _map(5, Kind.ADC, study, vendor, study.adc)
    return [*_turbo(study, vendor), _directions(4, study, vendor), adc], (4,)


def _dti_family(study: Study, vendor: Vendor) -> Built:
    """The directions, as mosaics where the vendor makes them, the trace, and every map that is derived."""
    first = _mosaics(4, study, vendor) if vendor.has_mosaics else _directions(4, study, vendor)
    anisotropy = reformats.scaled(study.adc, 0.25)
    decay = reformats.exponential(study.adc, max(study.dwi))
    baseline = next(iter(study.dwi.values()))
    series = [
        *_turbo(study, vendor),
        first,
        _dwi(5, study, vendor),
        _map(6, Kind.FA, study, vendor, anisotropy),
        _map(7, Kind.TENSOR, study, vendor, baseline),
        _map(8, Kind.EXPONENTIAL, study, vendor, decay),
        _map(9, Kind.ADC, study, vendor, study.adc),
    ]
    return series, (5,)


def _mosaics(number: int, study: Study, vendor: Vendor) -> SeriesPlan:
    style = vendor.styles[Kind.MOSAIC]
    images = [_weighted(style, study, b, reformats.mosaic(volume)) for b, volume in study.dwi.items()]
    return SeriesPlan(number, Kind.MOSAIC, style, tuple(images))


def _repeated_t2(study: Study, vendor: Vendor) -> Built:
    """The first T2w was spoilt by motion and repeated after the diffusion."""
    moved = Volume(np.roll(study.t2.data, 3, axis=1), study.t2.geometry, study.t2.frame_of_reference)
    series, dwi = _multi_b(study, vendor)
    kept = [plan for plan in series if plan.kind is not Kind.T2]
    return [*kept, _axial(3, moved, vendor), _axial(7, study.t2, vendor)], dwi


def _localizers(study: Study, vendor: Vendor) -> Built:
    """A gradient-echo and a T2w-like localizer of three planes in one series, a T1w and a coronal T2w series."""
    style, planes = vendor.styles[Kind.LOCALIZER], [Images(one) for one in reformats.three_planes(study.t2, 4)]
    haste = named(style, "tra cor sag")
    t1 = Images(study.t2, sequence_name=vendor.styles[Kind.T1].sequence_name)
    coronal = Images(reformats.coronal(study.t2))
    series, dwi = _multi_b(study, vendor)
    series += [
        SeriesPlan(1, Kind.LOCALIZER, style, tuple(planes)),
        SeriesPlan(8, Kind.LOCALIZER, haste, tuple(planes), timing=(1400.0, 92.0)),
        SeriesPlan(9, Kind.T1, vendor.styles[Kind.T1], (t1,)),
        SeriesPlan(10, Kind.T2_SAGITTAL, named(vendor.styles[Kind.T2_SAGITTAL], "T2 cor"), (coronal,)),
    ]
    return series, dwi


def _dce(study: Study, vendor: Vendor) -> Built:
    """Time points of a small dynamic series, one series each or all in one."""
    style, series, dwi = vendor.styles[Kind.DCE], *_multi_b(study, vendor)
    times = [reformats.coarse(study.t2, 4, 1 + 0.05 * time) for time in range(TIME_POINTS)]
    if vendor.series_per_time_point:
        series += [SeriesPlan(20 + place, Kind.DCE, style, (Images(one),)) for place, one in enumerate(times)]
    else:
        tagged = [Images(one, None, {"TemporalPositionIdentifier": place}) for place, one in enumerate(times, start=1)]
        series.append(SeriesPlan(20, Kind.DCE, style, tuple(tagged)))
    return series, dwi


def _adc_with_b_tag(study: Study, vendor: Vendor) -> Built:
    style, series, dwi = vendor.styles[Kind.ADC], *_multi_b(study, vendor)
    tagged = _weighted(style, study, max(study.dwi), study.adc)
    return [*series[:-1], SeriesPlan(5, Kind.ADC, style, (tagged,))], dwi


def _calculated(study: Study, vendor: Vendor) -> Built:
    style, series, dwi = vendor.styles[Kind.CALCULATED], *_multi_b(study, vendor)
    volume = calculated_b(study)
    images = Images(volume, CALCULATED_B, {}, _sequence_name(style, study, CALCULATED_B))
    return [*series, SeriesPlan(6, Kind.CALCULATED, style, (images,))], dwi


_BUILDERS: dict[Layout, Callable[[Study, Vendor], Built]] = {
    Layout.SERIES_PER_B: _series_per_b,
    Layout.DIRECTIONS_AND_TRACE: _directions_and_trace,
    Layout.DIRECTIONS_ONLY: _directions_only,
    Layout.DTI_FAMILY: _dti_family,
    Layout.REPEATED_T2: _repeated_t2,
    Layout.LOCALIZERS: _localizers,
    Layout.DCE: _dce,
    Layout.ADC_WITH_B_TAG: _adc_with_b_tag,
    Layout.CALCULATED_B: _calculated,
}
