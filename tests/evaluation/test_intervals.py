"""Bounds against closed forms, scipy's exact test and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.intervals import (
    miss_rate_expected,
    miss_rate_upper_bound,
    proportion_interval,
)


@pytest.mark.parametrize("n", [1, 13, 30, 50, 100, 1000])
def test_no_miss_has_a_closed_form(n):
    assert miss_rate_upper_bound(0, n) == pytest.approx(1 - 0.05 ** (1 / n), rel=1e-12)


@given(st.integers(1, 400), st.integers(0, 399), st.sampled_from([0.9, 0.95, 0.99]))
def test_bound_is_the_one_sided_clopper_pearson_bound(n, k, confidence):
    k = k % n
    exact = binomtest(k, n, alternative="less").proportion_ci(confidence, method="exact").high
    assert miss_rate_upper_bound(k, n, confidence=confidence) == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(("n", "k"), [(20, 0), (20, 1), (50, 2)])
def test_the_miss_rate_of_the_chosen_threshold_keeps_to_the_bound_and_the_expectation(n, k):
    # positives uniform on [0, 1]: the miss rate of a threshold is the threshold itself
    draws = np.sort(np.random.default_rng(7).uniform(size=(20_000, n)), axis=1)[:, k]
    assert np.mean(draws <= miss_rate_upper_bound(k, n)) == pytest.approx(0.95, abs=0.006)
    assert draws.mean() == pytest.approx(miss_rate_expected(k, n), rel=0.02)


@given(st.integers(1, 300), st.integers(0, 300), st.sampled_from([0.9, 0.95]))
def test_proportion_interval_is_clopper_pearson(total, count, confidence):
    count = count % (total + 1)
    exact = binomtest(count, total).proportion_ci(confidence, method="exact")
    assert proportion_interval(count, total, confidence=confidence) == pytest.approx((exact.low, exact.high), rel=1e-9)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (5, 5), (6, 5), (0, 0)])
def test_counts_out_of_range_are_refused(k, n):
    with pytest.raises(ArgumentError):
        miss_rate_upper_bound(k, n)
    with pytest.raises(ArgumentError):
        miss_rate_expected(k, n)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_confidence_must_be_a_share(confidence):
    with pytest.raises(ArgumentError, match="confidence"):
        miss_rate_upper_bound(0, 5, confidence=confidence)
    with pytest.raises(ArgumentError, match="confidence"):
        proportion_interval(1, 5, confidence=confidence)
