"""Holm, Pearson and paired seeds against scipy, all sign patterns, hand-worked cases and simulation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.comparisons import holm, improvement_correlation, paired_seeds, pearson

shares = st.floats(0, 1)


def rejected_step_by_step(p_values, level):
    """Holm 1979 as he words it: test the smallest against level / M, the next against level / (M - 1), ..."""
    rejected = np.zeros(len(p_values), dtype=bool)
    left = list(range(len(p_values)))
    while left:
        smallest = min(left, key=lambda i: p_values[i])
        if p_values[smallest] * len(left) > level:
            break
        rejected[smallest] = True
        left.remove(smallest)
    return rejected


@given(st.lists(shares, min_size=1, max_size=12), st.floats(0.01, 0.5))
def test_holm_rejects_what_the_steps_reject(p_values, level):
    np.testing.assert_array_equal(holm(p_values) <= level, rejected_step_by_step(p_values, level))


@given(st.lists(shares, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_laws_of_holm(p_values, random):
    adjusted = holm(p_values)
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, np.array(p_values) * len(p_values))).all()  # never beyond Bonferroni
    order = random.sample(range(len(p_values)), len(p_values))
    np.testing.assert_array_equal(holm(np.array(p_values)[order]), adjusted[order])


def test_holm_by_hand():
    # sorted .005 .011 .02 .04 times 4, 3, 2, 1: .02 .033 .04 .04
    np.testing.assert_allclose(holm([0.02, 0.005, 0.04, 0.011]), [0.04, 0.02, 0.04, 0.033])
    assert holm([]).size == 0
    assert holm([0.3]).tolist() == [0.3]


@pytest.mark.parametrize("p_values", [[0.1, math.nan], [-0.1], [1.1], [[0.1]]])
def test_holm_refuses_what_is_no_p_value(p_values):
    with pytest.raises(ArgumentError, match="p_values"):
        holm(p_values)


@given(st.integers(0, 10_000), st.integers(4, 30), st.sampled_from([0.9, 0.95, 0.99]))
def test_pearson_is_that_of_scipy(seed, n, level):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.normal(size=n) + rng.normal() * x
    ours, theirs = pearson(x, y, level), stats.pearsonr(x, y)
    r, p_value = theirs
    interval = theirs.confidence_interval(level)
    assert ours.n == n
    assert (ours.r, ours.p_value) == pytest.approx((r, p_value), rel=1e-6, abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-9)


def test_pearson_by_hand():
    # deviations (-1, 0, 1) and (-1, 1, 0): 1 / 2; t = .5 / sqrt(.75), and with one degree of freedom
    # p = 1 - 2 atan(t) / pi
    result = pearson([1, 2, 3], [0, 2, 1])
    assert result.r == pytest.approx(0.5)
    assert result.p_value == pytest.approx(1 - 2 * math.atan(0.5 / math.sqrt(0.75)) / math.pi)
    assert (result.low, result.high) == (-1, 1)


def test_a_line_correlates_fully():
    result = pearson([0.0, 1.0, 2.0, 4.0], [0.0, -1.0, -2.0, -4.0])
    assert (result.r, result.low, result.high, result.p_value) == (-1, -1, -1, 0)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1, 2], [2, 1], "3 pairs"),
        ([1, 1, 1], [1, 2, 3], "constant"),
        ([1, 2, 3], [2, 2, 2], "constant"),
        ([1, 2, 3], [1, 2], "one length"),
        ([1, 2, math.nan], [1, 2, 3], "finite"),
    ],
)
def test_pearson_refuses_what_has_no_correlation(x, y, words):
    with pytest.raises(ArgumentError, match=words):
        pearson(x, y)


def test_unrelated_numbers_correlate_with_the_improvement_but_not_after_oldham():
    rng = np.random.default_rng(0)
    result = improvement_correlation(rng.normal(size=20_000), rng.normal(size=20_000))
    assert result.with_baseline.r == pytest.approx(-1 / math.sqrt(2), abs=0.02)
    assert result.with_mean.r == pytest.approx(0, abs=0.02)


def test_noise_on_equal_truths_correlates_as_its_share_of_the_variance():
    # truth of variance 4, noise of variance 1 on each: r = -1 / sqrt(2 * (4 + 1)), from noise alone
    rng = np.random.default_rng(1)
    truth = 2 * rng.normal(size=40_000)
    result = improvement_correlation(truth + rng.normal(size=40_000), truth + rng.normal(size=40_000))
    assert result.with_baseline.r == pytest.approx(-1 / math.sqrt(10), abs=0.02)
    assert result.with_mean.r == pytest.approx(0, abs=0.02)


def test_a_true_levelling_is_seen_both_ways():
    baseline = np.array([60.0, 70.0, 80.0, 90.0])
    result = improvement_correlation(baseline, 0.5 * baseline + 47)
    assert (result.with_baseline.r, result.with_mean.r) == pytest.approx((-1, -1))


def signed_rank_p_over_all_signs(differences):
    """Wilcoxon's exact two-sided p by going through every way to sign the ranks."""
    nonzero = np.array([d for d in differences if d != 0])
    ranks = stats.rankdata(np.abs(nonzero))
    seen = ranks[nonzero > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in itertools.product((0, 1), repeat=len(nonzero))])
    return min(1, 2 * min(np.mean(sums <= seen + 1e-9), np.mean(sums >= seen - 1e-9)))


