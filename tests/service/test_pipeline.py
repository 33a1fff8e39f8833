"""Whatever a step raises, the pipeline answers, and the answer is never "not needed"."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError, EnsembleError, ProstateALMError, Reason, StudyRefusedError
from prostate_alm.report.triage import Basis, Recommendation
from prostate_alm.service.pipeline import TriagePipeline, describe_error
from prostate_alm.study import Study, Volume

ERRORS = [Exception, ValueError, KeyError, MemoryError, OSError, RecursionError, RuntimeError, ProstateALMError]


@pytest.fixture(scope="module")
def pipeline(loaded):
    return TriagePipeline.at(loaded["never"], "0-fn")


def failed_safe(answer, reason):
    assert (answer.recommendation, answer.basis) == (Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE)
    assert answer.reasons == (reason,)


@given(st.sampled_from(ERRORS), st.text())
def test_an_unforeseen_error_while_reading_fails_safe(pipeline, error, text):
    def read():
        raise error(text)

    failed_safe(pipeline.answer("a", read), Reason.INTERNAL_ERROR)


@given(st.sampled_from(Reason))
def test_a_refusal_gives_its_reason(pipeline, reason):
    def read():
        raise StudyRefusedError(reason, "a sentence")

    failed_safe(pipeline.answer("a", read), reason)


def test_a_reader_that_returns_something_else_fails_safe(pipeline):
    failed_safe(pipeline.answer("a", lambda: "no study"), Reason.INTERNAL_ERROR)


def test_a_study_that_can_not_be_prepared_fails_safe_and_keeps_its_series(pipeline, study_factory):
    study = study_factory(0)
    low = Study("a", study.t2, {50.0: study.dwi[50.0]}, study.adc, flags=(Reason.ADC_COMPUTED,))
    answer = pipeline.answer("a", lambda: low)
    failed_safe(answer, Reason.HIGH_B_MISSING)
    assert answer.flags == (Reason.ADC_COMPUTED,)


def test_voxels_that_are_not_numbers_fail_safe(pipeline, study_factory):
    study = study_factory(0)
    broken = Study("a", Volume(study.t2.data * float("nan"), study.t2.geometry), study.dwi, study.adc)
    failed_safe(pipeline.answer("a", lambda: broken), Reason.PIXELS_UNREADABLE)


def test_the_models_answer_names_model_and_threshold(pipeline, loaded, study_factory):
    answer = pipeline.answer("a", lambda: study_factory(0))
    assert answer.recommendation is Recommendation.DCE_NOT_NEEDED
    assert answer.model.sha256 == loaded["never"].sha256
    assert answer.operating_point == pipeline.operating_point
    assert answer.member_logits == loaded["never"].score(study_factory(0)).member_logits


def test_the_log_names_type_and_place_and_not_the_text(pipeline, caplog):
    def read():
        raise ValueError("CANARY^PHI")

    pipeline.answer("a", read)
    assert "ValueError at " in caplog.text
    assert "CANARY" not in caplog.text
    assert "test_pipeline.py" in caplog.text


def test_an_error_that_was_never_raised_has_no_place():
    assert describe_error(KeyError("CANARY^PHI")) == "KeyError"


def test_operating_points_are_checked_at_once(loaded, study_factory):
    with pytest.raises(ArgumentError, match="0-fn, 1-fn"):
        TriagePipeline.at(loaded["never"], "zero")
    ensemble = loaded["never"]
    content = ensemble.operating_points_json
    try:
        ensemble.operating_points_json = b"{}"
        with pytest.raises(EnsembleError, match="malformed"):
            TriagePipeline.at(ensemble, "0-fn")
    finally:
        ensemble.operating_points_json = content
