"""DeLong's variance and test against the definition over all pairs, a case by hand, laws and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.delong import delong_interval, delong_test
from prostate_alm.evaluation.roc import auc

tied_scores = st.integers(-4, 4).map(float)


@st.composite
def paired_cases(draw):
    """Scores of two models and labels, shuffled, with many ties."""
    sides = [draw(st.lists(st.tuples(tied_scores, tied_scores), min_size=2, max_size=12)) for _ in range(2)]
    order = draw(st.permutations(range(len(sides[0]) + len(sides[1]))))
    scores = np.array(sides[0] + sides[1])[order]
    labels = np.array([1] * len(sides[0]) + [0] * len(sides[1]))[order]
    return scores[:, 0], scores[:, 1], labels


def psi(scores, labels):
    """DeLong 1988, eq. 1: the outcome of each pair."""
    difference = scores[labels == 1][:, None] - scores[labels == 0][None, :]
    return (np.sign(difference) + 1) / 2


def covariance_by_definition(scores_a, scores_b, labels):
    """DeLong 1988, eq. 3 to 6, over all pairs; 2 x 2."""
    outcomes = [psi(scores_a, labels), psi(scores_b, labels)]
    v10 = np.array([o.mean(axis=1) for o in outcomes])
    v01 = np.array([o.mean(axis=0) for o in outcomes])
    return np.cov(v10) / v10.shape[1] + np.cov(v01) / v01.shape[1]


@given(paired_cases())
def test_errors_are_those_of_the_definition(cases):
    a, b, labels = cases
    s = covariance_by_definition(a, b, labels)
    assert delong_interval(a, labels).standard_error == pytest.approx(math.sqrt(s[0, 0]), abs=1e-9)
    expected = s[0, 0] + s[1, 1] - 2 * s[0, 1]
    test = delong_test(a, b, labels)
    assert test.standard_error**2 == pytest.approx(expected, abs=1e-12)
    assert test.difference == pytest.approx(psi(a, labels).mean() - psi(b, labels).mean(), abs=1e-12)
    if expected > 1e-12:
        assert test.z == pytest.approx(test.difference / math.sqrt(expected), abs=1e-6)
        assert test.p_value == pytest.approx(2 * norm.sf(abs(test.z)), abs=1e-12)


def test_worked_by_hand():
    # a: positive 1 beats half the negatives, positive 2 both; b the other way round with a tie
    labels = [1, 1, 0, 0]
    a, b = [2.0, 4.0, 1.0, 3.0], [3.0, 2.0, 2.0, 1.0]
    # V10 of a = (.5, 1), of b = (1, .75); V01 of a = (1, .5), of b = (.75, 1)
    interval = delong_interval(a, labels)
    assert interval.auc == 0.75
    # var(.5, 1) = 1/8 on both sides, each over 2
    assert interval.standard_error == pytest.approx(math.sqrt(1 / 16 + 1 / 16))
    assert interval.low == pytest.approx(0.75 - 1.959963985 * math.sqrt(1 / 8))
    assert interval.high == 1.0  # cut
    # V10 differences (-.5, .25): var 9/32; V01 differences (.25, -.5): var 9/32; each over 2
    test = delong_test(a, b, labels)
    assert test.difference == pytest.approx(0.75 - 0.875)
    assert test.standard_error == pytest.approx(math.sqrt(9 / 32))
    assert test.z == pytest.approx(-0.125 / math.sqrt(9 / 32))


@given(paired_cases())
def test_swapping_the_models_turns_the_sign(cases):
    a, b, labels = cases
    one, other = delong_test(a, b, labels), delong_test(b, a, labels)
    assert (other.difference, other.z) == (-one.difference, -one.z)
    assert (other.standard_error, other.p_value, other.note) == (one.standard_error, one.p_value, one.note)


@given(paired_cases())
def test_only_the_order_of_the_scores_counts(cases):
    a, b, labels = cases
    for transformed in (a + 100, np.exp(a), 1 / (1 + np.exp(-a))):
        assert delong_test(transformed, b, labels) == delong_test(a, b, labels)
        assert delong_interval(transformed, labels) == delong_interval(a, labels)


@given(paired_cases())
def test_swapping_the_classes_and_the_sign_of_the_scores_changes_nothing(cases):
    a, b, labels = cases
    one, mirrored = delong_test(a, b, labels), delong_test(-a, -b, 1 - labels)
    assert mirrored.difference == pytest.approx(one.difference, abs=1e-12)
    assert mirrored.standard_error == pytest.approx(one.standard_error, abs=1e-9)


@given(paired_cases())
def test_nothing_is_nan_and_the_interval_holds_the_auc(cases):
    a, b, labels = cases
    test, interval = delong_test(a, b, labels), delong_interval(a, labels)
    assert not any(math.isnan(value) for value in (test.z, test.p_value, test.standard_error))
    assert 0 <= interval.low <= interval.auc <= interval.high <= 1
    assert interval.auc == pytest.approx(auc(a, labels), abs=1e-12)


def test_equal_ranks_have_no_difference():
    scores, labels = np.array([0.1, 0.5, 0.5, 0.9]), np.array([0, 0, 1, 1])
    test = delong_test(scores, np.exp(scores), labels)
    assert (test.difference, test.z, test.p_value, test.note) == (0, 0, 1, "")


def test_separated_classes_have_no_error():
    interval = delong_interval([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1])
    assert (interval.auc, interval.standard_error, interval.low, interval.high) == (1, 0, 1, 1)


@pytest.mark.parametrize("steps", [3, 5, 7])  # placements in sixths, tenths, fourteenths: inexact as floats
def test_a_difference_without_variance_is_explained(steps):
    # in a each positive ties with one negative, in b it loses to that one: half a negative less for every case
    labels = np.tile([1, 0], steps)
    tied = np.repeat(np.arange(steps), 2).astype(float)
    lost = tied + 0.5 * (labels == 0)
    test = delong_test(tied, lost, labels)
    assert test.difference == pytest.approx(0.5 / steps)
    assert (test.standard_error, test.z, test.p_value) == (0, math.inf, 0)
    assert "variance" in test.note
    assert delong_test(lost, tied, labels).z == -math.inf


def test_the_interval_keeps_its_level():
    rng = np.random.default_rng(5)
    labels = np.repeat([1, 0], [80, 120])
    truth = norm.cdf(1.0 / math.sqrt(2))
    intervals = [delong_interval(rng.normal(labels * 1.0), labels) for _ in range(800)]
    assert np.mean([i.low <= truth <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.025)


def test_the_test_keeps_its_level():
    rng = np.random.default_rng(6)
    labels = np.repeat([1, 0], [60, 150])
    rejected = []
    for _ in range(800):
        shared = rng.normal(labels * 1.0)
        a, b = shared + 0.5 * rng.normal(size=210), shared + 0.5 * rng.normal(size=210)
        rejected.append(delong_test(a, b, labels).p_value <= 0.05)
    assert np.mean(rejected) == pytest.approx(0.05, abs=0.025)


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [1, 1, 1, 0]])
def test_two_of_each_class_are_needed(labels):
    with pytest.raises(ArgumentError, match="two of each class"):
        delong_interval([0.1, 0.2, 0.3, 0.4], labels)


def test_models_must_be_scored_on_the_same_cases():
    with pytest.raises(ArgumentError, match="one length"):
        delong_test([0.1, 0.2, 0.3, 0.4], [0.1, 0.2, 0.3], [0, 0, 1, 1])


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0, math.nan])
def test_the_level_is_a_share(level):
    with pytest.raises(ArgumentError, match="level"):
        delong_interval([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], level)
