"""Candidates for a role: a series, or several with one b-value each, stacked or with the defect that prevents it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import Stack, same_plane, stack_slices
from prostate_alm.readers.instance import Instance, on_one_clock
from prostate_alm.readers.rules import GEOMETRY, ROLES
from prostate_alm.readers.series_roles import acquired, b_values_of, says_acquired

_REVERSED = re.compile(ROLES.reversed_description)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One or more series that could fill a role.

    Attributes:
        members: the series; several only where each b-value has a series of its own.
        b_values: acquired, ascending; empty for T2 and ADC.
        stack: the ordered slices; None when there is a defect.
        defect: why it can't be stacked.
    """

    members: tuple[DicomSeries, ...]
    b_values: tuple[float, ...] = ()
    stack: Stack | None = None
    defect: StudyRefusedError | None = None

    @property
    def first(self) -> Instance:
        """The image that speaks for size, spacing and orientation."""
        return self.members[0].first

    @property
    def numbers(self) -> str:
        """The series numbers, for messages."""
        return " + ".join("?" if one.number is None else str(one.number) for one in self.members)

    @staticmethod
    def b_values_of(member: DicomSeries) -> tuple[float, ...]:
        """The acquired b-values of one of the series."""
        return b_values_of(acquired(member.instances))

    @property
    def span(self) -> tuple[float | None, float | None]:
        """When its first and its last image were acquired, in seconds; None when not every image tells."""
        times = [image.time for one in self.members for image in one.instances]
        known = [time for time in times if time is not None]
        return (min(known), max(known)) if on_one_clock(times) else (None, None)


def candidate_of(series: DicomSeries) -> Candidate:
    """A T2 or ADC series as one stack."""
    try:
        _check_count(series.instances, series.name, strict=True)
        stack = stack_slices({0.0: series.instances}, series.name)
        _check_numbers(stack, series.name)
        return Candidate((series,), stack=stack)
    except StudyRefusedError as error:
        return Candidate((series,), defect=error)


def _check_count(instances: Sequence[Instance], name: str, *, strict: bool) -> None:
    """Hold the number of original images against (0020,1002) Images in Acquisition: a lost edge slice leaves no gap.

    Derived images carry the count of their source and are not held against it; nor, unless `strict`, is a series
    that may be a whole part of its acquisition (one of its b-values).
    """
    expected: dict[float | None, int] = {}
    counts: dict[float | None, int] = {}
    for instance in instances:
        if instance.images_in_acquisition is not None and "ORIGINAL" in instance.image_type:
            expected[instance.acquisition_number] = instance.images_in_acquisition
        counts[instance.acquisition_number] = counts.get(instance.acquisition_number, 0) + 1
    for acquisition, number in expected.items():
        short = counts[acquisition] < number
        if short and (strict or number % counts[acquisition] != 0):
            raise StudyRefusedError(
                Reason.SLICE_MISSING,
                f"{name}: {counts[acquisition]} images came, its header counts {number}; send the whole series.",
            )


def _check_numbers(stack: Stack, name: str) -> None:
    """Hold the numbers of original images against their count: a slice lost at the first edge leaves no other gap.

    Only where they ascend or descend with the slices, as scanners count; what lost its last edge ends earlier, unseen.
    """
    images = stack.instances
    numbers = [one.instance_number for one in images if one.instance_number is not None]
    steps = np.diff(numbers)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    if len(numbers) < len(images) or not in_order or not all("ORIGINAL" in one.image_type for one in images):
        return
    count, low, high = len(images), min(numbers), max(numbers)
    if high - low >= count or 1 < low <= count:  # a larger one is counted through the study
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"{name}: its {count} images are numbered {low} to {high}; send the whole series.",
        )


def diffusion_candidates(diffusion: Sequence[DicomSeries]) -> list[Candidate]:
    """Each series with several b-values alone; series of one b-value together with those on the same plane."""
    candidates: list[Candidate] = []
    families: list[list[DicomSeries]] = []
    for series in diffusion:
        if len(b_values_of(acquired(series.instances))) != 1:
            candidates.append(diffusion_candidate_of([series]))
            continue
        family = next((one for one in families if _same_family(one[0], series)), None)
        if family is None:
            families.append([series])
        else:
            family.append(series)
    candidates += [_joined(family) for family in families]
    return [one for one in candidates if one.defect is not None or max(one.b_values) > 0]