@given(st.lists(st.integers(-4, 4), min_size=2, max_size=9))
def test_signed_rank_p_is_exact_with_ties_and_zeros(differences):
    result = paired_seeds(differences, np.zeros(len(differences)))
    assert result.p_wilcoxon == pytest.approx(signed_rank_p_over_all_signs(differences), abs=1e-12)


@given(st.integers(0, 10_000), st.integers(2, 40))
def test_paired_seeds_are_the_tests_of_scipy(seed, n):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.3, size=n), rng.normal(size=n)
    ours, t_test = paired_seeds(a, b), stats.ttest_rel(a, b)
    interval = t_test.confidence_interval(0.95)
    assert ours.n == n
    assert ours.p_t == pytest.approx(t_test.pvalue, abs=1e-9)
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high), abs=1e-9)
    assert ours.mean_difference == pytest.approx(a.mean() - b.mean(), abs=1e-12)
    _, exact_p = stats.wilcoxon(a - b, method="exact")
    assert ours.p_wilcoxon == pytest.approx(exact_p, abs=1e-9)


@given(st.integers(0, 1000), st.integers(2, 12))
def test_swapping_the_methods_turns_the_sign(seed, n):
    a, b = np.random.default_rng(seed).integers(0, 5, size=(2, n)).astype(float)
    one, other = paired_seeds(a, b), paired_seeds(b, a)
    assert other.mean_difference == -one.mean_difference
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.p_t, other.p_wilcoxon) == pytest.approx((one.p_t, one.p_wilcoxon))


def test_equal_differences_leave_a_point():
    nothing = paired_seeds([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (nothing.low, nothing.high, nothing.p_t, nothing.p_wilcoxon) == (0, 0, 1, 1)
    shifted = paired_seeds([2.0, 3.0, 4.0], [1.0, 2.0, 3.0])
    assert (shifted.low, shifted.high, shifted.p_t, shifted.p_wilcoxon) == (1, 1, 0, 0.25)


def test_five_seeds_never_reach_the_usual_level():
    assert paired_seeds([1.0, 2.0, 3.0, 4.0, 5.0], np.zeros(5)).p_wilcoxon == 2**-4


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [([1.0], [2.0], "2 pairs"), ([1.0, 2.0], [1.0], "one length"), ([1.0, math.nan], [1.0, 2.0], "failed run")],
)
def test_unusable_runs_are_refused(a, b, words):
    with pytest.raises(ArgumentError, match=words):
        paired_seeds(a, b)
