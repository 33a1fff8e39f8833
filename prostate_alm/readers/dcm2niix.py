"""NIfTI as dcm2niix writes it: 4-D diffusion with ``.bval``, an ADC map with a ``.bval`` that means nothing, ``.json``.

A file's role is told by its sidecar (ImageType, echo time, description) where there is one, by its name otherwise, and
by its grid. The rules are those of DICOM series as far as NIfTI keeps what they need; a tie is refused. Messages
call a file by its series number: its name may hold a patient's.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.adc import fit_adc
from prostate_alm.readers.archive import SourceFile
from prostate_alm.readers.inspection import FoundSeries, Inspection
from prostate_alm.readers.nifti import read_nifti_volume, read_nifti_volumes, volumes_by_b_value
from prostate_alm.readers.nifti_b_values import (
    mark_derived,
    refuse_contradicted,
    refuse_unfit,
    says_acquired,
    sequence_name,
)
from prostate_alm.readers.nifti_files import NiftiFile, described_files, refuse_mixtures
from prostate_alm.readers.rules import CHOICE, ROLES
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import SeriesRole
from prostate_alm.readers.t2_rivals import refuse_better, refuse_set_aside, refuse_unlike
from prostate_alm.readers.volume import content_key
from prostate_alm.study import Acquisition, Role, Series, Study, Volume

_T2_NAME = re.compile(r"(?<![A-Z0-9])T2")
_STUDY_ROLES = {SeriesRole.T2: Role.T2, SeriesRole.DWI: Role.DWI, SeriesRole.ADC: Role.ADC}


def examine(files: Sequence[SourceFile], series: SeriesChoice, *, load: bool) -> tuple[Inspection, Study | None]:
    """Choose one T2, one DWI and one ADC among the NIfTI files, and read them unless `load` is False."""
    found: list[NiftiFile] = []
    try:
        found = mark_derived([_with_role(one) for one in described_files(files)])
        refuse_mixtures(found)
        chosen = _choose(found, series)
        study = _load(chosen, series) if load else None
    except StudyRefusedError as error:
        return _inspection(found, {}, series, files, error), None
    return _inspection(found, chosen, series, files, None), study


def _with_role(one: NiftiFile) -> NiftiFile:
    """Decide a file's role: maps before b-values, for maps carry a ``.bval`` too."""
    role, why = _role(one)
    return replace(one, role=role, why=why)


def _role(one: NiftiFile) -> tuple[SeriesRole, str]:
    if "ADC" in one.image_type or (re.search(ROLES.adc_description, one.text) and not _is_weighted(one)):
        return SeriesRole.ADC, "the sidecar or name says ADC"
    if set(one.image_type) & set(ROLES.map_types) or re.search(ROLES.map_description, one.text):
        return SeriesRole.OTHER, "a map computed from diffusion"
    calculated = any(part.startswith(ROLES.calculated_types) for part in one.image_type)
    if re.search(ROLES.calculated_sequence, sequence_name(one)):
        return SeriesRole.CALCULATED_B, "the sidecar's SequenceName has two b-values: calculated"
    if calculated or re.search(ROLES.calculated_description, one.text):
        return SeriesRole.CALCULATED_B, "the sidecar or name says calculated"
    if one.b_values:
        return SeriesRole.DWI, f"b {', '.join(f'{b:g}' for b in sorted(set(one.b_values)))}"
    problem = _no_t2(one)
    return (SeriesRole.OTHER, problem) if problem else (SeriesRole.T2, "axial T2 by its sidecar or name")


def _is_weighted(one: NiftiFile) -> bool:
    """Whether it holds diffusion-weighted images, whatever it is called."""
    one_b_value = re.search(ROLES.acquired_sequence, sequence_name(one)) is not None
    return bool({"ORIGINAL", "TRACEW"} & set(one.image_type)) or one_b_value or len(set(one.b_values)) > 1


def _no_t2(one: NiftiFile) -> str | None:
    """Why a file is no axial T2 volume; None when it is."""
    named = re.search(ROLES.not_t2_description, one.text) or re.search(ROLES.other_use_description, one.text)
    problem = _no_axial_stack(one) or _other_physics(one)
    if problem is not None:
        return problem
    if named:
        return f"the description says {named[1]}"
    if _shows_fat(one):
        return "the description says that it shows fat, or water against fat"
    echo, repetition = one.milliseconds("EchoTime"), one.milliseconds("RepetitionTime")
    if echo is not None and repetition is not None:
        weighted = echo >= ROLES.t2_echo_time and repetition > ROLES.t2_repetition_time
        return None if weighted else f"echo time {echo:g} ms, repetition time {repetition:g} ms"
    return None if _T2_NAME.search(one.text) else "neither sidecar nor name says T2"


