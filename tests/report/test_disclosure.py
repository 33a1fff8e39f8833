"""What is hidden shows only that DCE is recommended; the draw of audits can't be repeated until it fits."""

import dataclasses
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.report.disclosure import Disclosed, DisclosurePolicy, disclose, is_drawn, still_shown
from prostate_alm.report.triage import Basis, Recommendation

SECRET = b"of this deployment alone"
CONTENTS = [hashlib.sha256(bytes([number // 256, number % 256])).hexdigest() for number in range(4000)]
LOW, HIGH, FAILED = {}, {"member_logits": (3.0, 4.0, 5.0)}, {"failures": (Reason.T2_MISSING,)}

shares = st.floats(0, 1)
answers = st.sampled_from([LOW, HIGH, FAILED])


def is_hidden(shown, reason):
    return (shown.recommendation, shown.basis, shown.reasons) == (
        Recommendation.DCE_RECOMMENDED,
        Basis.FAILSAFE,
        (reason,),
    ) and (shown.probability, shown.logit, shown.member_logits, shown.quality) == (None, None, (), ())


def test_without_silence_and_audits_the_answer_is_shown_as_it_is(answer_factory):
    for changes in (LOW, HIGH, FAILED):
        recorded = answer_factory(**changes)
        assert disclose(recorded, DisclosurePolicy(), content=CONTENTS[0]) == Disclosed(recorded)


@given(answers, shares, st.sampled_from(CONTENTS))
def test_silence_hides_every_answer(answer_factory, changes, share, content):
    recorded = answer_factory(**changes)
    disclosed = disclose(recorded, DisclosurePolicy(silent=True, audit_share=share, secret=SECRET), content=content)
    assert is_hidden(disclosed.shown, Reason.SILENT_MODE)
    assert (disclosed.silent, disclosed.audited) == (True, False)
    assert (disclosed.shown.id, disclosed.shown.model) == (recorded.id, recorded.model)


@given(st.booleans(), st.floats(-20, 0.4), st.floats(0.5, 20))
def test_two_scores_are_hidden_alike(answer_factory, silent, below, above):
    policy = DisclosurePolicy(silent=silent, audit_share=1.0, secret=SECRET)
    first, second = (
        disclose(answer_factory(member_logits=(logit,) * 3), policy, content=CONTENTS[0]) for logit in (below, above)
    )
    assert first == second


@given(answers, st.booleans(), shares, st.sampled_from(CONTENTS))
def test_nothing_that_was_recommended_is_ever_shown_as_not_needed(answer_factory, changes, silent, share, content):
    recorded = answer_factory(**changes)
    policy = DisclosurePolicy(silent=silent, audit_share=share, secret=SECRET)
    shown = disclose(recorded, policy, content=content).shown
    if recorded.recommendation is Recommendation.DCE_RECOMMENDED:
        assert shown.recommendation is Recommendation.DCE_RECOMMENDED


def test_an_audit_hides_what_the_model_said_and_a_failure_needs_no_audit(answer_factory):
    policy = DisclosurePolicy(audit_share=1.0, secret=SECRET)
    for changes in (LOW, HIGH):
        disclosed = disclose(answer_factory(**changes), policy, content=CONTENTS[0])
        assert is_hidden(disclosed.shown, Reason.RANDOM_AUDIT)
        assert (disclosed.silent, disclosed.audited) == (False, True)
    failed = answer_factory(**FAILED)
    assert disclose(failed, policy, content=CONTENTS[0]) == Disclosed(failed)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_the_share_is_kept(share):
    drawn = sum(is_drawn(DisclosurePolicy(audit_share=share, secret=SECRET), content) for content in CONTENTS)
    deviation = (len(CONTENTS) * share * (1 - share)) ** 0.5
    assert abs(drawn - len(CONTENTS) * share) < 4 * deviation


def test_a_study_sent_again_is_not_drawn_again_and_another_deployment_draws_others():
    policy = DisclosurePolicy(audit_share=0.5, secret=SECRET)
    other = dataclasses.replace(policy, secret=b"of another deployment")
    draws = [[is_drawn(each, content) for content in CONTENTS] for each in (policy, policy, other)]
    assert draws[0] == draws[1]
    same = sum(a == b for a, b in zip(draws[0], draws[2], strict=True))
    assert abs(same - len(CONTENTS) / 2) < 4 * (len(CONTENTS) / 4) ** 0.5


def test_without_a_share_nothing_is_drawn():
    assert not any(is_drawn(DisclosurePolicy(), content) for content in CONTENTS)


def test_a_larger_share_draws_more_and_none_fewer():
    few, many = (DisclosurePolicy(audit_share=share, secret=SECRET) for share in (0.1, 0.3))
    assert all(is_drawn(many, content) for content in CONTENTS if is_drawn(few, content))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"audit_share": -0.1, "secret": SECRET}, "between 0 and 1"),
        ({"audit_share": 1.1, "secret": SECRET}, "between 0 and 1"),
        ({"audit_share": float("nan"), "secret": SECRET}, "between 0 and 1"),
        ({"audit_share": 0.1}, "16 bytes"),
        ({"audit_share": 0.1, "secret": b"short"}, "16 bytes"),
    ],
)
def test_a_policy_that_can_not_be_kept_is_refused(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        DisclosurePolicy(**arguments)


def test_the_shortest_secret_is_taken():
    assert DisclosurePolicy(audit_share=0.1, secret=b"sixteen bytes ok").secret == b"sixteen bytes ok"


def test_the_secret_is_in_no_repr():
    assert "deployment" not in repr(DisclosurePolicy(audit_share=0.1, secret=SECRET))


NEAR = {"member_logits": (0.4999, 0.4999, 0.4999)}  # fails safe, with a score


@pytest.mark.parametrize("changes", [LOW, HIGH, FAILED, NEAR])
def test_what_was_shown_is_hidden_once_the_service_is_silent(answer_factory, changes):
    shown = answer_factory(**changes)
    now = still_shown(shown, superseded=False, deployed=True, policy=DisclosurePolicy(silent=True))
    assert is_hidden(now, Reason.SILENT_MODE)
    assert still_shown(shown, superseded=False, deployed=True, policy=DisclosurePolicy()) == shown


@pytest.mark.parametrize("changes", [LOW, HIGH])
@pytest.mark.parametrize(
    ("superseded", "deployed", "reason"),
    [(True, True, Reason.SUPERSEDED), (False, False, Reason.MODEL_DIFFERS), (True, False, Reason.SUPERSEDED)],
)
def test_the_models_word_holds_no_longer_than_what_it_rests_on(answer_factory, changes, superseded, deployed, reason):
    now = still_shown(answer_factory(**changes), superseded=superseded, deployed=deployed, policy=DisclosurePolicy())
    assert is_hidden(now, reason)


@pytest.mark.parametrize("changes", [FAILED, NEAR])
def test_a_failure_stays_what_it_was_whatever_it_rested_on(answer_factory, changes):
    shown = answer_factory(**changes)
    assert still_shown(shown, superseded=True, deployed=False, policy=DisclosurePolicy()) == shown
