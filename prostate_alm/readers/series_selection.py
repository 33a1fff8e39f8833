"""Choose one T2, one DWI and one ADC among the series of a study, and say why.

Each role has its tie-breaks in a fixed order. A series with a defect (a missing slice, mixed orientations) loses only
to one that was as good before: a repeat of it. A poorer sequence never stands in for a broken one; that is refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.adc_choice import ChosenDiffusion, choose_adc, on_grid_of
from prostate_alm.readers.candidates import (
    Candidate,
    candidate_of,
    diffusion_candidate_of,
    diffusion_candidates,
    refuse_split,
    same_encoding,
)
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import same_plane
from prostate_alm.readers.named_series import NamedSeries, named_series
from prostate_alm.readers.rules import CHOICE
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import (
    RoledSeries,
    SeriesRole,
    acquired,
    b_values_of,
    role_of,
    says_acquired,
)
from prostate_alm.readers.t2_choice import Surroundings, choose_t2
from prostate_alm.readers.tie_breaks import Chosen, TieBreak, choose, tie_breaks

_MAIN = {SeriesRole.T2: Reason.T2_MISSING, SeriesRole.DWI: Reason.DWI_MISSING}


@dataclass(frozen=True, eq=False)
class Selection:
    """What was found in a study and what was chosen.

    Attributes:
        found: every series with its role.
        chosen: by role; ADC is absent when it has to be fitted.
        refusal: why this is no study; None when it is one.
        named_by_hand: whether a person named a series.
    """

    found: tuple[RoledSeries, ...]
    chosen: dict[SeriesRole, Chosen] = field(default_factory=dict)
    refusal: StudyRefusedError | None = None
    named_by_hand: bool = False


def select_series(series: Sequence[DicomSeries], choice: SeriesChoice | None = None) -> Selection:
    """Decide the role of every series and choose one for each role; a refusal is part of the answer.

    Args:
        series: of one study.
        choice: series named by hand, which come before every rule but those of geometry.
    """
    found = _with_b0(_mark_derived([role_of(one) for one in series]))
    chosen: dict[SeriesRole, Chosen] = {}
    refusal = None
    try:
        named = named_series(found, choice or SeriesChoice())
        _choose_all(found, named, chosen)
        for one in chosen.values():
            refuse_split(one.candidate, series)
    except StudyRefusedError as error:
        refusal = error
    return Selection(tuple(found), chosen, refusal, bool(choice))


def _choose_all(found: Sequence[RoledSeries], named: NamedSeries, chosen: dict[SeriesRole, Chosen]) -> None:
    """Fill `chosen` role by role: the DWI, the T2 that covers it, the ADC on its grid.

    Raises:
        StudyRefusedError: a role stays empty, or its candidates are equally good.
    """
    of_role = {role: [one.series for one in found if one.role is role] for role in SeriesRole}
    adc = [candidate_of(one) for one in named.get(SeriesRole.ADC) or of_role[SeriesRole.ADC]]
    t2 = [candidate_of(one) for one in named.get(SeriesRole.T2) or of_role[SeriesRole.T2]]
    members = named.get(SeriesRole.DWI, [])
    dwi = diffusion_candidates([one for one in of_role[SeriesRole.DWI] if one not in members])
    _require(found, t2, SeriesRole.T2)
    _require(found, dwi or members, SeriesRole.DWI)
    best = _choose_dwi([diffusion_candidate_of(members)] if members else dwi, adc, by_hand=bool(members))
    chosen[SeriesRole.DWI], grid = best, best.stack.geometry
    around = Surroundings(best.candidate, grid, [one.series for one in found])
    chosen[SeriesRole.T2] = choose_t2(t2, around, by_hand=SeriesRole.T2 in named)
    others = [one for one in dwi if one is not best.candidate]
    diffusion = ChosenDiffusion(best.candidate, grid, others, by_hand=bool(members))
    sibling = choose_adc(adc, diffusion, by_hand=SeriesRole.ADC in named)
    if sibling is not None:
        chosen[SeriesRole.ADC] = sibling
    elif len(best.stack.volumes) < 2:
        raise _no_adc(best.candidate)


def _with_b0(found: list[RoledSeries]) -> list[RoledSeries]:
    """A series whose every image says b 0 is diffusion where one with b > 0 has the same plane, frame and timing.

    Alone, b 0 says nothing: some scanners write it into every image. What shares plane and timing with diffusion and
    says nothing is a map of it, and no T2.
    """
    diffusion = [one.series.first for one in found if one.role is SeriesRole.DWI]
    joined: list[RoledSeries] = []
    for one in found:
        first = one.series.first
        at_zero = all(image.b_value is not None and image.b_value.value == 0 for image in one.series.instances)
        sibling = any(
            same_plane(first, other)
            and (first.echo_time, first.repetition_time, first.frame_of_reference)
            == (other.echo_time, other.repetition_time, other.frame_of_reference)
            for other in diffusion
        )
        encoded = any(same_encoding(first, other) for other in diffusion)
        if one.role in {SeriesRole.T2, SeriesRole.OTHER} and first.is_image and at_zero and sibling and encoded:
            joined.append(RoledSeries(one.series, SeriesRole.DWI, "b 0 on the plane and with the timing of diffusion"))
        elif one.role is SeriesRole.T2 and sibling:
            joined.append(RoledSeries(one.series, SeriesRole.OTHER, "on the plane and with the timing of diffusion"))
        else:
            joined.append(one)
    return joined


def _no_adc(dwi: Candidate) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.ADC_MISSING,
        f"no ADC series is known to be of the DWI (series {dwi.numbers}), whose single b-value allows no fit;"
        " send the ADC series or all b-values, or name the ADC by hand.",
    )


def _mark_derived(found: list[RoledSeries]) -> list[RoledSeries]:
    """A single derived b-value above every acquired one was calculated, unless its header says otherwise."""
    diffusion = [one for one in found if one.role is SeriesRole.DWI]
    marked: list[RoledSeries] = []
    for one in found:
        values = b_values_of(one.series.instances)
        others = [
            b
            for other in diffusion
            if other is not one and says_acquired(other.series)
            for b in b_values_of(acquired(other.series.instances))
        ]
        unsaid = one.role is SeriesRole.DWI and len(values) == 1 and not says_acquired(one.series)
        if unsaid and others and values[0] > max(others):
            why = f"derived, and b {values[0]:g} is above every acquired b-value: calculated"
            marked.append(RoledSeries(one.series, SeriesRole.CALCULATED_B, why))
        else:
            marked.append(one)
    return marked


def _require(found: Sequence[RoledSeries], candidates: Sequence[object], role: SeriesRole) -> None:
    if candidates:
        return
    hints = [
        f"{one.series.name} is {one.why}" if one.role is SeriesRole.OTHER else f"{one.series.name}: {one.why}"
        for one in found
        if "multi-frame" in one.why or (role is SeriesRole.DWI and one.role is SeriesRole.CALCULATED_B)
    ]
    hint = f" ({'; '.join(hints)})" if hints else ""
    raise StudyRefusedError(_MAIN[role], f"no {role} series among {len(found)} series{hint}; send the whole study.")


def _choose_dwi(candidates: Sequence[Candidate], adc: Sequence[Candidate], *, by_hand: bool) -> Chosen:
    chosen = choose(candidates, _dwi_rules(adc), by_hand=by_hand)
    _refuse_better(chosen)
    return chosen


def _dwi_rules(adc: Sequence[Candidate]) -> list[TieBreak]:
    def has_sibling(one: Candidate) -> bool:
        return any(on_grid_of(other, one) for other in adc)

    keys = (lambda one: len(one.b_values) > 1, _highest_b, lambda one: one.defect is None, has_sibling, _is_trace)
    return tie_breaks(CHOICE.dwi, keys)


def _is_trace(one: Candidate) -> bool:
    return one.stack is not None and all(len(slices[0]) == 1 for slices in one.stack.volumes.values())


def _highest_b(one: Candidate) -> float:
    """The highest b-value that serves as the high one; 0 where there is none."""
    return max((b for b in one.b_values if CHOICE.high_b[0] <= b <= CHOICE.high_b[1]), default=0.0)


def _refuse_better(chosen: Chosen) -> None:
    """Raise when diffusion with a high b-value lost to coarser one, of the pelvis, or trace images to directions.

    Raises:
        StudyRefusedError: one that lost has smaller pixels or gaps than the winner, or only the winner holds
            directions.
    """
    winner = chosen.candidate
    rivals = [one for one in chosen.others if _highest_b(one)]
    rivals = [one for one in rivals if _is_finer(one, winner) or (_is_trace(one) and not _is_trace(winner))]
    if rivals:
        names = ", ".join(f"series {one.numbers}" for one in [winner, *rivals])
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"{names} could each be the DWI, and the first, which {chosen.why} speaks for, is coarser or holds single"
            " directions; name the one to be used by hand.",
        )


def _is_finer(one: Candidate, other: Candidate) -> bool:
    """Whether its pixels or the steps between its slices are clearly smaller."""
    steps = [(max(one.first.spacing), max(other.first.spacing))] if one.first.spacing and other.first.spacing else []
    if one.stack is not None and other.stack is not None:
        steps.append((one.stack.geometry.spacing[2], other.stack.geometry.spacing[2]))
    return any(mine < CHOICE.dwi_finer * theirs for mine, theirs in steps)
