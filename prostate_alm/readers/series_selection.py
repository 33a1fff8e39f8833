"""Choose one T2, one DWI and one ADC among the series of a study, and say why.

Each role has its tie-breaks in a fixed order. A series with a defect (a missing slice, mixed orientations) loses only
to one that was as good before: a repeat of it. A poorer sequence never stands in for a broken one; that is refused.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.candidates import (
    Candidate,
    candidate_of,
    diffusion_candidate_of,
    diffusion_candidates,
    refuse_split,
)
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import Stack, normal_of, same_plane
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.named_series import NamedSeries, named_series
from prostate_alm.readers.rules import CHOICE
from prostate_alm.readers.series_choice import SeriesChoice
from prostate_alm.readers.series_roles import (
    RoledSeries,
    SeriesRole,
    acquired,
    b_values_of,
    is_axial_image,
    role_of,
    says_acquired,
)
from prostate_alm.readers.t2_rivals import T2Kind, refuse_better, refuse_unlike
from prostate_alm.study import Geometry

_MAIN = {SeriesRole.T2: Reason.T2_MISSING, SeriesRole.DWI: Reason.DWI_MISSING}


@dataclass(frozen=True, eq=False)
class Chosen:
    """A candidate that fills a role.

    Attributes:
        candidate: the winner, without a defect.
        stack: its slices.
        why: the tie-break that decided.
        runners_up: the others, with the tie-break each lost by.
    """

    candidate: Candidate
    stack: Stack
    why: str
    runners_up: tuple[tuple[Candidate, str], ...] = ()


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


@dataclass(frozen=True)
class _Rule:
    """A tie-break: the candidates with the largest key stay, unless `check` refuses to tell them apart by it."""

    name: str
    key: Callable[[Candidate], float]
    check: Callable[[Sequence[Candidate]], None] = lambda _: None


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
    if SeriesRole.DWI in named:
        dwi = [diffusion_candidate_of(named[SeriesRole.DWI])]
    else:
        dwi = diffusion_candidates(of_role[SeriesRole.DWI])
    _require(found, t2, SeriesRole.T2)
    _require(found, dwi, SeriesRole.DWI)
    chosen[SeriesRole.DWI] = _choose(dwi, _dwi_rules(adc), by_hand=SeriesRole.DWI in named)
    stack, winner = chosen[SeriesRole.DWI].stack, chosen[SeriesRole.DWI].candidate
    chosen[SeriesRole.T2] = _choose_t2(t2, winner, stack.geometry, by_hand=SeriesRole.T2 in named)
    sibling = _choose_adc(
        adc, winner, stack.geometry, by_hand=SeriesRole.ADC in named, dwi_by_hand=SeriesRole.DWI in named
    )
    if sibling is not None:
        chosen[SeriesRole.ADC] = sibling
    elif len(stack.volumes) < 2:
        raise _no_adc(winner)


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
        if one.role in {SeriesRole.T2, SeriesRole.OTHER} and first.is_image and at_zero and sibling:
            joined.append(RoledSeries(one.series, SeriesRole.DWI, "b 0 on the plane and with the timing of diffusion"))
        elif one.role is SeriesRole.T2 and sibling:
            joined.append(RoledSeries(one.series, SeriesRole.OTHER, "on the plane and with the timing of diffusion"))
        else:
            joined.append(one)
    return joined


def _no_adc(dwi: Candidate) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.ADC_MISSING,
        f"no ADC series lies on the grid of the DWI (series {dwi.numbers}), whose single b-value allows no fit;"
        " send the ADC series or all b-values.",
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


def _require(found: Sequence[RoledSeries], candidates: Sequence[Candidate], role: SeriesRole) -> None:
    if candidates:
        return
    hints = [
        f"{one.series.name} is {one.why}" if one.role is SeriesRole.OTHER else f"{one.series.name}: {one.why}"
        for one in found
        if "multi-frame" in one.why or (role is SeriesRole.DWI and one.role is SeriesRole.CALCULATED_B)
    ]
    hint = f" ({'; '.join(hints)})" if hints else ""
    raise StudyRefusedError(_MAIN[role], f"no {role} series among {len(found)} series{hint}; send the whole study.")


def _dwi_rules(adc: Sequence[Candidate]) -> list[_Rule]:
    def highest(one: Candidate) -> float:
        return max((b for b in one.b_values if CHOICE.high_b[0] <= b <= CHOICE.high_b[1]), default=0.0)

    def has_sibling(one: Candidate) -> bool:
        return any(_on_grid(other, one) for other in adc)

    def is_trace(one: Candidate) -> bool:
        return one.stack is not None and all(len(slices[0]) == 1 for slices in one.stack.volumes.values())

    keys = (lambda one: len(one.b_values) > 1, highest, lambda one: one.defect is None, has_sibling, is_trace)
    return _rules(CHOICE.dwi, keys)


def _rules(names: Sequence[str], keys: Sequence[Callable[[Candidate], float]]) -> list[_Rule]:
    return [_Rule(name, key) for name, key in zip(names, keys, strict=True)]


def _choose_t2(candidates: Sequence[Candidate], dwi: Candidate, grid: Geometry, *, by_hand: bool) -> Chosen:
    chosen = _choose(candidates, _t2_rules(dwi, grid), by_hand=by_hand)
    refuse_better(_t2_kind(chosen.candidate), [_t2_kind(one) for one, _ in chosen.runners_up])
    return chosen


def _t2_rules(dwi: Candidate, grid: Geometry) -> list[_Rule]:
    keys = (
        lambda one: one.first.frame_of_reference == dwi.first.frame_of_reference,
        lambda one: _covers(one, grid),
        lambda one: _t2_kind(one).original,
        lambda one: _t2_kind(one).with_fat,
        lambda one: not _t2_kind(one).contrast,
        lambda one: (
            -round(min((max(image.spacing or (math.inf,)) for image in _axial_images(one)), default=math.inf), 3)
        ),
        # the latest of two may lie in a series with others, in one that is rejected for it: then nobody knows
        lambda one: one.defect is None or _in_several_planes(one),
        _axial_time,
    )
    rules = _rules(CHOICE.t2, keys)
    return [replace(one, check=_refuse_unlike) if one.name == CHOICE.t2_between_alike else one for one in rules]


def _refuse_unlike(candidates: Sequence[Candidate]) -> None:
    refuse_unlike([_t2_kind(one) for one in candidates])


def _t2_kind(candidate: Candidate) -> T2Kind:
    """What its axial images were made with; one derived image speaks for all."""
    images = _axial_images(candidate) or list(candidate.members[0].instances)
    first = images[0]
    return T2Kind(
        f"series {candidate.numbers}",
        max((one.image_type for one in images), key=lambda parts: "DERIVED" in parts),
        first.scan_options,
        first.description.upper(),
        any(one.contrast_agent for one in images),
        first.echo_time,
        first.repetition_time,
    )


def _in_several_planes(candidate: Candidate) -> bool:
    """Whether axial images share their series with others, whatever such a stack was rejected for."""
    assert candidate.defect is not None
    turned = any(one.orientation is not None and not is_axial_image(one) for one in candidate.members[0].instances)
    return turned or candidate.defect.reason is Reason.ORIENTATION_MIXED


def _axial_time(candidate: Candidate) -> float:
    """When the axial images were begun, in seconds; -inf when unknown. What they share a series with may be older."""
    return min((one.time for one in _axial_images(candidate) if one.time is not None), default=-math.inf)


def _axial_images(candidate: Candidate) -> list[Instance]:
    return [one for one in candidate.members[0].instances if is_axial_image(one)]


def _covers(candidate: Candidate, dwi: Geometry) -> bool:
    """Whether the T2's slices span most of the DWI's extent along the T2's normal."""
    placed = [one for one in _axial_images(candidate) if one.position is not None]
    if not placed or placed[0].orientation is None:
        return False
    normal = normal_of(placed[0].orientation)
    t2 = [float(normal @ one.position) for one in placed if one.position is not None]
    last = dwi.affine @ [0, 0, dwi.shape[2] - 1, 1]
    low, high = sorted((float(normal @ dwi.affine[:3, 3]), float(normal @ last[:3])))
    shared = min(max(t2), high) - max(min(t2), low)
    return shared >= CHOICE.covered * (high - low)


