"""What each DICOM series is, and why: the rules that look at one series alone.

Decided in this order: no single-frame MR image, mosaic, FA or exponential map, ADC (before any b-value rule, for ADC
series carry b-values), calculated b-value, diffusion, axial T2. Descriptions only break a tie that the physics leaves.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import normal_of
from prostate_alm.readers.instance import Instance, class_name
from prostate_alm.readers.rules import ROLES

_ADC = re.compile(ROLES.adc_description)
_MAP = re.compile(ROLES.map_description)
_CALCULATED = re.compile(ROLES.calculated_description)
_TWO_B_VALUES = re.compile(ROLES.calculated_sequence)
_ONE_B_VALUE = re.compile(ROLES.acquired_sequence)
_LISTED = re.compile(ROLES.acquired_description)
_DIFFUSION = re.compile(ROLES.diffusion_description)
_MAP_TYPE = re.compile(ROLES.map_type)
_NOT_T2 = re.compile(ROLES.not_t2_description)
_OTHER_USE = re.compile(ROLES.other_use_description)
_FAT_IMAGE = re.compile(ROLES.fat_image_description)
_DYNAMIC = re.compile(ROLES.dynamic_description)


class SeriesRole(StrEnum):
    """What a series is."""

    T2 = "axial T2"
    DWI = "DWI"
    ADC = "ADC"
    CALCULATED_B = "calculated b"
    OTHER = "other"


@dataclass(frozen=True, eq=False)
class RoledSeries:
    """A series, its role, and the reason in words."""

    series: DicomSeries
    role: SeriesRole
    why: str


def role_of(series: DicomSeries) -> RoledSeries:
    """Decide what a series is."""
    role, why = _no_image(series) or _map_or_diffusion(series) or _t2(series)
    return RoledSeries(series, role, why)


def is_axial_image(instance: Instance) -> bool:
    """Whether its slice normal is near the patient's long axis."""
    return instance.orientation is not None and abs(normal_of(instance.orientation)[2]) >= ROLES.axial_cosine


def is_axial(series: DicomSeries) -> bool:
    """Whether most of its images are axial and lie at as many positions as a T2 has at least."""
    axial, positions = _axial_positions(series.instances)
    return axial * 2 >= len(series.instances) and positions >= ROLES.t2_positions


def acquired(instances: Sequence[Instance]) -> list[Instance]:
    """The images of a diffusion series that the scanner measured: those of a calculated b-value left out."""
    return [instance for instance in instances if not _is_calculated(instance)]


def says_acquired(series: DicomSeries) -> bool:
    """Whether a header tells that the highest b-value of a diffusion series was measured, not calculated.

    Original images were; so was what came with other b-values in one series, what has a SequenceName of this one
    alone, or a description that lists it among several.
    """
    first, values = series.first, b_values_of(acquired(series.instances))
    if "DERIVED" not in first.image_type or len(values) != 1:
        return True
    return tells_of_b(values[0], first.sequence_name, first.description)


def tells_of_b(b_value: float, sequence_name: str, description: str) -> bool:
    """Whether a SequenceName holds this b-value alone, or a description lists it among several."""
    named = _ONE_B_VALUE.search(sequence_name)
    if named:
        return abs(float(named[1]) - b_value) <= ROLES.b_values_agree * b_value
    listed = _LISTED.search(description.upper())
    return listed is not None and f"{b_value:g}" in re.findall(r"\d+", listed[0])


def b_values_of(instances: Sequence[Instance]) -> tuple[float, ...]:
    """The distinct b-values in s/mm², ascending."""
    return tuple(sorted({instance.b_value.value for instance in instances if instance.b_value is not None}))


def _no_image(series: DicomSeries) -> tuple[SeriesRole, str] | None:
    if any(instance.is_multi_frame for instance in series.instances):
        return (
            SeriesRole.OTHER,
            "many frames in one classic image, whose places no header states; export one image a slice",
        )
    odd = [instance for instance in series.instances if not instance.is_image]
    if len(odd) == len(series.instances):
        return SeriesRole.OTHER, f"no MR image but {class_name(odd[0].sop_class)}"
    if any("MOSAIC" in instance.image_type for instance in series.instances):
        return SeriesRole.OTHER, "a mosaic, several slices in one image"
    if all(set(ROLES.phase_types) & set(instance.image_type) for instance in series.instances):
        return SeriesRole.OTHER, "phase, real or imaginary images, no magnitude"
    return None


