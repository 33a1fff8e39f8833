"""Faults of the list of series: one is missing, one too many, or one is not what it should be."""

from collections.abc import Callable, Iterable
from dataclasses import replace

from prostate_alm.datasets.synthetic import reformats
from prostate_alm.datasets.synthetic.examination import Images, SeriesPlan
from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.datasets.synthetic.layouts import Laid
from prostate_alm.datasets.synthetic.vendors import SIEMENS, Kind
from prostate_alm.study import Role

DIFFUSION = frozenset({Kind.DWI, Kind.DIRECTIONS, Kind.MOSAIC, Kind.CALCULATED, Kind.TENSOR})


def break_series(fault: Fault | None, laid: Laid) -> Laid:
    """The series with a fault; other faults change nothing."""
    change = _CHANGES.get(fault) if fault is not None else None
    return laid if change is None else change(laid)


def _without(laid: Laid, kinds: Iterable[Kind], role: Role) -> Laid:
    """The same series but those of some kinds; nothing fills the role then."""
    left = tuple(plan for plan in laid.series if plan.kind not in set(kinds))
    return Laid(left, {one: numbers for one, numbers in laid.roles.items() if one is not role})


def _mosaic_only(laid: Laid) -> Laid:
    """The diffusion series came as mosaics alone."""
    series = []
    for plan in laid.series:
        if plan.kind is Kind.DWI:
            style = SIEMENS.styles[Kind.MOSAIC]
            images = tuple(replace(one, volume=reformats.mosaic(one.volume)) for one in plan.images)
            series.append(replace(plan, kind=Kind.MOSAIC, style=style, images=images))
        else:
            series.append(plan)
    return Laid(tuple(series), {})


def _two_fields_of_view(laid: Laid) -> Laid:
    """A coarser axial T2w with a larger field of view, acquired last: the finer one is right."""
    fine = _t2(laid)
    wide = Images(reformats.coarser_and_wider(fine.images[0].volume), sequence_name=fine.images[0].sequence_name)
    return Laid((*laid.series, replace(fine, number=11, images=(wide,))), laid.roles)


def _equal_t2(laid: Laid) -> Laid:
    """A second T2w that differs in its values alone, acquired in the same minute."""
    first = _t2(laid)
    other = replace(first.images[0], volume=reformats.scaled(first.images[0].volume, 0.5))
    return Laid((*laid.series, replace(first, number=11, images=(other,), begins_as=first.number)), {})


def _contrast_given(laid: Laid) -> Laid:
    return Laid(tuple(replace(plan, enhanced=True) for plan in laid.series), laid.roles)


def _t2(laid: Laid) -> SeriesPlan:
    (number,) = laid.roles[Role.T2]
    return next(plan for plan in laid.series if plan.number == number)


_CHANGES: dict[Fault, Callable[[Laid], Laid]] = {
    Fault.NO_T2: lambda laid: _without(laid, [Kind.T2], Role.T2),
    Fault.NO_DWI: lambda laid: _without(laid, DIFFUSION - {Kind.CALCULATED, Kind.TENSOR}, Role.DWI),
    Fault.NO_ADC: lambda laid: _without(laid, [Kind.ADC], Role.ADC),
    Fault.SINGLE_B_NO_ADC: lambda laid: _without(laid, [Kind.ADC], Role.ADC),
    Fault.MOSAIC_ONLY: _mosaic_only,
    Fault.TWO_FIELDS_OF_VIEW: _two_fields_of_view,
    Fault.EQUAL_T2: _equal_t2,
    Fault.CONTRAST_GIVEN: _contrast_given,
}