def _choose(candidates: Sequence[Candidate], rules: Sequence[_Rule], *, by_hand: bool = False) -> Chosen:
    """Apply the tie-breaks in order; the last one left is chosen, unless it has a defect."""
    left = list(candidates)
    lost: list[tuple[Candidate, str]] = []
    why = "named by hand" if by_hand else "the only candidate"
    for rule in rules:
        rule.check(left)
        best = max(rule.key(one) for one in left)
        dropped = [one for one in left if rule.key(one) < best]
        if dropped:
            why = rule.name
            lost += [(one, f"loses by: {rule.name}") for one in dropped]
            left = [one for one in left if one not in dropped]
    if left[0].defect is not None:
        raise left[0].defect
    if len(left) > 1:
        raise StudyRefusedError(
            Reason.SERIES_AMBIGUOUS,
            f"series {', '.join(one.numbers for one in left)} are equally good after every tie-break;"
            " send only the one to be used.",
        )
    assert left[0].stack is not None
    return Chosen(left[0], left[0].stack, why, tuple(lost))


def _on_grid(adc: Candidate, dwi: Candidate) -> bool:
    """Whether an ADC series lies on the DWI's pixels; its slices are compared later."""
    images = adc.members[0].instances  # of a broken map, one image on the grid is enough to refuse it
    if not any(same_plane(one, dwi.first) and one.frame_of_reference == dwi.first.frame_of_reference for one in images):
        return False
    if adc.stack is None or dwi.stack is None:
        return True
    offset = np.linalg.inv(dwi.stack.geometry.affine) @ adc.stack.geometry.affine[:, 3]
    return bool(np.abs(offset[:2]).max() <= 0.05)  # of a voxel


