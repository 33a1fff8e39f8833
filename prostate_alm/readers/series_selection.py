"""Choose one T2, one DWI and one ADC among the series of a study, and say why.

Each role has its tie-breaks in a fixed order. A series with a defect (a missing slice, mixed orientations) loses only
to one that was as good before: a repeat of it. A poorer sequence never stands in for a broken one; that is refused.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import Stack, normal_of, same_plane, stack_slices
from prostate_alm.readers.instance import Instance
from prostate_alm.readers.series_roles import RoledSeries, SeriesRole, acquired, b_values_of, role_of
from prostate_alm.study import Geometry

_HIGH_B = (800.0, 1500.0)  # s/mm²
_COVERED = 0.80  # share of the DWI's extent along the T2's normal
_MAIN = {SeriesRole.T2: Reason.T2_MISSING, SeriesRole.DWI: Reason.DWI_MISSING}


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
    def time(self) -> float:
        """When the acquisition began, in seconds; -inf when unknown."""
        times = [one.time for one in self.members if one.time is not None]
        return max(times) if times else -math.inf


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
    """

    found: tuple[RoledSeries, ...]
    chosen: dict[SeriesRole, Chosen] = field(default_factory=dict)
    refusal: StudyRefusedError | None = None


@dataclass(frozen=True)
class _Rule:
    """A tie-break: the candidates with the largest key stay."""

    name: str
    key: Callable[[Candidate], float]


def select_series(series: Sequence[DicomSeries]) -> Selection:
    """Decide the role of every series and choose one for each role; a refusal is part of the answer."""
    found = _mark_derived([role_of(one) for one in series])
    chosen: dict[SeriesRole, Chosen] = {}
    refusal = None
    try:
        adc = [_candidate(one.series) for one in found if one.role is SeriesRole.ADC]
        t2 = [_candidate(one.series) for one in found if one.role is SeriesRole.T2]
        dwi = _diffusion_candidates([one.series for one in found if one.role is SeriesRole.DWI])
        _require(found, t2, SeriesRole.T2)
        _require(found, dwi, SeriesRole.DWI)
        chosen[SeriesRole.DWI] = _choose(dwi, _dwi_rules(adc))
        dwi_stack = chosen[SeriesRole.DWI].stack
        chosen[SeriesRole.T2] = _choose(t2, _t2_rules(dwi_stack.geometry))
        sibling = _choose_adc(adc, chosen[SeriesRole.DWI].candidate, dwi_stack.geometry)
        if sibling is not None:
            chosen[SeriesRole.ADC] = sibling
        elif len(dwi_stack.volumes) < 2:
            raise _no_adc(chosen[SeriesRole.DWI].candidate)
    except StudyRefusedError as error:
        refusal = error
    return Selection(tuple(found), chosen, refusal)


def _no_adc(dwi: Candidate) -> StudyRefusedError:
    return StudyRefusedError(
        Reason.ADC_MISSING,
        f"no ADC series lies on the grid of the DWI (series {dwi.numbers}), whose single b-value allows no fit;"
        " send the ADC series or all b-values.",
    )


def _mark_derived(found: list[RoledSeries]) -> list[RoledSeries]:
    """A single derived b-value above every other acquired one was calculated, whatever its name says."""
    diffusion = [one for one in found if one.role is SeriesRole.DWI]
    marked: list[RoledSeries] = []
    for one in found:
        values = b_values_of(one.series.instances)
        others = [
            b
            for other in diffusion
            if other is not one
            and (len(b_values_of(other.series.instances)) > 1 or "DERIVED" not in other.series.first.image_type)
            for b in b_values_of(acquired(other.series.instances))
        ]
        single = one.role is SeriesRole.DWI and len(values) == 1 and "DERIVED" in one.series.first.image_type
        if single and others and values[0] > max(others):
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


def _candidate(series: DicomSeries) -> Candidate:
    """A T2 or ADC series as one stack."""
    try:
        _check_count(series.instances, series.name, strict=True)
        return Candidate((series,), stack=stack_slices({0.0: series.instances}, series.name))
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


def _diffusion_candidates(diffusion: Sequence[DicomSeries]) -> list[Candidate]:
    """Each series with several b-values alone; series of one b-value together with those on the same plane."""
    candidates: list[Candidate] = []
    families: list[list[DicomSeries]] = []
    for series in diffusion:
        if len(b_values_of(acquired(series.instances))) != 1:
            candidates.append(_diffusion_candidate([series]))
            continue
        family = next((one for one in families if _same_family(one[0], series)), None)
        if family is None:
            families.append([series])
        else:
            family.append(series)
    candidates += [_diffusion_candidate(family) for family in families]
    return [one for one in candidates if one.defect is not None or max(one.b_values) > 0]


def _same_family(first: DicomSeries, second: DicomSeries) -> bool:
    alike = first.first.echo_time == second.first.echo_time
    return (
        alike
        and first.first.frame_of_reference == second.first.frame_of_reference
        and same_plane(first.first, second.first)
    )


