"""Predictive values by Bayes' rule against plain counting, and coverage of their intervals by simulation."""

import numpy as np
import pytest

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import confusion
from prostate_alm.evaluation.predictive import of_hundred, predictive_values


def counted(found: int, missed: int, spared: int, recalled: int):
    called = [True] * found + [False] * missed + [False] * spared + [True] * recalled
    return confusion(called, [1] * (found + missed) + [0] * (spared + recalled))


def test_at_the_observed_prevalence_they_are_plain_shares():
    values = predictive_values(counted(34, 2, 44, 20), 0.36)
    assert values.ppv.value == pytest.approx(34 / 54)
    assert values.npv.value == pytest.approx(44 / 46)


def test_worked_by_hand_at_another_prevalence():
    values = predictive_values(counted(9, 1, 8, 2), 0.1)  # sensitivity 0.9, specificity 0.8
    assert values.ppv.value == pytest.approx(0.09 / (0.09 + 0.18))
    assert values.npv.value == pytest.approx(0.72 / (0.72 + 0.01))
    assert values.ppv.low < 1 / 3 < values.ppv.high
    assert values.npv.low < 72 / 73 < values.npv.high


def test_the_interval_covers_the_true_value():
    rng = np.random.default_rng(3)
    sensitivity, specificity, prevalence = 0.9, 0.6, 0.2
    npv = specificity * 0.8 / (specificity * 0.8 + 0.1 * 0.2)
    covered = 0
    for found, spared in zip(rng.binomial(40, sensitivity, 400), rng.binomial(80, specificity, 400), strict=True):
        interval = predictive_values(counted(found, 40 - found, spared, 80 - spared), prevalence).npv
        covered += interval.low <= npv <= interval.high
    assert covered >= 380


def test_a_result_that_nobody_has_says_nothing():
    values = predictive_values(counted(3, 0, 0, 5), 0.3)  # everybody gets contrast
    assert values.npv.value is None
    assert values.npv.low == 0.0
    assert values.ppv.value == pytest.approx(0.3)


def test_a_hundred_patients_add_up_and_misses_carry_their_bound():
    table = of_hundred(counted(13, 0, 44, 43), 0.13)
    assert table.spared + table.recalled + table.found + table.missed == pytest.approx(100)
    assert (table.found, table.missed) == (13, 0)
    assert table.missed_upper_95 == pytest.approx(13 * (1 - 0.05 ** (1 / 13)))
    assert table.spared == pytest.approx(87 * 44 / 87)


@pytest.mark.parametrize("prevalence", [0.0, 1.0, 13.0, -0.1, float("nan")])
def test_a_prevalence_that_is_no_share_is_refused(prevalence):
    with pytest.raises(ArgumentError, match="prevalence"):
        predictive_values(counted(1, 1, 1, 1), prevalence)


def test_one_class_alone_is_refused():
    with pytest.raises(ArgumentError, match="both classes"):
        of_hundred(confusion([True, False], [1, 1]), 0.5)