def _refuse_displaced(candidates: Sequence[Candidate], dwi: Candidate, grid: Geometry) -> None:
    """Raise when an ADC map has the size of the DWI and lies elsewhere: one of the two may be misplaced."""
    for one in candidates:
        alike = one.stack is not None and one.stack.geometry.shape == grid.shape
        if alike and one.first.frame_of_reference == dwi.first.frame_of_reference:
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID,
                f"the ADC (series {one.numbers}) has the size of the DWI (series {dwi.numbers}) and lies elsewhere;"
                " name the DWI by hand if it is right, and the ADC is fitted to it.",
            )


def _choose_adc(
    candidates: Sequence[Candidate], dwi: Candidate, grid: Geometry, *, by_hand: bool, dwi_by_hand: bool
) -> Chosen | None:
    """The ADC series on the DWI's grid that was acquired nearest to it; None when there is none on it."""
    on_grid = [one for one in candidates if _on_grid(one, dwi)]
    if not on_grid and by_hand:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"the ADC named by hand (series {candidates[0].numbers}) does not lie on the grid of the DWI (series"
            f" {dwi.numbers}); name one that does.",
        )
    if not on_grid:
        if not dwi_by_hand:
            _refuse_displaced(candidates, dwi, grid)
        return None
    aside = tuple((one, "not on the grid of the DWI") for one in candidates if one not in on_grid)
    keys = (
        lambda one: one.defect is None,
        lambda one: -abs(one.time - dwi.time) if dwi.time > -math.inf else 0.0,
    )
    chosen = _choose(on_grid, _rules(CHOICE.adc, keys), by_hand=by_hand)
    if not chosen.stack.geometry.is_close(grid, tolerance_mm=0.1):
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"the ADC (series {chosen.candidate.numbers}, {chosen.stack.geometry.shape[2]} slices) and the DWI"
            f" (series {dwi.numbers}, {grid.shape[2]} slices) do not lie on the same slices; send both series whole.",
        )
    return Chosen(chosen.candidate, chosen.stack, chosen.why, chosen.runners_up + aside)
