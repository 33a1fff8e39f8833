"""What is in an input, what would be chosen, and why; no pixel is decoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.candidates import Candidate
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.series_roles import RoledSeries, SeriesRole
from prostate_alm.readers.series_selection import Selection
from prostate_alm.readers.tie_breaks import Chosen
from prostate_alm.study import Role, Series

_ROLES = {SeriesRole.T2: Role.T2, SeriesRole.DWI: Role.DWI, SeriesRole.ADC: Role.ADC}


@dataclass(frozen=True)
class FoundSeries:
    """One series of the input.

    Attributes:
        number: the series number; None when the input has none.
        description: what the scanner calls it, or the file's role for NIfTI.
        role: what it is: axial T2, DWI, ADC, calculated b, other.
        why: the reason for the role and, for a candidate, why it was chosen or lost.
        images: how many images it has.
        chosen: whether the study is read from it.
    """

    number: int | None
    description: str
    role: SeriesRole
    why: str
    images: int
    chosen: bool = False


@dataclass(frozen=True)
class Inspection:
    """What `inspect_study` found.

    Attributes:
        found: every series, by number.
        chosen: the series the study is read from, by role; after a refusal, those decided before it.
        runners_up: candidates for a role that lost by a tie-break.
        flags: notes that change no decision.
        skipped_files: files that are neither DICOM nor a NIfTI file of the study.
        refusal: why this is no study; None when it is one, as far as headers tell.
    """

    found: tuple[FoundSeries, ...] = ()
    chosen: tuple[Series, ...] = ()
    runners_up: tuple[FoundSeries, ...] = ()
    flags: tuple[Reason, ...] = ()
    skipped_files: int = 0
    refusal: StudyRefusedError | None = None


def chosen_series(chosen: Mapping[SeriesRole, Chosen]) -> tuple[Series, ...]:
    """One `Series` for each DICOM series that is read, T2 first; b-values of separate series stay with each."""
    series: list[Series] = []
    for role in (SeriesRole.T2, SeriesRole.DWI, SeriesRole.ADC):
        if role in chosen:
            series += _series(chosen[role].candidate, _ROLES[role])
    return tuple(series)


def _series(candidate: Candidate, role: Role) -> list[Series]:
    return [
        Series(role, one.number, one.first.shown_description, candidate.b_values_of(one) if role is Role.DWI else ())
        for one in candidate.members
    ]


def describe_selection(selection: Selection, skipped_files: int) -> Inspection:
    """Put a selection into words."""
    notes: dict[DicomSeries, tuple[bool, str]] = {}
    for chosen in selection.chosen.values():
        for one in chosen.candidate.members:
            notes[one] = (True, f"chosen: {chosen.why}")
        for candidate, why in chosen.runners_up:
            for one in candidate.members:
                notes[one] = (False, _sentence(candidate, why))
    found = tuple(_found(one, notes) for one in selection.found)
    return Inspection(
        found,
        chosen_series(selection.chosen),
        tuple(row for row, one in zip(found, selection.found, strict=True) if one.series in notes and not row.chosen),
        _flags(selection),
        skipped_files,
        selection.refusal,
    )


def _flags(selection: Selection) -> tuple[Reason, ...]:
    """What to note of a study; nothing of a refused one."""
    if selection.refusal is not None:
        return ()
    computed = (Reason.ADC_COMPUTED,) if SeriesRole.ADC not in selection.chosen else ()
    named = (Reason.SERIES_NAMED_BY_HAND,) if selection.named_by_hand else ()
    return computed + named


def _sentence(candidate: Candidate, why: str) -> str:
    return why if candidate.defect is None else f"{why} ({candidate.defect.reason})"


def _found(one: RoledSeries, notes: Mapping[DicomSeries, tuple[bool, str]]) -> FoundSeries:
    chosen, note = notes.get(one.series, (False, ""))
    why = f"{one.why}; {note}" if note else one.why
    shown = one.series.first.shown_description
    return FoundSeries(one.series.number, shown, one.role, why, len(one.series.instances), chosen)


def describe_nifti(
    roles: Sequence[str],
    b_values: Sequence[float],
    *,
    skipped_files: int,
    refusal: StudyRefusedError | None = None,
) -> Inspection:
    """The same for NIfTI files, whose names (`roles`: ``t2``, ``dwi``, ``adc``) say what they are."""
    names = {str(role): found for found, role in _ROLES.items()}
    found = tuple(
        FoundSeries(None, name, names[name], "a NIfTI file of this name", 1, chosen=refusal is None) for name in roles
    )
    chosen = tuple(
        Series(
            _ROLES[one.role], None, one.description, tuple(sorted(set(b_values))) if one.role is SeriesRole.DWI else ()
        )
        for one in found
        if one.chosen
    )
    flags = (Reason.ADC_COMPUTED,) if chosen and "adc" not in roles else ()
    return Inspection(found, chosen, flags=flags, skipped_files=skipped_files, refusal=refusal)
