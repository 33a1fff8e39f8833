"""Whatever fails, the answer is never "not needed"."""

import json
import math
from dataclasses import asdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prostate_alm.errors import Reason
from prostate_alm.evaluation.operating_point import choose_operating_point
from prostate_alm.report.triage import (
    BELIEVABILITY_GATES,
    GUARD_BAND,
    Basis,
    Evidence,
    ModelIdentity,
    Recommendation,
    TriageAnswer,
    decide,
)
from prostate_alm.study import QUALITY_GATES, QualityFinding, Role, Series

POINT = choose_operating_point([-3.0, -2.0, 0.5, 2.0], [0, 0, 1, 1])  # threshold 0.5
MODEL = ModelIdentity(name="prostate_dce", version="0.1.0", sha256="ab" * 32, members=3)
GATES = (*QUALITY_GATES, *BELIEVABILITY_GATES)
PASSED = tuple(QualityFinding(reason, 0.98, 0.6, passed=True) for reason in GATES)
FAILED = QualityFinding(Reason.VOLUME_CONSTANT, 0.0, 1e-3, passed=False)
LOW = (-2.0, -1.0, -3.0)
HELD: dict[str, Any] = {
    "complete": True, "failures": (), "accepted_for": MODEL.sha256, "member_logits": LOW, "quality": PASSED,
    "point": POINT, "model": MODEL,
}  # fmt: skip

any_number = st.floats(allow_nan=True, allow_infinity=True)
findings = st.builds(QualityFinding, st.sampled_from(Reason), any_number, any_number, passed=st.booleans())
some_gates = st.one_of(st.just(PASSED), st.lists(findings, max_size=3).map(tuple))
evidences = st.builds(
    Evidence,
    complete=st.booleans(),
    failures=st.lists(st.sampled_from(Reason), max_size=2).map(tuple),
    accepted_for=st.sampled_from([MODEL.sha256, "cd" * 32, ""]),
    member_logits=st.one_of(st.just(LOW), st.lists(any_number, max_size=5).map(tuple)),
    quality=some_gates,
    flags=st.lists(st.sampled_from(Reason), max_size=2).map(tuple),
)


def answer(*, point=POINT, model=MODEL, **changes):
    known = {name: value for name, value in HELD.items() if name not in ("point", "model")}
    return decide("study-1", Evidence(**(known | changes)), operating_point=point, model=model)


def test_everything_held_and_the_score_is_low():
    result = answer()
    assert result.recommendation is Recommendation.DCE_NOT_NEEDED
    assert (result.basis, result.reasons) == (Basis.MODEL, ())
    assert result.logit == -2.0
    assert result.probability == pytest.approx(1 / (1 + math.exp(2.0)))


@pytest.mark.parametrize("logit", [0.5, 0.51, 4.0, 800.0])
def test_a_score_at_or_above_the_threshold_is_the_models_recommendation(logit):
    result = answer(member_logits=(logit,) * 3)
    assert (result.recommendation, result.basis) == (Recommendation.DCE_RECOMMENDED, Basis.MODEL)


@pytest.mark.parametrize("below", [1e-9, 1e-5, 0.5e-3])
def test_a_score_just_below_the_threshold_is_not_believed(below):
    result = answer(member_logits=(0.5 - below,) * 3)
    assert (result.recommendation, result.basis) == (Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE)
    assert result.reasons == (Reason.NEAR_THRESHOLD,)


def test_the_guard_band_reaches_to_its_own_edge():
    two = ModelIdentity(name="prostate_dce", version="0.1.0", sha256=MODEL.sha256, members=2)
    edge = POINT.threshold - GUARD_BAND  # the mean of two such logits is exactly this
    assert answer(model=two, member_logits=(edge,) * 2).reasons == (Reason.NEAR_THRESHOLD,)
    assert answer(model=two, member_logits=(math.nextafter(edge, -1),) * 2).reasons == ()


def test_a_threshold_too_large_for_the_guard_band_is_a_threshold_still():
    """There threshold - GUARD_BAND is the threshold, and a logit that reaches it is positive."""
    far = replace_threshold(1e16)
    assert far.threshold - GUARD_BAND == far.threshold
    result = answer(point=far, member_logits=(1e16,) * 3)
    assert (result.recommendation, result.basis) == (Recommendation.DCE_RECOMMENDED, Basis.MODEL)


def replace_threshold(threshold):
    return POINT.model_copy(update={"threshold": threshold})