def _shows_fat(one: NiftiFile) -> bool:
    return any(re.search(ROLES.fat_image_description, text.upper()) for text in (one.description, one.stem))


def _may_be_t2(one: NiftiFile) -> bool:
    """Whether only a word of its use, or an echo time of 40 ms or more, speaks against an axial T2 file."""
    if one.role is not SeriesRole.OTHER or re.search(ROLES.not_t2_description, one.text) or _shows_fat(one):
        return False
    echo, repetition = one.milliseconds("EchoTime"), one.milliseconds("RepetitionTime")
    stated = echo is not None and repetition is not None
    map_of_diffusion = set(one.image_type) & set(ROLES.map_types) or re.search(ROLES.map_description, one.text)
    return stated and not map_of_diffusion and _problem_named(one, "t2") is None


def _no_axial_stack(one: NiftiFile) -> str | None:
    if one.volumes != 1:
        return f"{one.volumes} volumes without b-values"
    if abs(one.geometry.direction[2, 2]) < ROLES.axial_cosine:
        return "not axial"
    if one.geometry.shape[2] < ROLES.t2_positions:
        return f"{one.geometry.shape[2]} slices, T2 has at least {ROLES.t2_positions}"
    return None


def _other_physics(one: NiftiFile) -> str | None:
    """What a file was made with that no T2 is made with; None when its sidecar tells of nothing."""
    sequences = one.parts("ScanningSequence")
    if "GR" in sequences and "SE" not in sequences:
        return "a gradient echo"
    if "IR" in sequences or (one.milliseconds("InversionTime") or 0) > 0:
        return "an inversion recovery"
    if any(re.search(ROLES.map_type, part) for part in one.image_type):
        return "ImageType says a map"
    if set(ROLES.fat_image_types) & set(one.image_type):
        return "ImageType says that it shows fat, or water against fat"
    if set(ROLES.phase_types) & set(one.image_type):
        return "phase, real or imaginary images, no magnitude"
    return None


def _choose_t2(found: Sequence[NiftiFile]) -> NiftiFile:
    """The best kind of T2; of those that are acquired alike, the one of the smallest in-plane spacing."""
    candidates = [one for one in found if one.role is SeriesRole.T2]
    best = max((one.kind.merits for one in candidates), default=())
    left = [one for one in candidates if one.kind.merits == best]
    if left:
        refuse_unlike([one.kind for one in left])
    chosen = _only(left, "t2", key=lambda one: -_in_plane(one))
    refuse_better(chosen.kind, [one.kind for one in candidates if one is not chosen])
    refuse_set_aside(chosen.kind, [one.kind for one in found if _may_be_t2(one)])
    return chosen


def _problem_named(one: NiftiFile, role: str) -> str | None:
    """Why a file can't be what a person named it for; None for what is left open to a person's word."""
    if role == "t2":
        echo, repetition = one.milliseconds("EchoTime"), one.milliseconds("RepetitionTime")
        if one.role in {SeriesRole.DWI, SeriesRole.ADC, SeriesRole.CALCULATED_B}:
            return f"{one.role}: {one.why}"
        short = echo is not None and echo < ROLES.named_t2_echo_time
        if short or (repetition is not None and repetition <= ROLES.t2_repetition_time):
            return "not of the echo and repetition time of a T2"
        return _no_axial_stack(one) or _other_physics(one)
    if role == "dwi":
        return None if one.role is SeriesRole.DWI else f"{one.role}: {one.why}"
    other_map = set(one.image_type) & set(ROLES.map_types) or re.search(ROLES.map_description, one.text)
    open_to_a_word = one.role is SeriesRole.ADC or (one.role is SeriesRole.OTHER and not other_map)
    return None if open_to_a_word and one.volumes == 1 else f"{one.role}: {one.why}"


