"""Choose the T2 series among the axial ones, by tie-breaks and with what may speak against the winner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.candidates import Candidate
from prostate_alm.readers.dicom import DicomSeries
from prostate_alm.readers.geometry import normal_of
from prostate_alm.readers.instance import Instance, on_one_clock
from prostate_alm.readers.rules import CHOICE
from prostate_alm.readers.series_roles import is_axial_image, is_dynamic, may_be_t2
from prostate_alm.readers.t2_rivals import (
    T2Kind,
    ambiguous_t2,
    of_one_weighting,
    refuse_better,
    refuse_set_aside,
    refuse_unlike,
)
from prostate_alm.readers.tie_breaks import Chosen, TieBreak, choose, tie_breaks
from prostate_alm.study import Geometry


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What the choice of the T2 depends on beside its candidates.

    Attributes:
        dwi: the diffusion that was chosen.
        grid: on which it lies.
        series: every series of the study.
    """

    dwi: Candidate
    grid: Geometry
    series: Sequence[DicomSeries]

    @property
    def contrast_time(self) -> float | None:
        """When contrast had been given, in seconds: the first image of an agent or of a dynamic series."""
        dynamic = {series for series in self.series if is_dynamic(series)}
        images = [one for series in self.series for one in series.instances if one.contrast_agent or series in dynamic]
        return min((one.time for one in images if one.time is not None), default=None)


def choose_t2(candidates: Sequence[Candidate], around: Surroundings, *, by_hand: bool) -> Chosen:
    """The T2 that the tie-breaks leave.

    Raises:
        StudyRefusedError: none is left without a defect, several are, or one that lost may be the better one.
    """
    contrast_time = around.contrast_time
    kinds = {one: _kind_of(one, contrast_time) for one in candidates}
    chosen = choose(candidates, _rules(kinds, around), by_hand=by_hand)
    if by_hand:
        return chosen
    winner, lost = kinds[chosen.candidate], [kinds[one] for one in chosen.others]
    refuse_better(winner, lost)
    _refuse_misplaced(chosen, kinds, around)
    _refuse_shorter(chosen, kinds)
    refuse_set_aside(winner, [_kind_of(Candidate((one,)), None) for one in around.series if may_be_t2(one)])
    return chosen


def _rules(kinds: dict[Candidate, T2Kind], around: Surroundings) -> list[TieBreak]:
    keys = (
        lambda one: _shares_frame(one, around.dwi),
        lambda one: _covers(one, around.grid),
        lambda one: kinds[one].original,
        lambda one: kinds[one].with_fat,
        lambda one: not kinds[one].contrast,
        lambda one: -round(kinds[one].spacing, 3),
        # the latest of two may lie in a series with others, in one that is rejected for it: then nobody knows
        lambda one: one.defect is None or _in_several_planes(one),
        lambda one: _axial_time(one) or 0.0,
    )
    checks = {
        CHOICE.t2_between_alike: lambda left: refuse_unlike([kinds[one] for one in left]),
        CHOICE.t2_by_time: lambda left: _refuse_undated(left, kinds),
    }
    rules = tie_breaks(CHOICE.t2, keys)
    return [replace(one, check=checks[one.name]) if one.name in checks else one for one in rules]


def _refuse_undated(candidates: Sequence[Candidate], kinds: dict[Candidate, T2Kind]) -> None:
    """Raise when nobody knows which of several was acquired last."""
    if len(candidates) > 1 and not on_one_clock([_axial_time(one) for one in candidates]):
        raise ambiguous_t2([kinds[one] for one in candidates], "not all state when they were acquired")


def _refuse_misplaced(chosen: Chosen, kinds: dict[Candidate, T2Kind], around: Surroundings) -> None:
    """Raise when the frame of reference alone spoke for a series of another weighting, however fine."""
    winner = kinds[chosen.candidate]
    for one in chosen.others:
        if not _shares_frame(one, around.dwi) and not of_one_weighting(winner, kinds[one]):
            raise ambiguous_t2([winner, kinds[one]], "only the first lies in the frame of reference of the DWI")


def _refuse_shorter(chosen: Chosen, kinds: dict[Candidate, T2Kind]) -> None:
    """Raise when a repeat ends earlier than what it repeats: it may have been aborted."""
    winner, gap = kinds[chosen.candidate], chosen.stack.geometry.spacing[2]
    for one in chosen.others:
        other = kinds[one]
        if one.stack is None or other.merits != winner.merits or other.is_coarser(winner):
            continue
        if _length(one.stack.geometry) > _length(chosen.stack.geometry) + gap / 2:
            raise StudyRefusedError(
                Reason.SLICE_MISSING,
                f"{winner.name} has {chosen.stack.geometry.shape[2]} slices, {other.name}, which was acquired alike,"
                f" {one.stack.geometry.shape[2]}; name the one to be used by hand.",
            )


def _length(geometry: Geometry) -> float:
    return geometry.shape[2] * geometry.spacing[2]


def _kind_of(candidate: Candidate, contrast_time: float | None) -> T2Kind:
    """What its axial images were made with; one derived image speaks for all."""
    images = _axial_images(candidate) or list(candidate.members[0].instances)
    first, time = images[0], _axial_time(candidate)
    late = time is not None and on_one_clock([time, contrast_time]) and time > (contrast_time or math.inf)
    return T2Kind(
        f"series {candidate.numbers}",
        max((one.image_type for one in images), key=lambda parts: "DERIVED" in parts),
        first.scan_options,
        first.description.upper(),
        late or any(one.contrast_agent for one in images),
        first.echo_time,
        first.repetition_time,
        min((max(image.spacing or (math.inf,)) for image in images), default=math.inf),
    )


def _shares_frame(candidate: Candidate, dwi: Candidate) -> bool:
    return candidate.first.frame_of_reference == dwi.first.frame_of_reference


def _in_several_planes(candidate: Candidate) -> bool:
    """Whether axial images share their series with others, whatever such a stack was rejected for."""
    assert candidate.defect is not None
    turned = any(one.orientation is not None and not is_axial_image(one) for one in candidate.members[0].instances)
    return turned or candidate.defect.reason is Reason.ORIENTATION_MIXED


def _axial_time(candidate: Candidate) -> float | None:
    """When the axial images were begun, in seconds. What they share a series with may be older."""
    return min((one.time for one in _axial_images(candidate) if one.time is not None), default=None)


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