def test_the_mean_is_taken_of_logits_not_of_probabilities():
    # mean logit -1.33 is below the threshold; the mean probability 0.67 has a logit above it
    result = answer(member_logits=(3.0, 3.0, -10.0))
    assert result.logit == pytest.approx(-4 / 3)
    assert result.recommendation is Recommendation.DCE_NOT_NEEDED


def without(quality, reason):
    """The gates but for one of that reason."""
    place = [finding.reason for finding in quality].index(reason)
    return quality[:place] + quality[place + 1 :]


FAULTS = {
    "incomplete": lambda kept: kept | {"complete": False},
    "other ensemble": lambda kept: kept | {"accepted_for": "cd" * 32},
    "unknown ensemble": lambda kept: kept | {"accepted_for": ""},
    "refusal": lambda kept: kept | {"failures": (Reason.T2_MISSING,)},
    "gate": lambda kept: kept | {"quality": (*kept["quality"], FAILED)},
    "no gates": lambda kept: kept | {"quality": ()},
    "nan": lambda kept: kept | {"member_logits": (-2.0, math.nan, -3.0)},
    "minus infinity": lambda kept: kept | {"member_logits": (-2.0, -math.inf, -3.0)},
    "member missing": lambda kept: kept | {"member_logits": (-2.0, -3.0)},
    "member too many": lambda kept: kept | {"member_logits": (*LOW, -2.0)},
    "no members": lambda kept: kept | {"member_logits": ()},
    "near": lambda kept: kept | {"member_logits": (0.4995,) * 3},
    "no model": lambda kept: kept | {"model": None},
    "no threshold": lambda kept: kept | {"point": None},
}


@given(st.sets(st.sampled_from(sorted(FAULTS)), min_size=1))
def test_no_set_of_faults_answers_not_needed(faults):
    arguments = HELD
    for fault in faults:
        arguments = FAULTS[fault](arguments)
    result = answer(**arguments)
    assert result.recommendation is Recommendation.DCE_RECOMMENDED
    assert result.basis is Basis.FAILSAFE
    assert result.reasons


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("incomplete", Reason.STUDY_INCOMPLETE),
        ("other ensemble", Reason.MODEL_DIFFERS),
        ("unknown ensemble", Reason.MODEL_DIFFERS),
        ("refusal", Reason.T2_MISSING),
        ("gate", Reason.VOLUME_CONSTANT),
        ("no gates", Reason.INTERNAL_ERROR),
        ("nan", Reason.LOGIT_NOT_FINITE),
        ("minus infinity", Reason.LOGIT_NOT_FINITE),
        ("member missing", Reason.MEMBER_MISSING),
        ("member too many", Reason.MEMBER_MISSING),
        ("no members", Reason.MEMBER_MISSING),
        ("no model", Reason.ENSEMBLE_INVALID),
        ("no threshold", Reason.ENSEMBLE_INVALID),
    ],
)
def test_each_fault_has_its_reason(fault, reason):
    result = answer(**FAULTS[fault](HELD))
    assert result.reasons == (reason,)
    assert (result.recommendation, result.basis) == (Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE)


@pytest.mark.parametrize("reason", sorted(set(GATES)))
def test_every_gate_must_have_been_held_and_passed(reason):
    missing = answer(quality=without(PASSED, reason))
    assert missing.reasons == (Reason.INTERNAL_ERROR,)
    refused = answer(quality=(*without(PASSED, reason), QualityFinding(reason, 1.0, 0.5, passed=False)))
    assert refused.reasons == (reason,)
    assert {missing.recommendation, refused.recommendation} == {Recommendation.DCE_RECOMMENDED}
    assert {missing.basis, refused.basis} == {Basis.FAILSAFE}


@given(st.integers(1, 6), st.data())
def test_when_everything_held_the_score_alone_decides(members, data):
    finite = st.floats(-50, 50)
    logits = tuple(data.draw(st.lists(finite, min_size=members, max_size=members)))
    threshold = data.draw(finite)
    model = MODEL.model_copy(update={"members": members})
    point = POINT.model_copy(update={"threshold": threshold})
    result = answer(member_logits=logits, model=model, point=point, flags=(Reason.ADC_COMPUTED,))
    mean = math.fsum(logits) / members
    if mean < threshold - GUARD_BAND - 1e-9:
        assert (result.recommendation, result.reasons) == (Recommendation.DCE_NOT_NEEDED, ())
    elif mean > threshold - GUARD_BAND + 1e-9:
        assert result.recommendation is Recommendation.DCE_RECOMMENDED
        if mean >= threshold + 1e-9:
            assert (result.basis, result.reasons) == (Basis.MODEL, ())