def _choose(found: Sequence[NiftiFile], series: SeriesChoice) -> dict[SeriesRole, list[NiftiFile]]:
    """The files to read, by role; ADC is absent when it has to be fitted."""
    dwi = _named(found, series, "dwi") or _choose_dwi([one for one in found if one.role is SeriesRole.DWI])
    refuse_contradicted(dwi)
    refuse_unfit(dwi)
    t2 = _named(found, series, "t2") or [_choose_t2(found)]
    chosen = {SeriesRole.T2: t2, SeriesRole.DWI: dwi}
    on_grid = [one for one in found if _same_grid(one, dwi[0])]
    maps = [one for one in on_grid if one.role is SeriesRole.ADC]
    if any(one.role is SeriesRole.DWI and one not in dwi for one in on_grid):
        maps = []  # of which of the two acquisitions? a file does not tell when its last image was acquired
    adc = _named(found, series, "adc") or ([_only(maps, "adc")] if maps else [])
    if adc and not _same_grid(adc[0], dwi[0]):
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"the ADC ({adc[0].label}) does not lie on the grid of the DWI; name one that does.",
        )
    if adc:
        chosen[SeriesRole.ADC] = adc
    elif len({b for one in dwi for b in one.b_values}) < 2:
        raise StudyRefusedError(
            Reason.ADC_MISSING,
            "no ADC file is known to be of the DWI, whose single b-value allows no fit; add the ADC or all b-values,"
            " or name the ADC as `adc_series`.",
        )
    return chosen


def _named(found: Sequence[NiftiFile], series: SeriesChoice, role: str) -> list[NiftiFile]:
    """The files a person named for a role."""
    text, numbers = getattr(series, role), series.numbers(role)
    if text is None:
        return []
    named: list[NiftiFile] = []
    for wanted in numbers or (text,):
        fitting = [one for one in found if one.is_called(wanted)]
        if len(fitting) != 1:
            reason = Reason.SERIES_AMBIGUOUS if fitting else Reason.SERIES_NOT_FOUND
            raise StudyRefusedError(
                reason, f"what is named as `{role}_series` fits {len(fitting)} NIfTI files; name one by its number."
            )
        problem = _problem_named(fitting[0], role)
        if problem is not None:
            raise StudyRefusedError(
                Reason.SERIES_NOT_FOUND,
                f"`{role}_series` names {fitting[0].label}, which can't be that: {problem}; name another.",
            )
        named += fitting
    return named


def _choose_dwi(candidates: Sequence[NiftiFile]) -> list[NiftiFile]:
    """One file of several b-values or, without one, the files of one b-value each that share a grid."""
    several = [one for one in candidates if len(set(one.b_values)) > 1]
    if several:
        chosen = _only(_traces_of_best(several), "dwi")
        _refuse_better(chosen, candidates)
        return [chosen]
    families: list[list[NiftiFile]] = []
    for one in candidates:
        family = next((family for family in families if _same_grid(family[0], one)), None)
        if family is None:
            families.append([one])
        else:
            family.append(one)
    families = [family for family in families if any(b > 0 for one in family for b in one.b_values)]
    if not families:
        raise StudyRefusedError(Reason.DWI_MISSING, "no NIfTI file has a `.bval` with a b-value above 0; add the DWI.")
    if len(families) > 1:
        raise _ambiguous([one for family in families for one in family], "dwi")
    (family,) = families
    if len(family) > 1 and not says_acquired(max(family, key=lambda one: max(one.b_values))):
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"nothing says whether the highest b-value of {', '.join(one.label for one in family)} was acquired or"
            " calculated; name the acquired ones as `dwi_series`.",
        )
    return family


def _traces_of_best(several: Sequence[NiftiFile]) -> list[NiftiFile]:
    """The files of the highest b-value; without those of directions where a trace lies on the grid of all."""
    best = max(_highest_b(one) for one in several)
    left = [one for one in several if _highest_b(one) == best]
    traces = [one for one in left if _is_trace(one)]
    return traces if traces and all(_same_grid(one, traces[0]) for one in left) else left


def _highest_b(one: NiftiFile) -> float:
    low, high = CHOICE.high_b
    return max((b for b in one.b_values if low <= b <= high), default=0.0)


def _refuse_better(chosen: NiftiFile, candidates: Sequence[NiftiFile]) -> None:
    """Raise when diffusion with a high b-value lost to a coarser file, or trace images to directions."""
    (x, y, gap), rivals = chosen.geometry.spacing, []
    for one in candidates:
        steps = (max(one.geometry.spacing[:2]), max(x, y)), (one.geometry.spacing[2], gap)
        is_finer = any(mine < CHOICE.dwi_finer * theirs for mine, theirs in steps)
        if _highest_b(one) and (is_finer or (_is_trace(one) and not _is_trace(chosen))):
            rivals.append(one)
    if rivals:
        raise _ambiguous([chosen, *rivals], "dwi")


def _is_trace(one: NiftiFile) -> bool:
    return len(set(one.b_values)) == len(one.b_values)