def _joined(family: Sequence[DicomSeries]) -> Candidate:
    """Series of one b-value each as one candidate; with a defect where the highest one may be calculated."""
    top = max(family, key=lambda one: max(b_values_of(acquired(one.instances)), default=0.0))
    if len(family) == 1 or says_acquired(top):
        return diffusion_candidate_of(family)
    numbers = " + ".join(str(one.number) for one in family)
    values = b_values_of([image for one in family for image in acquired(one.instances)])
    return Candidate(
        tuple(family),
        values,
        defect=StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"series {numbers} hold one b-value each, and nothing says whether the derived b {values[-1]:g} of"
            f" {top.name} was acquired or calculated; name the acquired ones by hand.",
        ),
    )


def _same_family(first: DicomSeries, second: DicomSeries) -> bool:
    alike = first.first.echo_time == second.first.echo_time
    return (
        alike
        and first.first.frame_of_reference == second.first.frame_of_reference
        and same_plane(first.first, second.first)
        and same_encoding(first.first, second.first)
    )


def same_encoding(first: Instance, second: Instance) -> bool:
    """Whether nothing says that phase was encoded along another axis or in the other direction.

    Echo-planar images of b 0 are also acquired with the reverse direction, to undo distortion: their anatomy lies
    elsewhere. No element of the standard tells the direction, so words have to.
    """
    axes = {first.phase_axis, second.phase_axis} - {""}
    reverse = [_REVERSED.search(one.description.upper()) is not None for one in (first, second)]
    return len(axes) < 2 and reverse[0] == reverse[1]


def diffusion_candidate_of(members: Sequence[DicomSeries]) -> Candidate:
    """One candidate of one series, or of several that hold one b-value each."""
    instances = [instance for one in members for instance in acquired(one.instances)]
    values = b_values_of(instances)
    name = members[0].name if len(members) == 1 else f"series {' + '.join(str(one.number) for one in members)}"
    try:
        if any(instance.b_value is None for instance in instances):
            raise StudyRefusedError(
                Reason.B_VALUE_UNKNOWN,
                f"{name}: an image's header states no b-value, or two that differ; send original images.",
            )
        if len(members) > len(values):
            raise StudyRefusedError(
                Reason.SERIES_AMBIGUOUS, f"{name} hold the same b-value twice on one grid; send the one to be used."
            )
        for one in members:
            _check_count(acquired(one.instances), one.name, strict=False)
        groups = {b: _of_b_value(instances, b) for b in values}
        _refuse_mixed(groups, name)
        return Candidate(tuple(members), values, stack_slices(groups, name, directions=True))
    except StudyRefusedError as error:
        return Candidate(tuple(members), values, defect=error)


def _of_b_value(instances: Sequence[Instance], b: float) -> list[Instance]:
    """The images of one b-value; where the scanner wrote the trace itself, without the directions it is made of."""
    images = [one for one in instances if one.b_value is not None and one.b_value.value == b]
    trace = [one for one in images if one.isotropic]
    return trace or images


def _refuse_mixed(groups: Mapping[float, Sequence[Instance]], name: str) -> None:
    """Raise when the images of one b-value are of two kinds, which have no mean: magnitude and phase, two echoes.

    Raises:
        StudyRefusedError: they differ in echo time or ImageType.
    """
    for b, images in groups.items():
        if len({(one.echo_time, one.image_type) for one in images}) > 1:
            raise StudyRefusedError(
                Reason.SERIES_AMBIGUOUS,
                f"{name}, b {b:g}: its images differ in echo time or ImageType; send one kind of them.",
            )


def refuse_split(candidate: Candidate, others: Sequence[DicomSeries]) -> None:
    """Raise when images of the same series number, under another UID, lie where this stack could go on.

    A slice lost at the edge of a stack leaves no gap; one that lost its series is still there to be seen.
    """
    stack = candidate.stack
    assert stack is not None
    numbers = {one.number for one in candidate.members} - {None}
    to_index = np.linalg.inv(stack.geometry.affine)
    for other in others:
        if other in candidate.members or other.number not in numbers:
            continue
        for one in other.instances:
            if (
                one.position is None
                or not same_plane(one, candidate.first)
                or one.image_type != candidate.first.image_type
            ):
                continue
            x, y, z = (to_index @ [*one.position, 1.0])[:3]
            beside = max(abs(x) * stack.geometry.spacing[0], abs(y) * stack.geometry.spacing[1])
            if beside <= 2 * GEOMETRY.in_line and (round(z) < 0 or round(z) >= stack.geometry.shape[2]):
                raise StudyRefusedError(
                    Reason.SLICE_MISSING,
                    f"{other.name} came as two series, and one continues the slices of the other;"
                    " export the series again as one.",
                )
