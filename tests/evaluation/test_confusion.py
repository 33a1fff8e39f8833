"""Counts of patients and what they say, worked by hand and against scipy's exact test."""

import pytest
from pydantic import ValidationError
from scipy.stats import binomtest

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import Confusion, Proportion, confusion


def test_worked_by_hand():
    called = [True, True, False, False, True, False, False]
    labels = [1, 1, 1, 0, 0, 0, 0]
    counts = confusion(called, labels)
    assert (counts.found, counts.missed, counts.recalled, counts.spared) == (2, 1, 1, 3)
    assert (counts.sensitivity.value, counts.specificity.value) == (2 / 3, 3 / 4)
    exact = binomtest(1, 3, alternative="less").proportion_ci(0.95, method="exact").high
    assert counts.miss_rate_upper_95 == pytest.approx(exact)
    two_sided = binomtest(3, 4).proportion_ci(0.95, method="exact")
    assert (counts.specificity.low, counts.specificity.high) == pytest.approx((two_sided.low, two_sided.high))


def test_nobody_is_an_unknown_share_and_not_a_perfect_one():
    counts = confusion([True, False], [0, 0])
    assert counts.sensitivity == Proportion(count=0, total=0, value=None, low=0.0, high=1.0)
    assert counts.miss_rate_upper_95 == 1.0
    assert confusion([False], [1]).miss_rate_upper_95 == 1.0


def test_shares_that_contradict_the_counts_are_refused():
    content = confusion([True, False], [1, 0]).model_dump() | {"found": 2}
    with pytest.raises(ValidationError, match="four counts"):
        Confusion.model_validate(content)


@pytest.mark.parametrize(("called", "labels"), [([True], [1, 0]), ([True], [2]), ([[True]], [[1]])])
def test_what_is_no_list_of_labelled_patients_is_refused(called, labels):
    with pytest.raises(ArgumentError):
        confusion(called, labels)