def _diffusion_candidate(members: Sequence[DicomSeries]) -> Candidate:
    instances = [instance for one in members for instance in acquired(one.instances)]
    values = b_values_of(instances)
    name = members[0].name if len(members) == 1 else f"series {' + '.join(str(one.number) for one in members)}"
    try:
        if any(instance.b_value is None for instance in instances):
            raise StudyRefusedError(
                Reason.B_VALUE_UNKNOWN, f"{name}: an image's b-value is nowhere in its header; send original images."
            )
        if len(members) > len(values):
            raise StudyRefusedError(
                Reason.SERIES_AMBIGUOUS, f"{name} hold the same b-value twice on one grid; send the one to be used."
            )
        for one in members:
            _check_count(acquired(one.instances), one.name, strict=False)
        groups = {b: [one for one in instances if one.b_value is not None and one.b_value.value == b] for b in values}
        return Candidate(tuple(members), values, stack_slices(groups, name, directions=True))
    except StudyRefusedError as error:
        return Candidate(tuple(members), values, defect=error)


_COMPLETE = _Rule("complete", lambda one: one.defect is None)


def _dwi_rules(adc: Sequence[Candidate]) -> list[_Rule]:
    def highest(one: Candidate) -> float:
        return max((b for b in one.b_values if _HIGH_B[0] <= b <= _HIGH_B[1]), default=0.0)

    def has_sibling(one: Candidate) -> bool:
        return any(_on_grid(other, one) for other in adc)

    def is_trace(one: Candidate) -> bool:
        return one.stack is not None and all(len(slices[0]) == 1 for slices in one.stack.volumes.values())

    return [
        _Rule("several acquired b-values", lambda one: len(one.b_values) > 1),
        _Rule("the highest b-value from 800 to 1500", highest),
        _COMPLETE,
        _Rule("an ADC series on its grid", has_sibling),
        _Rule("one image for each position", is_trace),
    ]


def _t2_rules(dwi: Geometry) -> list[_Rule]:
    return [
        _Rule("covers the DWI", lambda one: _covers(one, dwi)),
        _Rule("the smallest in-plane spacing", lambda one: -round(max(one.first.spacing or (math.inf,)), 3)),
        _COMPLETE,
        _Rule("the latest acquisition", lambda one: one.time),
    ]


def _covers(candidate: Candidate, dwi: Geometry) -> bool:
    """Whether the T2's slices span most of the DWI's extent along the T2's normal."""
    placed = [one for one in candidate.members[0].instances if one.position is not None and one.orientation is not None]
    if not placed or placed[0].orientation is None:
        return False
    normal = normal_of(placed[0].orientation)
    t2 = [float(normal @ one.position) for one in placed if one.position is not None]
    last = dwi.affine @ [0, 0, dwi.shape[2] - 1, 1]
    low, high = sorted((float(normal @ dwi.affine[:3, 3]), float(normal @ last[:3])))
    shared = min(max(t2), high) - max(min(t2), low)
    return shared >= _COVERED * (high - low)


def _choose(candidates: Sequence[Candidate], rules: Sequence[_Rule]) -> Chosen:
    """Apply the tie-breaks in order; the last one left is chosen, unless it has a defect."""
    left = list(candidates)
    lost: list[tuple[Candidate, str]] = []
    why = "the only candidate"
    for rule in rules:
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
    if not same_plane(adc.first, dwi.first) or adc.first.frame_of_reference != dwi.first.frame_of_reference:
        return False
    if adc.stack is None or dwi.stack is None:
        return True
    offset = np.linalg.inv(dwi.stack.geometry.affine) @ adc.stack.geometry.affine[:, 3]
    return bool(np.abs(offset[:2]).max() <= 0.05)  # of a voxel


def _choose_adc(candidates: Sequence[Candidate], dwi: Candidate, grid: Geometry) -> Chosen | None:
    """The ADC series on the DWI's grid that was acquired nearest to it; None when there is none on it."""
    on_grid = [one for one in candidates if _on_grid(one, dwi)]
    if not on_grid:
        return None
    aside = tuple((one, "not on the grid of the DWI") for one in candidates if one not in on_grid)
    nearest = _Rule("acquired nearest to the DWI", lambda one: -abs(one.time - dwi.time) if dwi.time > -math.inf else 0)
    chosen = _choose(on_grid, [_COMPLETE, nearest])
    if not chosen.stack.geometry.is_close(grid, tolerance_mm=0.1):
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"the ADC (series {chosen.candidate.numbers}, {chosen.stack.geometry.shape[2]} slices) and the DWI"
            f" (series {dwi.numbers}, {grid.shape[2]} slices) do not lie on the same slices; send both series whole.",
        )
    return Chosen(chosen.candidate, chosen.stack, chosen.why, chosen.runners_up + aside)