def _map_or_diffusion(series: DicomSeries) -> tuple[SeriesRole, str] | None:
    first, name = series.first, series.description.upper()
    values = b_values_of(series.instances)
    diffusion = _is_diffusion(series)
    if is_other_map(series):
        return SeriesRole.OTHER, "an anisotropy, tensor or exponential map"
    if "ADC" in first.image_type:
        return SeriesRole.ADC, "ImageType holds ADC"
    if _ADC.search(name) and not _is_weighted(series):
        return SeriesRole.ADC, "the description names an ADC map"
    if diffusion and not acquired(series.instances):
        return SeriesRole.CALCULATED_B, f"b {_listed(values)} was calculated, not acquired"
    if diffusion:
        sources = Counter(one.b_value.source for one in series.instances if one.b_value is not None)
        where = f" from {', '.join(sorted(sources))}" if sources else ""
        return SeriesRole.DWI, f"diffusion, b {_listed(b_values_of(acquired(series.instances)))}{where}"
    return None


def _is_weighted(series: DicomSeries) -> bool:
    """Whether it holds diffusion-weighted images, whatever it is called: a word makes no map of what was measured."""
    first = series.first
    one_b_value = _ONE_B_VALUE.search(first.sequence_name) is not None
    return bool({"ORIGINAL", "TRACEW"} & set(first.image_type)) or one_b_value or len(b_values_of(series.instances)) > 1


def is_other_map(series: DicomSeries) -> bool:
    """Whether it was computed from diffusion and is called a map other than ADC."""
    first = series.first
    computed = _is_diffusion(series) or "EP" in first.sequences or "DERIVED" in first.image_type
    named = computed and _MAP.search(series.description.upper()) is not None
    return named or bool(set(ROLES.map_types) & set(first.image_type))


def _listed(values: Sequence[float]) -> str:
    return "/".join(f"{value:g}" for value in values) or "unknown"


def _is_diffusion(series: DicomSeries) -> bool:
    first = series.first
    return (
        bool(set(ROLES.diffusion_types) & set(first.image_type))
        or any(one.b_value is not None and one.b_value.value > 0 for one in series.instances)
        or ("EP" in first.sequences and _DIFFUSION.search(series.description.upper()) is not None)
    )


def _is_calculated(instance: Instance) -> bool:
    types = set(instance.image_type)
    return (
        any(part.startswith(ROLES.calculated_types) for part in types)
        or _CALCULATED.search(instance.description.upper()) is not None
        or ("TRACEW" in types and _TWO_B_VALUES.search(instance.sequence_name) is not None)
    )


def _t2(series: DicomSeries) -> tuple[SeriesRole, str]:
    axial, positions = _axial_positions(series.instances)
    judged = _axial_or_all(series.instances, whole=positions >= ROLES.t2_positions)
    problem = _no_t2_contrast(judged[0]) or _no_single_volume(judged)
    if problem is None and axial * 2 < len(series.instances) and positions < ROLES.t2_positions:
        problem = "not axial"  # what holds a whole axial stack among others stays a candidate, and is refused as mixed
    if problem is None and positions < ROLES.t2_positions:
        problem = f"{positions} axial slices, T2 has at least {ROLES.t2_positions}"
    if problem is not None:
        return SeriesRole.OTHER, problem
    echo, repetition = _time("echo", judged[0].echo_time), _time("repetition", judged[0].repetition_time)
    return SeriesRole.T2, f"axial, {echo}, {repetition}, {positions} slices"


def _axial_or_all(instances: Sequence[Instance], *, whole: bool) -> Sequence[Instance]:
    """The images that a series is judged by: a whole axial stack alone, where other planes share its series."""
    if not whole:
        return instances
    return [one for one in instances if one.orientation is None or is_axial_image(one)]


def _no_t2_contrast(first: Instance) -> str | None:
    name = first.description.upper()
    named = _NOT_T2.search(name) or _OTHER_USE.search(name)
    if named:
        return f"the description says {named[1]}"
    if _FAT_IMAGE.search(name):
        return "the description says that it shows fat, or water against fat"
    return other_physics(first) or _other_timing(first)


