"""Choose the ADC map that was made of the chosen diffusion; none, where nothing tells that one was."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers.candidates import Candidate
from prostate_alm.readers.geometry import same_plane
from prostate_alm.readers.instance import on_one_clock
from prostate_alm.readers.rules import CHOICE
from prostate_alm.readers.tie_breaks import Chosen, choose, tie_breaks
from prostate_alm.study import Geometry


@dataclass(frozen=True, eq=False)
class ChosenDiffusion:
    """The diffusion that an ADC map has to belong to.

    Attributes:
        candidate: the series.
        grid: on which it lies.
        others: the diffusion that was not chosen.
        by_hand: whether a person named it.
    """

    candidate: Candidate
    grid: Geometry
    others: Sequence[Candidate]
    by_hand: bool


def choose_adc(candidates: Sequence[Candidate], dwi: ChosenDiffusion, *, by_hand: bool) -> Chosen | None:
    """The ADC series on the DWI's grid; where several maps or acquisitions share it, the one dated within the DWI.

    None when there is no such map.

    Raises:
        StudyRefusedError: it is broken, misplaced or ambiguous.
    """
    on_grid = [one for one in candidates if on_grid_of(one, dwi.candidate)]
    if not on_grid and by_hand:
        raise StudyRefusedError(
            Reason.GEOMETRY_INVALID,
            f"the ADC named by hand (series {candidates[0].numbers}) does not lie on the grid of the DWI (series"
            f" {dwi.candidate.numbers}); name one that does.",
        )
    if not on_grid:
        if not dwi.by_hand:
            _refuse_displaced(candidates, dwi)
        return None
    own = on_grid if by_hand else _made_of(on_grid, dwi)
    if not own:
        return None
    chosen = choose(own, tie_breaks(CHOICE.adc, (lambda one: one.defect is None,)), by_hand=by_hand)
    if not chosen.stack.geometry.is_close(dwi.grid, tolerance_mm=0.1):
        raise StudyRefusedError(
            Reason.SLICE_MISSING,
            f"the ADC (series {chosen.candidate.numbers}, {chosen.stack.geometry.shape[2]} slices) and the DWI"
            f" (series {dwi.candidate.numbers}, {dwi.grid.shape[2]} slices) do not lie on the same slices; send both"
            " series whole.",
        )
    aside = [(one, "not on the grid of the DWI") for one in candidates if one not in on_grid]
    aside += [(one, "not dated within the DWI") for one in on_grid if one not in own]
    why = "dated within the DWI" if len(own) < len(on_grid) and len(own) == 1 else chosen.why
    return Chosen(chosen.candidate, chosen.stack, why, (*chosen.runners_up, *aside))


def on_grid_of(adc: Candidate, dwi: Candidate) -> bool:
    """Whether an ADC series lies on the DWI's pixels; its slices are compared later."""
    images = adc.members[0].instances  # of a broken map, one image on the grid is enough to refuse it
    if not any(same_plane(one, dwi.first) and one.frame_of_reference == dwi.first.frame_of_reference for one in images):
        return False
    if adc.stack is None or dwi.stack is None:
        return True
    offset = np.linalg.inv(dwi.stack.geometry.affine) @ adc.stack.geometry.affine[:, 3]
    return bool(np.abs(offset[:2]).max() <= 0.05)  # of a voxel


def _made_of(on_grid: Sequence[Candidate], dwi: ChosenDiffusion) -> list[Candidate]:
    """The maps that were made of the DWI: the only one where nothing else was acquired there, else by their time.

    A scanner dates a map within the acquisition that it was computed from, often at its end.
    """
    rivals = [
        one for one in dwi.others if on_grid_of(one, dwi.candidate) and not _at_one_time(one.span, dwi.candidate.span)
    ]
    if len(on_grid) == 1 and not rivals:
        return list(on_grid)
    start, end = dwi.candidate.span
    if not on_one_clock([start, end, *(time for one in rivals for time in one.span)]):
        return []
    assert start is not None
    assert end is not None
    following = [one.span[0] for one in rivals if one.span[0] is not None and one.span[0] > start]
    last = min([end + CHOICE.adc_after, *(time - 1e-3 for time in following)])
    return [one for one in on_grid if on_one_clock([start, one.span[0]]) and start <= (one.span[0] or 0.0) <= last]


def _at_one_time(first: tuple[float | None, float | None], other: tuple[float | None, float | None]) -> bool:
    """Whether two series were acquired at once: directions and the trace that was made of them."""
    (a, b), (c, d) = first, other
    if a is None or b is None or c is None or d is None or not on_one_clock([a, c]):
        return False
    return a <= d and c <= b


def _refuse_displaced(candidates: Sequence[Candidate], dwi: ChosenDiffusion) -> None:
    """Raise when an ADC map has the size of the DWI and lies elsewhere: one of the two may be misplaced."""
    for one in candidates:
        alike = one.stack is not None and one.stack.geometry.shape == dwi.grid.shape
        if alike and one.first.frame_of_reference == dwi.candidate.first.frame_of_reference:
            raise StudyRefusedError(
                Reason.GEOMETRY_INVALID,
                f"the ADC (series {one.numbers}) has the size of the DWI (series {dwi.candidate.numbers}) and lies"
                " elsewhere; name the DWI by hand if it is right, and the ADC is fitted to it.",
            )
