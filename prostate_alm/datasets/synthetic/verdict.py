"""Judge what the readers and the quality gates made of a case of the corpus, against the volumes it was made of."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from prostate_alm.datasets.synthetic.corpus import Case
from prostate_alm.datasets.synthetic.faults import Fault
from prostate_alm.datasets.synthetic.layouts import Layout, geometric_means
from prostate_alm.datasets.synthetic.tissue import fit_adc
from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.preprocessing.prepare import Preprocessing
from prostate_alm.readers import find_studies, read_study
from prostate_alm.study import Role, Study, Volume

_FIT_TOLERANCE = 0.05  # 1e-6 mm²/s, between two fits of the same images in single and double precision
_RESCALE_TOLERANCE = 5.5  # of an ADC that had been rounded in a unit ten times as large
_FLOAT_TOLERANCE = 0.01
_GEOMETRY_TOLERANCE_MM = 0.01


class Outcome(StrEnum):
    """What came of a case."""

    ACCEPTED = "accepted right"
    REFUSED = "refused right"
    WRONG = "wrong"


@dataclass(frozen=True)
class Judgement:
    """The outcome of a case.

    Attributes:
        outcome: right or wrong.
        reason: of a refusal; None for a study.
        problem: what is wrong; empty for what is right.
    """

    outcome: Outcome
    reason: Reason | None = None
    problem: str = ""


def judge(case: Case) -> Judgement:
    """Read a case, hold the study against the quality gates, and compare it with what is right."""
    if case.plan.layout is Layout.MIXED_TREE:
        return _judge_tree(case)
    try:
        study = read_case(case)
    except StudyRefusedError as error:
        return _refused(case, [error.reason], str(error))
    failed = [finding for finding in Preprocessing("tiny")(study).quality if not finding.passed]
    if failed:
        figures = ", ".join(f"{one.reason.value} {one.value:.3g} (limit {one.limit:.3g})" for one in failed)
        return _refused(case, [one.reason for one in failed], f"gates failed: {figures}.")
    problem = difference(study, case) if case.studies else f"accepted; expected {_expected(case)}"
    return Judgement(Outcome.WRONG, None, problem) if problem else Judgement(Outcome.ACCEPTED)


def _judge_tree(case: Case) -> Judgement:
    """Several patients' files are refused as one study, and each study among them is found and read right."""
    try:
        read_case(case)
    except StudyRefusedError as error:
        if error.reason not in case.reasons:
            return Judgement(Outcome.WRONG, error.reason, f"{error} Expected {_expected(case)}.")
    else:
        return Judgement(Outcome.WRONG, None, "read as one study, and it holds several")
    found = [read_study(one) for one in find_studies(case.path, salt=case.plan.key)]
    alike = np.array([[_difference(study, right, case) == "" for right in case.studies] for study in found])
    if not (np.all(alike.sum(axis=0) == 1) and np.all(alike.sum(axis=1) == 1)):
        return Judgement(Outcome.WRONG, None, f"{len(found)} studies found, and they are not the {len(case.studies)}")
    return Judgement(Outcome.ACCEPTED)


def _refused(case: Case, reasons: Sequence[Reason], message: str) -> Judgement:
    """A study may fail several gates at once; one of them has to be the one that is meant."""
    for reason in reasons:
        if reason in case.reasons:
            return Judgement(Outcome.REFUSED, reason)
    return Judgement(Outcome.WRONG, reasons[0], f"{message} Expected {_expected(case)}.")


def read_case(case: Case) -> Study:
    """The study that the readers make of a case.

    Raises:
        StudyRefusedError: they refuse it.
    """
    return read_study(case.path, high_b=case.high_b or None)


def _expected(case: Case) -> str:
    choices = [*(["the study"] if case.studies else []), *sorted(case.reasons)]
    return " or ".join(choices)


def difference(study: Study, case: Case) -> str:
    """How a study differs from what is right for a case; empty when it does not."""
    (right,) = case.studies
    traced = replace(right, dwi=geometric_means(right.dwi))
    choices = {Layout.DIRECTIONS_ONLY: [traced], Layout.DIRECTIONS_AND_TRACE: [right, traced]}
    choices |= {Layout.DTI_FAMILY: [right, traced]}
    problems = [_difference(study, one, case) for one in choices.get(case.plan.layout, [right])]
    return "" if "" in problems else problems[0]


def _difference(study: Study, right: Study, case: Case) -> str:
    if list(study.dwi) != list(right.dwi):
        return f"b-values {list(study.dwi)}, expected {list(right.dwi)}"
    problems = [_volume_problem("T2", study.t2, right.t2, 0.0)]
    problems += [_volume_problem(f"b {b:g}", study.dwi[b], right.dwi[b], 0.0) for b in right.dwi]
    problems += [_adc_problem(study, right, case), _series_problem(study, case)]
    return "; ".join(problem for problem in problems if problem)


def _volume_problem(name: str, found: Volume, right: Volume, tolerance: float) -> str:
    if not found.geometry.is_close(right.geometry, _GEOMETRY_TOLERANCE_MM):
        return f"{name} lies elsewhere"
    off = float(np.abs(found.data - right.data).max())
    return "" if off <= tolerance + _FLOAT_TOLERANCE else f"{name} is off by {off:g}"


def _adc_problem(study: Study, right: Study, case: Case) -> str:
    """The map that was sent, or a fit of the images that were where none was sent."""
    tolerance = _RESCALE_TOLERANCE if case.plan.fault is Fault.ADC_TENTH else 0.0
    sent = Role.ADC in case.series or not case.series
    if sent and Reason.ADC_COMPUTED not in study.flags:
        return _volume_problem("ADC", study.adc, right.adc, tolerance)
    if case.plan.fault not in {Fault.NO_ADC} or Reason.ADC_COMPUTED not in study.flags:
        return "ADC was computed in place of the one that was sent" if sent else "ADC was found where none was sent"
    stack = np.stack([volume.data for volume in right.dwi.values()])
    fitted = fit_adc(stack, list(right.dwi), floor=0.0)
    known = (stack.min(axis=0) >= 1) & (fitted < 4000)  # the generator's fit takes less for 1, and cuts off
    off = float(np.abs(study.adc.data - fitted)[known].max())
    return "" if off <= _FIT_TOLERANCE else f"the fitted ADC is off by {off:g}"


def _series_problem(study: Study, case: Case) -> str:
    """Without a fault, the series have to be the right ones by number too."""
    if case.plan.fault is not None:
        return ""
    for role, numbers in case.series.items():
        found = tuple(one.number for one in study.series if one.role is role)
        if found != numbers:
            return f"{role} from series {found}, expected {numbers}"
    return ""
