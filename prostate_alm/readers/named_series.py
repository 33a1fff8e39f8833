"""Find the series that a person named, and refuse those that can't be what they were named for."""

from collections.abc import Sequence

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import (
    RoledSeries,
    SeriesRole,
    b_values_of,
    is_axial,
    is_other_map,
    named_t2_problem,
)

NamedSeries = dict[SeriesRole, list[DicomSeries]]

_ROLES = {"t2": SeriesRole.T2, "dwi": SeriesRole.DWI, "adc": SeriesRole.ADC}


def named_series(found: Sequence[RoledSeries], choice: SeriesChoice) -> NamedSeries:
    """The series named for each role; roles without a name are left out.

    A name outranks descriptions and tie-breaks. It doesn't make an ADC map of acquired diffusion, or a T2 of a
    sagittal series.

    Raises:
        StudyRefusedError: there is no such series, there are several, or it can't be what it was named for.
    """
    named: NamedSeries = {}
    for name, role in _ROLES.items():
        text = getattr(choice, name)
        if text is None:
            continue
        numbers = choice.numbers(name)
        if numbers is None:
            series = [_one(found, role, name, description=text)]
        else:
            series = [_one(found, role, name, number=number) for number in numbers]
        named[role] = [one.series for one in series]
    return named


def _one(
    found: Sequence[RoledSeries], role: SeriesRole, name: str, *, number: int | None = None, description: str = ""
) -> RoledSeries:
    """The one series of a number, or else of a description."""
    if number is None:
        matching = [one for one in found if one.series.description.casefold() == description.casefold()]
        words = "of the description given"
    else:
        matching = [one for one in found if one.series.number == number]
        words = f"of number {number}"
    if len(matching) > 1:  # an object may hold diffusion and its map under one number
        matching = [one for one in matching if one.role is role] or matching
    numbers = ", ".join("?" if one.series.number is None else str(one.series.number) for one in found)
    if not matching:
        raise StudyRefusedError(
            Reason.SERIES_NOT_FOUND, f"`{name}` names a series {words}; the study holds series {numbers}."
        )
    if len(matching) > 1:
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS, f"`{name}` names a series {words}, and {len(matching)} are; name one by number."
        )
    problem = _problem(matching[0], role)
    if problem is not None:
        raise StudyRefusedError(
            Reason.SERIES_NOT_FOUND,
            f"`{name}` names {matching[0].series.name}, which can't be that: {problem}; name another.",
        )
    return matching[0]


def _problem(one: RoledSeries, role: SeriesRole) -> str | None:
    """Why a series can't be what a person named it for; None for what physics leaves open to a person's word."""
    first = one.series.first
    if one.role is role:
        return None
    if role is SeriesRole.T2 and one.role is SeriesRole.OTHER and _is_plain(first):
        return named_t2_problem(first) if is_axial(one.series) else one.why
    if role is SeriesRole.ADC and "DERIVED" in first.image_type and not is_other_map(one.series):
        unnamed_map = one.role is SeriesRole.OTHER and _is_plain(first)
        if unnamed_map or (one.role is SeriesRole.DWI and not _is_trace(one)):
            return None
    return one.why


def _is_plain(first: Instance) -> bool:
    return first.is_image and "MOSAIC" not in first.image_type


def _is_trace(one: RoledSeries) -> bool:
    """Whether a derived diffusion series holds weighted images, and is no map that bears the tags of its source."""
    return "TRACEW" in one.series.first.image_type or len(b_values_of(one.series.instances)) > 1
