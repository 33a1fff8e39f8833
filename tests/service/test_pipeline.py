"""Whatever a step raises, the pipeline answers, and the answer is never "not needed"."""

from copy import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from prostate_alm.errors import ArgumentError, EnsembleError, ProstateALMError, Reason, StudyRefusedError
from prostate_alm.report.triage import Basis, Recommendation
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.pipeline import TriagePipeline
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


def test_the_log_names_type_and_place_and_not_the_text(pipeline):
    def read():
        raise ValueError("CANARY^PHI")

    with capture_logs() as said:
        pipeline.answer("a", read)
    assert said[0]["error"].startswith("ValueError at ")
    assert "test_pipeline.py" in said[0]["error"]
    assert "CANARY" not in str(said)


class NoNumbers:
    """Members whose weights are not numbers."""

    backend = "torch"

    def logits(self, image):
        return torch.full((3,), float("nan"))

    def path_share(self, path, image):
        return torch.full((3,), float("nan"))


def test_logits_that_are_not_numbers_fail_safe(pipeline, study_factory):
    ensemble = copy(pipeline.ensemble)
    ensemble.members = NoNumbers()
    answer = replace(pipeline, ensemble=ensemble).answer("a", lambda: study_factory(0))
    assert (answer.recommendation, answer.basis) == (Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE)
    assert Reason.LOGIT_NOT_FINITE in answer.reasons
    assert answer.member_logits == (None, None, None)


def test_a_study_accepted_for_another_ensemble_fails_safe(pipeline, study_factory):
    answer = pipeline.examine("a", lambda: study_factory(0), complete=True, accepted_for="0" * 64).answer
    failed_safe(answer, Reason.MODEL_DIFFERS)


def test_what_the_model_saw_and_how_long_it_took_is_told(pipeline, study_factory):
    outcome = pipeline.examine("a", lambda: study_factory(0), complete=True, accepted_for=pipeline.ensemble.sha256)
    prepared = pipeline.ensemble.prepare(study_factory(0))
    assert torch.equal(outcome.image.prepared.image, prepared.image)
    assert outcome.image.high_b == 800
    assert list(outcome.seconds) == ["read", "prepare", "infer", "decide"]


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