def _only(candidates: Sequence[NiftiFile], role: str, key: Callable[[NiftiFile], float] = lambda _: 0.0) -> NiftiFile:
    """The candidate with the largest key."""
    if not candidates:
        reason = {"t2": Reason.T2_MISSING, "dwi": Reason.DWI_MISSING}.get(role, Reason.ADC_MISSING)
        raise StudyRefusedError(reason, f"none of the NIfTI files is the {role}; send the whole study.")
    best = max(key(one) for one in candidates)
    left = [one for one in candidates if key(one) == best]
    if len(left) > 1:
        raise _ambiguous(left, role)
    return left[0]


def _ambiguous(candidates: Sequence[NiftiFile], role: str) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.SERIES_AMBIGUOUS,
        f"{', '.join(one.label for one in candidates)} could each be the {role}; name one as `{role}_series`.",
    )


def _in_plane(one: NiftiFile) -> float:
    return round(max(one.geometry.spacing[:2]), 3)


def _same_grid(one: NiftiFile, other: NiftiFile) -> bool:
    return one.geometry.is_close(other.geometry, tolerance_mm=0.1)


def _load(chosen: Mapping[SeriesRole, Sequence[NiftiFile]], series: SeriesChoice) -> Study:
    by_b = _read_dwi(chosen[SeriesRole.DWI])
    t2 = read_nifti_volume(chosen[SeriesRole.T2][0].path, "t2")
    adc = read_nifti_volume(chosen[SeriesRole.ADC][0].path, "adc") if SeriesRole.ADC in chosen else fit_adc(by_b)
    return Study(
        content_key([t2, *(by_b[b] for b in sorted(by_b))]),
        t2,
        by_b,
        adc,
        series=_series(chosen),
        flags=_flags(chosen, series),
        acquisition=_acquisition(chosen),
    )


def _read_dwi(files: Sequence[NiftiFile]) -> dict[float, Volume]:
    if any(not _same_grid(one, files[0]) for one in files):
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID, "the files named as `dwi_series` do not share one grid; name those that do."
        )
    by_b: dict[float, Volume] = {}
    for one in files:
        by_b |= volumes_by_b_value(read_nifti_volumes(one.path, "dwi"), one.b_values)
    return by_b


def _series(chosen: Mapping[SeriesRole, Sequence[NiftiFile]]) -> tuple[Series, ...]:
    return tuple(
        Series(
            _STUDY_ROLES[role],
            one.number,
            one.shown or str(_STUDY_ROLES[role]),
            tuple(sorted(set(one.b_values))) if role is SeriesRole.DWI else (),
        )
        for role in (SeriesRole.T2, SeriesRole.DWI, SeriesRole.ADC)
        for one in chosen.get(role, ())
    )


def _flags(chosen: Mapping[SeriesRole, Sequence[NiftiFile]], series: SeriesChoice) -> tuple[Reason, ...]:
    computed = (Reason.ADC_COMPUTED,) if SeriesRole.ADC not in chosen else ()
    return (*computed, Reason.SERIES_NAMED_BY_HAND) if series else computed


def _acquisition(chosen: Mapping[SeriesRole, Sequence[NiftiFile]]) -> Acquisition:
    sidecar = chosen[SeriesRole.T2][0].sidecar
    strength = sidecar.get("MagneticFieldStrength")
    agents = [one.sidecar.get("ContrastBolusIngredient") for files in chosen.values() for one in files if one.sidecar]
    return Acquisition(
        chosen[SeriesRole.T2][0].scrubbed("Manufacturer"),
        chosen[SeriesRole.T2][0].scrubbed("ManufacturersModelName"),
        float(strength) if isinstance(strength, (int, float)) else None,
        any(agents) if agents else None,
    )


def _inspection(
    found: Sequence[NiftiFile],
    chosen: Mapping[SeriesRole, Sequence[NiftiFile]],
    series: SeriesChoice,
    files: Sequence[SourceFile],
    refusal: StudyRefusedError | None,
) -> Inspection:
    read = {id(one) for those in chosen.values() for one in those}
    rows = tuple(
        FoundSeries(one.number, one.shown or str(one.role), one.role, one.why, one.volumes, id(one) in read)
        for one in found
    )
    runners_up = tuple(row for row in rows if read and row.role in _STUDY_ROLES and not row.chosen)
    flags = _flags(chosen, series) if chosen else ()
    series_read = _series(chosen) if chosen else ()
    return Inspection(rows, series_read, runners_up, flags, len(files) - len(found), refusal)