@given(evidences, st.sampled_from([POINT, None]), st.sampled_from([MODEL, None]))
def test_decide_is_total_and_not_needed_only_when_everything_held(evidence, point, model):
    result = decide("study-1", evidence, operating_point=point, model=model)
    everything = (
        point is POINT
        and model is MODEL
        and evidence.complete
        and evidence.accepted_for == MODEL.sha256
        and not evidence.failures
        and sorted(finding.reason for finding in evidence.quality if finding.passed) == sorted(GATES)
        and len(evidence.member_logits) == MODEL.members
        and all(math.isfinite(logit) for logit in evidence.member_logits)
        and sum(evidence.member_logits) / 3 < POINT.threshold - GUARD_BAND
    )
    assert (result.recommendation is Recommendation.DCE_NOT_NEEDED) is everything


def test_the_logits_are_reported_even_when_a_gate_failed():
    result = answer(quality=(*PASSED, FAILED))
    assert result.basis is Basis.FAILSAFE
    assert result.logit == -2.0
    assert result.member_logits == LOW


def test_all_reasons_are_given_once():
    result = answer(failures=(Reason.TIMEOUT, Reason.TIMEOUT), quality=(FAILED, FAILED), complete=False)
    assert result.reasons == (Reason.TIMEOUT, Reason.VOLUME_CONSTANT)  # what failed, not what is therefore absent


def test_a_flag_changes_no_decision():
    result = answer(flags=(Reason.ADC_COMPUTED,))
    assert result.recommendation is Recommendation.DCE_NOT_NEEDED
    assert result.flags == (Reason.ADC_COMPUTED,)


@given(evidences)
def test_the_json_is_strict_and_reads_back_as_the_same_answer(evidence):
    result = decide("study-1", evidence, operating_point=POINT, model=MODEL)
    text = result.model_dump_json()

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    json.loads(text, parse_constant=refuse)
    assert TriageAnswer.model_validate_json(text) == result


def test_the_json_has_the_fields_of_the_contract():
    series = (Series(Role.DWI, 6, "ep2d_diff", (50.0, 400.0, 800.0)), Series(Role.T2, 4, "t2_tse_tra"))
    content = json.loads(answer(series=series).model_dump_json())
    assert content["id"] == "study-1"
    assert content["recommendation"] == "DCE_NOT_NEEDED"
    assert content["basis"] == "MODEL"
    assert content["operating_point"]["name"] == "0-fn"
    assert content["operating_point"]["status"] == "approximate"
    assert content["series"]["dwi"] == {"number": 6, "description": "ep2d_diff", "b_values": [50.0, 400.0, 800.0]}
    assert [gate["reason"] for gate in content["quality"]] == list(GATES)
    assert content["quality"][2] == {"reason": "COVERAGE_LOW", "value": 0.98, "limit": 0.6, "passed": True}
    assert content["model"] == {"name": "prostate_dce", "version": "0.1.0", "sha256": "ab" * 32, "members": 3}
    assert content["intended_use"] == "Research use only"


@pytest.mark.parametrize(
    "change",
    [
        {"basis": "FAILSAFE"},
        {"basis": "FAILSAFE", "reasons": ["TIMEOUT"]},
        {"reasons": ["TIMEOUT"]},
        {"logit": None, "probability": None},
        {"logit": math.nan},
        {"logit": 0.5},
        {"logit": 0.4995},
        {"member_logits": [-1.0, None, -2.0]},
        {"member_logits": [-1.0, -2.0]},
        {"quality": []},
        {"quality": [{"reason": "COVERAGE_LOW", "value": 0.9, "limit": 0.6, "passed": True}]},
        {"quality": [{"reason": "OUT_OF_DISTRIBUTION", "value": 0.9, "limit": 1.6, "passed": True}]},
        {"quality": [{"reason": "COVERAGE_LOW", "value": 0.1, "limit": 0.6, "passed": False}]},
        {"quality": [asdict(gate) for gate in (*PASSED, FAILED)]},
        {"model": None},
        {"operating_point": None},
        {"intended_use": "Clinical use"},
    ],
)
def test_a_contradictory_not_needed_cannot_be_made(change):
    content = answer().model_dump()
    TriageAnswer.model_validate(content)
    with pytest.raises(ValidationError):
        TriageAnswer.model_validate(content | change)


def test_a_fail_safe_answer_must_say_why():
    content = answer(failures=(Reason.TIMEOUT,)).model_dump()
    with pytest.raises(ValidationError, match="reason"):
        TriageAnswer.model_validate(content | {"reasons": ()})