def may_be_t2(series: DicomSeries) -> bool:
    """Whether only a word of its use, or an echo time of 40 ms or more, speaks against an axial T2 series."""
    role, _ = _no_image(series) or _map_or_diffusion(series) or _t2(series)
    positions = _axial_positions(series.instances)[1]
    if role is not SeriesRole.OTHER or positions < ROLES.t2_positions:
        return False
    judged = _axial_or_all(series.instances, whole=True)
    name = judged[0].description.upper()
    if _NOT_T2.search(name) or _FAT_IMAGE.search(name) or _no_single_volume(judged):
        return False
    stated = judged[0].echo_time is not None and judged[0].repetition_time is not None
    return stated and _no_image(series) is None and named_t2_problem(judged[0]) is None


def is_dynamic(series: DicomSeries) -> bool:
    """Whether it follows a contrast agent: a gradient echo that is called so, or has several temporal positions."""
    first = series.first
    times = {instance.temporal_position for instance in series.instances}
    named = _DYNAMIC.search(series.description.upper()) is not None
    return "GR" in first.sequences and "EP" not in first.sequences and (named or len(times) > 1)


def other_physics(first: Instance) -> str | None:
    """What an image was made with that no T2 is made with; None when the header tells of nothing."""
    types = set(first.image_type)
    facts = {
        "echo-planar, and neither diffusion nor a map": "EP" in first.sequences,
        "a gradient echo": "GR" in first.sequences and "SE" not in first.sequences,
        "an inversion recovery": is_inverted(first),
        "ImageType says a map": any(_MAP_TYPE.search(part) for part in types),
        "ImageType says that it shows fat, or water against fat": bool(types & set(ROLES.fat_image_types)),
        "ImageType says processed, and nothing says of what": "PROCESSED" in types,
    }
    return next((name for name, is_so in facts.items() if is_so), None)


def named_t2_problem(first: Instance) -> str | None:
    """Why an image can't be a T2 even if a person says so; what its header leaves open is the person's to say."""
    problem = other_physics(first)
    if problem is not None:
        return problem
    if first.echo_time is not None and first.echo_time < ROLES.named_t2_echo_time:
        return f"{_time('echo', first.echo_time)}, a T2 named by hand has at least {ROLES.named_t2_echo_time:g}"
    if first.repetition_time is not None and first.repetition_time <= ROLES.t2_repetition_time:
        return f"{_time('repetition', first.repetition_time)}, T2 has more than {ROLES.t2_repetition_time:g}"
    return None


def _other_timing(first: Instance) -> str | None:
    echo, repetition = first.echo_time, first.repetition_time
    if echo is None or echo < ROLES.t2_echo_time:
        return f"{_time('echo', echo)}, T2 has at least {ROLES.t2_echo_time:g}"
    if repetition is None or repetition <= ROLES.t2_repetition_time:
        return f"{_time('repetition', repetition)}, T2 has more than {ROLES.t2_repetition_time:g}"
    return None


def is_inverted(instance: Instance) -> bool:
    """Whether an inversion pulse prepared it: STIR, TIRM and the like. Some scanners write a time of 0 for none."""
    return "IR" in instance.sequences or (instance.inversion_time or 0) > 0


def _no_single_volume(instances: Sequence[Instance]) -> str | None:
    if len({instance.echo_time for instance in instances}) > 1:
        return "several echo times in one series"
    if len({instance.temporal_position for instance in instances}) > 1:
        return "several temporal positions in one series"
    return None


def _time(kind: str, value: float | None) -> str:
    return f"no {kind} time" if value is None else f"{kind} time {value:g} ms"


def _axial_positions(instances: Sequence[Instance]) -> tuple[int, int]:
    """How many images are axial or of unknown orientation, and how many positions the axial ones have."""
    positions: list[float] = []
    unknown = 0
    for instance in instances:
        if instance.orientation is None or instance.position is None:
            unknown += 1  # stays a candidate, and is refused for its geometry
            continue
        if is_axial_image(instance):
            positions.append(float(normal_of(instance.orientation) @ instance.position))
    return len(positions) + unknown, len(np.unique(np.round(positions, 1))) + unknown
