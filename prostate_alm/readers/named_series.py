"""Find the series that a person named, and refuse those that can't be what they were named for."""

from collections.abc import Sequence

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import RoledSeries, SeriesRole, is_axial

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
    if not _can_be(matching[0], role):
        raise StudyRefusedError(
            Reason.SERIES_NOT_FOUND,
            f"`{name}` names {matching[0].series.name}, which can't be that: {matching[0].why}; name another.",
        )
    return matching[0]


def _can_be(one: RoledSeries, role: SeriesRole) -> bool:
    """What physics leaves open to a person's word."""
    if one.role is role:
        return True
    first = one.series.first
    if one.role is not SeriesRole.OTHER or not first.is_image or "MOSAIC" in first.image_type:
        return role is SeriesRole.ADC and one.role is SeriesRole.DWI and "DERIVED" in first.image_type
    if role is SeriesRole.T2:
        return is_axial(one.series) and "EP" not in first.sequences
    return role is SeriesRole.ADC and "DERIVED" in first.image_type
