"""Temperature, intercept and slope against a general optimiser; scores against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import brier_score_loss

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.calibration import calibration_of, fit_temperature, reliability


@pytest.fixture
def patients():
    rng = np.random.default_rng(5)
    logits = rng.normal(size=400)
    labels = (rng.uniform(size=400) < expit(logits)).astype(int)
    return 2.5 * logits + 0.7, labels  # too extreme by 2.5, and too high


def loss(z, y):
    return float(np.mean(np.logaddexp(0, z) - y * z))


def test_the_temperature_has_the_greatest_likelihood(patients):
    z, y = patients
    best = minimize(lambda log_t: loss(z * np.exp(-log_t[0]), y), [0.0], method="Nelder-Mead", options={"xatol": 1e-9})
    assert fit_temperature(z, y) == pytest.approx(float(np.exp(best.x[0])), rel=1e-4)


def test_scaled_logits_have_the_scaled_temperature_and_then_one(patients):
    z, y = patients
    temperature = fit_temperature(z, y)
    assert fit_temperature(3 * z, y) == pytest.approx(3 * temperature, rel=1e-9)
    assert fit_temperature(z / temperature, y) == pytest.approx(1.0, rel=1e-9)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([-2.0, -1.0, 0.5, 3.0], [0, 0, 1, 1], "right side"),
        ([2.0, 1.0, -0.5, -3.0], [0, 0, 1, 1], "do not rise"),
        ([0.0, 0.0], [0, 1], "T would be"),
    ],
)
def test_where_no_temperature_fits_it_says_so(logits, labels, message):
    with pytest.raises(ArgumentError, match=message):
        fit_temperature(logits, labels)


def test_intercept_and_slope_against_a_general_optimiser(patients):
    z, y = patients
    both = minimize(
        lambda b: loss(b[0] + b[1] * z, y), [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14}
    )
    shift = minimize(lambda b: loss(b[0] + z, y), [0.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-14})
    found = calibration_of(z, y)
    assert found.slope is not None
    assert found.slope.value == pytest.approx(both.x[1], abs=1e-4)
    assert found.slope.low < 1 / 2.5 < found.slope.high
    assert found.intercept is not None
    assert found.intercept.value == pytest.approx(shift.x[0], abs=1e-4)


def test_the_interval_of_the_slope_holds_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(200):
        z = rng.normal(size=200) * 1.5
        slope = calibration_of(z, (rng.uniform(size=200) < expit(z)).astype(int)).slope
        assert slope is not None
        held += slope.low <= 1 <= slope.high
    assert 181 <= held <= 199


def test_brier_is_scikit_learns(patients):
    z, y = patients
    assert calibration_of(z, y).brier == pytest.approx(brier_score_loss(y, expit(z)))


def test_ece_worked_by_hand():
    probabilities, labels = [0.1, 0.2, 0.3, 0.6, 0.8, 0.9], [0, 0, 1, 1, 0, 1]
    logits = np.log(np.array(probabilities) / (1 - np.array(probabilities)))
    found = calibration_of(logits, labels, bins=2)
    assert [(b.observed.count, b.observed.total) for b in found.bins] == [(1, 3), (2, 3)]
    # |0.2 - 1/3| and |0.7666 - 2/3|, halves of the patients each
    assert found.ece == pytest.approx(0.5 * abs(0.2 - 1 / 3) + 0.5 * abs(2.3 / 3 - 2 / 3))


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.5, 0.5, 1.0]), st.integers(0, 1)), min_size=1, max_size=40),
    st.integers(1, 12),
)
def test_every_patient_is_in_one_bin_and_equals_stay_together(rows, bins):
    p, y = [row[0] for row in rows], [row[1] for row in rows]
    table = reliability(p, y, bins=bins)
    assert sum(b.observed.total for b in table) == len(rows)
    assert len(table) <= min(bins, len(set(p)))
    assert [b.predicted for b in table] == sorted(b.predicted for b in table)
    assert table == reliability(p[::-1], y[::-1], bins=bins) or len(set(rows)) > 1


def test_separated_classes_have_no_slope_and_say_why():
    found = calibration_of([-2.0, -1.0, 0.5, 3.0], [0, 0, 1, 1])
    assert found.slope is None
    assert "overlap" in found.note
    assert found.intercept is not None


def test_equal_logits_have_no_slope():
    assert calibration_of([0.3, 0.3, 0.3], [0, 1, 0]).slope is None
