"""Members and their ensemble, by hand and by law."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.ensembles import average_and_ensemble


def test_worked_by_hand():
    labels = [1, 1, 0, 0]
    members = [[4.0, 1.0, 2.0, 0.0], [1.0, 4.0, 0.0, 2.0], [2.0, 2.0, 2.0, 0.0]]
    summary = average_and_ensemble(members, labels)
    assert summary.member_aucs.tolist() == [0.75, 0.75, 0.75]
    assert (summary.mean_auc, summary.sd_auc) == (0.75, 0)
    np.testing.assert_allclose(summary.ensemble_logits, [7 / 3, 7 / 3, 4 / 3, 2 / 3])
    assert summary.ensemble_auc == 1  # no member separates the classes, their mean does


def test_the_standard_deviation_is_that_of_a_sample():
    labels = [1, 0, 0]
    # AUCs 0, 1/2 and 1: deviations 1/2, 0, 1/2, over two degrees of freedom
    summary = average_and_ensemble([[0.0, 1.0, 2.0], [1.0, 0.0, 2.0], [2.0, 1.0, 0.0]], labels)
    assert (summary.mean_auc, summary.sd_auc) == (0.5, 0.5)


def test_logits_are_averaged_and_not_probabilities():
    labels = [1, 0]
    # mean logits 2 and 1; mean probabilities .59 and .73
    summary = average_and_ensemble([[9.0, 1.0], [-5.0, 1.0]], labels)
    assert summary.ensemble_auc == 1


@given(st.integers(0, 1000), st.integers(2, 5))
def test_copies_of_one_member_are_that_member(seed, copies):
    labels = np.array([1, 1, 1, 0, 0, 0])
    member = np.random.default_rng(seed).integers(-3, 3, 6).astype(float)
    summary = average_and_ensemble([member] * copies, labels)
    assert summary.ensemble_auc == pytest.approx(summary.mean_auc, abs=1e-12)
    assert summary.sd_auc == pytest.approx(0, abs=1e-12)


def test_one_member_has_no_standard_deviation():
    assert math.isnan(average_and_ensemble([[0.0, 1.0]], [0, 1]).sd_auc)


@pytest.mark.parametrize("members", [[0.0, 1.0], np.zeros((0, 2)), np.zeros((2, 3, 1))])
def test_members_and_cases_are_two_axes(members):
    with pytest.raises(ArgumentError, match="members, cases"):
        average_and_ensemble(members, [0, 1])


def test_members_must_be_scored_on_the_labelled_cases():
    with pytest.raises(ArgumentError, match="one length"):
        average_and_ensemble([[0.0, 1.0, 2.0]], [0, 1])
