"""Drift: 0 for the reference itself, worked values, few false alarms, and an alarm when patients differ."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.reference import QUANTILES
from prostate_alm.service.drift import FEWEST, drift_of

REFERENCE = np.quantile(np.random.default_rng(0).normal(size=20_000), QUANTILES).tolist()


def normal(seed, n, shift=0.0, scale=1.0):
    return (shift + scale * np.random.default_rng(seed).standard_normal(n)).tolist()


def test_the_index_of_a_worked_example():
    """All of 90 patients lie in the first decile: PSI by hand, with half a patient in each of ten bins."""
    quantiles = np.linspace(0.0, 1.0, 21).tolist()
    shares = [90.5 / 95, *[0.5 / 95] * 9]
    expected = sum((share - 0.1) * math.log(share / 0.1) for share in shares)
    drift = drift_of([0.05] * 90, quantiles, 100)
    assert drift.psi == pytest.approx(expected)
    assert drift.ks == pytest.approx(0.95)
    assert drift.alarm


def test_the_distance_of_a_shift_by_one_deviation():
    """Two normal distributions one deviation apart differ by 2 Φ(1/2) - 1 = 0.383."""
    drift = drift_of(normal(1, 5000, shift=1.0), REFERENCE, 1000)
    assert drift.ks == pytest.approx(0.383, abs=0.03)


def test_patients_of_the_same_kind_raise_hardly_an_alarm():
    alarms = [drift_of(normal(seed, n), REFERENCE, 100).alarm for seed in range(200) for n in (FEWEST, 200)]
    assert sum(alarms) <= 1


@pytest.mark.parametrize(("shift", "scale"), [(1.5, 1.0), (-1.5, 1.0), (0.0, 4.0)])
def test_other_patients_raise_it(shift, scale):
    alarms = [drift_of(normal(seed, 200, shift, scale), REFERENCE, 200).alarm for seed in range(20)]
    assert all(alarms)


def test_few_patients_raise_none():
    assert not drift_of([1e9] * (FEWEST - 1), REFERENCE, 1000).alarm
    assert drift_of([1e9] * FEWEST, REFERENCE, 1000).alarm


def test_no_figure_is_no_drift():
    for figures in ([], [math.nan, math.inf]):
        drift = drift_of(figures, REFERENCE, 100)
        assert (drift.studies, drift.alarm) == (0, False)
        assert math.isnan(drift.psi)


def test_a_gate_that_measured_the_same_of_everybody_has_no_drift_until_it_changes():
    same = drift_of([0.0] * 100, [0.0] * 21, 100)
    assert (same.psi, same.ks, same.alarm) == (pytest.approx(0.0, abs=1e-9), 0.0, False)
    assert drift_of([1.0] * 100, [0.0] * 21, 100).alarm
    half = [0.0] * 11 + [1.0] * 10
    assert not drift_of([0.0, 1.0] * 50, half, 100).alarm
    assert drift_of([1.0] * 100, half, 100).alarm


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.lists(st.floats(-1e3, 1e3), min_size=21, max_size=21)
)
def test_the_figures_are_in_their_ranges(figures, quantiles):
    drift = drift_of(figures, sorted(quantiles), 50)
    assert drift.psi >= 0
    assert 0 <= drift.ks <= 1
    assert drift.studies == len(figures)
    assert drift_of(figures[::-1], sorted(quantiles), 50) == drift


def test_another_number_of_quantiles_is_refused():
    with pytest.raises(ArgumentError, match="21"):
        drift_of([1.0], [0.0] * 11, 10)
