"""What the page shows of a job, by its parts."""

import math

import pytest

from prostate_alm.errors import Reason
from prostate_alm.report.disclosure import DisclosurePolicy, disclose
from prostate_alm.service.page.scale import WIDTH, distance, score_scale
from prostate_alm.service.page.views import Overlay, Tone, explainable, study_view, worklist_row, worklist_rows
from prostate_alm.service.records import Identity
from prostate_alm.service.tables import JobKind, JobState

LATER = "f" * 32


def test_an_answer_is_worded_and_set_by_what_it_says(job, answer_factory):
    cases = [
        (answer_factory(), "DCE not needed", Tone.NOT_NEEDED),
        (answer_factory(member_logits=(2.0, 1.0, 3.0)), "DCE recommended", Tone.RECOMMENDED),
        (answer_factory(failures=(Reason.DWI_MISSING,)), "DCE recommended", Tone.FAILSAFE),
    ]
    for answer, words, tone in cases:
        row = worklist_row(job(answer))
        assert (row.answer, row.tone) == (words, tone)


@pytest.mark.parametrize("reason", list(Reason))
def test_whatever_failed_is_recommended_and_says_why_and_what_to_do(job, answer_factory, reason):
    view = study_view(job(answer_factory(failures=(reason,))))
    assert (view.row.answer, view.row.tone) == ("DCE recommended", Tone.FAILSAFE)
    assert [code for code, _ in view.reasons] == [reason]
    assert view.row.why.startswith("fail-safe: ")


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING])
def test_a_study_without_an_answer_is_recommended_until_it_has_one(job, state):
    view = study_view(job(state=state))
    assert view.row.tone is Tone.PENDING
    assert "DCE is recommended" in view.basis
    assert (view.scale, view.evidence, view.overlay) == (None, "", Overlay.ABSENT)


def test_more_reasons_are_counted(job, answer_factory):
    row = worklist_row(job(answer_factory(failures=(Reason.DWI_MISSING, Reason.STUDY_INCOMPLETE))))
    assert row.why == "fail-safe: no DWI, and 1 more"


def test_an_answer_that_a_later_one_replaces_is_not_shown(job, answer_factory, image):
    old, new = job(answer_factory()), job(answer_factory(), id=LATER, supersedes=job().id)
    later, earlier = worklist_rows([new, old])
    assert (later.answer, earlier.answer) == ("DCE not needed", "No longer valid")
    view = study_view(old, image=image, successor=LATER)
    assert (view.row.tone, view.answer, view.scale, view.evidence) == (Tone.REPLACED, None, None, "")
    assert (view.reasons, view.gates, view.overlay) == ((), (), Overlay.ABSENT)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"identity": Identity("Doe^John", "P-17", "", "", "")}, "Doe, John"),
        ({"identity": Identity("", "P-17", "", "", "")}, "No name"),
        ({"identity": None, "shown": None}, "Patient not read yet"),
        ({"identity": None}, "Patient not known"),
        ({"identity": None, "pixels": False}, "Patient data deleted"),
    ],
)
def test_a_missing_name_says_why(job, answer_factory, changes, words):
    assert worklist_row(job(**{"shown": answer_factory()} | changes)).patient.name == words


def test_a_hidden_answer_shows_nothing_of_what_was_recorded(job, answer_factory, image):
    recorded = answer_factory()
    for policy in (DisclosurePolicy(silent=True), DisclosurePolicy(audit_share=1.0, secret=b"s" * 32)):
        shown = disclose(recorded, policy, content="0" * 64).shown
        view = study_view(job(shown, recorded=recorded), image=image)
        assert (view.row.answer, view.scale, view.evidence) == ("DCE recommended", None, "")
        assert view.overlay is Overlay.ABSENT, "a map of the score would tell the score"
        assert not explainable(view.row.record)


def test_a_map_is_offered_while_there_is_a_score_and_an_image(job, answer_factory, image):
    assert study_view(job(answer_factory()), image=image).overlay is Overlay.OFFERED
    assert study_view(job(answer_factory())).overlay is Overlay.ABSENT
    assert study_view(job(answer_factory(), pixels=False), image=image).overlay is Overlay.ABSENT


def test_a_map_is_followed_through_its_job(job, answer_factory, image):
    def overlay(**changes):
        asked = job(kind=JobKind.OCCLUSION, explains=job().id, **changes)
        return study_view(job(answer_factory()), image=image, occlusion=asked).overlay

    assert overlay(state=JobState.QUEUED) is overlay(state=JobState.RUNNING) is Overlay.PENDING
    assert overlay(state=JobState.DONE) is Overlay.READY
    assert overlay(state=JobState.DONE, fault=Reason.TIMEOUT) is Overlay.FAILED


def test_the_page_learns_of_every_change(job, answer_factory, image):
    answered, asked = job(answer_factory()), job(kind=JobKind.OCCLUSION)
    states = [
        study_view(job(state=JobState.QUEUED)).state,
        study_view(job()).state,
        study_view(answered, image=image).state,
        study_view(answered, image=image, occlusion=asked).state,
        study_view(answered, image=image, successor=LATER).state,
        study_view(job(answer_factory(member_logits=(2.0, 1.0, 3.0))), image=image).state,
        study_view(job(answer_factory(failures=(Reason.TIMEOUT,))), image=image).state,
        study_view(job(answer_factory(failures=(Reason.SILENT_MODE,))), image=image).state,
    ]
    assert len(set(states)) == len(states)


def test_slices_begin_in_the_middle_and_stay_within(job, answer_factory, image):
    def shown(wanted):
        viewer = study_view(job(answer_factory()), image=image, slice_index=wanted).viewer
        assert viewer is not None
        return viewer.slice_index

    assert [shown(wanted) for wanted in (None, 0, 2, 99, -5)] == [1, 0, 2, 2, 0]


def test_slices_have_the_patients_proportions(job, answer_factory, image):
    viewer = study_view(job(answer_factory()), image=image).viewer
    assert viewer is not None
    assert (viewer.width_mm, viewer.height_mm) == (5.0, 8.0)  # 5 columns of 1 mm, 4 rows of 2 mm


@pytest.mark.parametrize("logits", [(-2.0, -1.0, -3.0), (2.0, 1.0, 3.0), (0.5, 0.5, 0.5), (1e6, 1e6, 1e6)])
def test_the_scale_keeps_order_and_stays_within_the_drawing(answer_factory, logits):
    answer = answer_factory(member_logits=logits)
    scale = score_scale(answer)
    assert scale is not None
    assert (scale.score >= scale.threshold) is (sum(logits) / 3 >= answer.operating_point.threshold)
    assert sorted(logits) == [logit for _, logit in sorted(zip(scale.members, logits, strict=True))]
    assert all(0 <= place <= WIDTH for place in (scale.score, scale.label, *scale.members))


def test_equal_steps_of_the_score_are_equal_steps_on_the_scale(answer_factory):
    scale = score_scale(answer_factory(member_logits=(-3.0, -2.0, -1.0)))
    assert scale is not None
    first, second, third = scale.members
    assert math.isclose(second - first, third - second)
    assert math.isclose(scale.score, second)


def test_a_score_below_is_never_called_above():
    assert distance(0.5, 0.5) == "0.00 above the threshold"
    assert distance(0.4995, 0.5) == "too near the threshold"
    assert distance(0.4985, 0.5) == "0.00 below the threshold"


def test_without_a_score_there_is_no_scale(answer_factory):
    assert score_scale(answer_factory(failures=(Reason.TIMEOUT,), member_logits=())) is None
