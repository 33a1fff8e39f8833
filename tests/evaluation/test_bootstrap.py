"""The bootstrap against its exact distribution, against all resamples of tiny cases, and by laws."""

import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation import resampling
from prostate_alm.evaluation.bootstrap import (
    FewPositivesWarning,
    fpr_at_false_negatives_difference,
    fpr_at_false_negatives_interval,
    fpr_at_tpr_difference,
    fpr_at_tpr_interval,
)
from prostate_alm.evaluation.roc import fpr_at_false_negatives, fpr_at_tpr, misses_allowed

pytestmark = pytest.mark.filterwarnings("ignore::prostate_alm.evaluation.bootstrap.FewPositivesWarning")


def normal_cases(seed, positives, negatives, shift=1.5):
    labels = np.repeat([1, 0], [positives, negatives])
    scores = np.random.default_rng(seed).normal(labels * shift)
    order = np.random.default_rng(seed + 1).permutation(labels.size)
    return scores[order], labels[order]


def exact_cdf(scores, labels, k):
    """CDF of the bootstrapped FPR on 0/N .. N/N, without drawing.

    The (k+1)-th lowest of P draws is at or below the i-th lowest positive when k+1 draws are: a binomial tail. Given
    the threshold, the negatives at or above it are binomial.
    """
    positives, negatives = np.sort(scores[labels == 1]), scores[labels == 0]
    p, n = positives.size, negatives.size
    at_or_below = binom.sf(k, p, np.arange(p + 1) / p)
    chance = np.diff(at_or_below)
    shares = np.array([np.mean(negatives >= threshold) for threshold in positives])
    return (chance[:, None] * binom.cdf(np.arange(n + 1)[None, :], n, shares[:, None])).sum(axis=0)


@pytest.mark.parametrize(("seed", "positives", "negatives", "k"), [(0, 60, 80, 3), (1, 100, 300, 5), (2, 40, 50, 0)])
def test_interval_ends_are_quantiles_of_the_exact_bootstrap_distribution(seed, positives, negatives, k):
    scores, labels = normal_cases(seed, positives, negatives)
    cdf = exact_cdf(scores, labels, k)
    interval = fpr_at_false_negatives_interval(scores, labels, k, resamples=20_000)
    for end, tail in ((interval.low, 0.025), (interval.high, 0.975)):
        count = round(end * negatives)
        # 20 000 draws place a 2.5 % quantile within 4 * sqrt(.025 * .975 / 20 000) of its probability
        assert (cdf[count - 1] if count else 0) - 0.0045 <= tail <= cdf[count] + 0.0045


@pytest.mark.parametrize("tpr", [0.5, 0.7, 0.9, 0.95, 1.0])
def test_a_share_and_its_number_of_misses_give_one_interval(tpr):
    scores, labels = normal_cases(3, 40, 60)
    by_share = fpr_at_tpr_interval(scores, labels, tpr)
    by_misses = fpr_at_false_negatives_interval(scores, labels, {0.5: 20, 0.7: 12, 0.9: 4, 0.95: 2, 1.0: 0}[tpr])
    assert by_share == by_misses
    assert by_share.value == fpr_at_tpr(scores, labels, tpr)


def every_resample(scores_a, scores_b, labels):
    """Both models on each of the equally likely stratified resamples."""
    positives, negatives = np.flatnonzero(labels == 1), np.flatnonzero(labels == 0)
    for p in itertools.product(positives, repeat=positives.size):
        for n in itertools.product(negatives, repeat=negatives.size):
            drawn = [*p, *n]
            yield scores_a[drawn], scores_b[drawn], labels[drawn]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("by_share", [True, False])
def test_paired_difference_is_that_of_all_resamples(seed, by_share):
    rng = np.random.default_rng(seed)
    labels = np.array([1, 0, 1, 0, 1, 0])
    shared = rng.normal(labels * 0.5)
    a, b = np.round(shared + rng.normal(size=6)), np.round(shared + rng.normal(size=6))  # with ties
    if by_share:
        result = fpr_at_tpr_difference(a, b, labels, 0.6, resamples=40_000)
    else:
        result = fpr_at_false_negatives_difference(a, b, labels, 1, resamples=40_000)
    exact = [
        fpr_at_false_negatives(s_a, y, 1) - fpr_at_false_negatives(s_b, y, 1)
        for s_a, s_b, y in every_resample(a, b, labels)
    ]
    at_most, at_least = np.mean(np.array(exact) <= 1e-12), np.mean(np.array(exact) >= -1e-12)
    assert result.p_value == pytest.approx(min(1, 2 * min(at_most, at_least)), abs=0.02)
    assert result.difference == pytest.approx(fpr_at_tpr(a, labels, 0.6) - fpr_at_tpr(b, labels, 0.6), abs=1e-12)
    for end, tail in ((result.low, 0.025), (result.high, 0.975)):
        below, up_to = np.mean(np.array(exact) < end - 1e-9), np.mean(np.array(exact) < end + 1e-9)
        assert below - 0.004 <= tail <= up_to + 0.004


def test_pairing_shrinks_the_interval_of_models_that_agree():
    scores, labels = normal_cases(4, 200, 200)
    a, b = scores + 0.1 * normal_cases(5, 200, 200)[0], scores + 0.1 * normal_cases(6, 200, 200)[0]
    paired = fpr_at_tpr_difference(a, b, labels, 0.9)
    alone = [fpr_at_tpr_interval(one, labels, 0.9) for one in (a, b)]
    assert paired.high - paired.low < 0.6 * max(one.high - one.low for one in alone)


def test_p_value_has_the_one_added():
    # a separates the classes and b turns them round, in every resample
    labels = np.repeat([1, 0], 10)
    result = fpr_at_tpr_difference(labels * 1.0, -labels * 1.0, labels, 0.5, resamples=199)
    assert (result.difference, result.low, result.high) == (-1, -1, -1)
    assert result.p_value == 2 / 200


@given(st.integers(0, 50), st.sampled_from([0.3, 0.8, 1.0]))
def test_laws_of_the_paired_difference(seed, tpr):
    labels = normal_cases(seed, 12, 15)[1]
    a, b = np.round(normal_cases(seed, 12, 15)[0], 1), np.round(np.random.default_rng(seed).normal(labels), 1)
    one = fpr_at_tpr_difference(a, b, labels, tpr, resamples=100)
    other = fpr_at_tpr_difference(b, a, labels, tpr, resamples=100)
    assert (other.difference, other.p_value) == (-one.difference, one.p_value)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low), abs=1e-12)
    assert fpr_at_tpr_difference(np.exp(a), b + 7, labels, tpr, resamples=100) == one
    same = fpr_at_tpr_difference(a, 3 * a - 1, labels, tpr, resamples=100)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


@given(st.integers(0, 50), st.integers(0, 9))
def test_only_the_order_of_the_scores_counts(seed, k):
    scores, labels = normal_cases(seed, 10, 20)
    one = fpr_at_false_negatives_interval(scores, labels, k, resamples=100)
    assert fpr_at_false_negatives_interval(np.exp(scores), labels, k, resamples=100) == one
    assert fpr_at_false_negatives_interval(scores + 5, labels, k, resamples=100) == one
    assert 0 <= one.low <= one.high <= 1
    assert one.value == fpr_at_false_negatives(scores, labels, k)


def test_higher_levels_are_wider_and_seeds_repeat():
    scores, labels = normal_cases(7, 200, 100)
    narrow, wide = (fpr_at_tpr_interval(scores, labels, 0.9, level=level) for level in (0.8, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert fpr_at_tpr_interval(scores, labels, 0.9, seed=3) == fpr_at_tpr_interval(scores, labels, 0.9, seed=3)
    drawn_anew = fpr_at_tpr_interval(scores, labels, 0.9, seed=4, resamples=201)
    assert drawn_anew != fpr_at_tpr_interval(scores, labels, 0.9, seed=3, resamples=201)


def test_blocks_only_bound_the_memory(monkeypatch):
    sizes, plan = (3, 4), resampling.Resampling(resamples=501, seed=0, level=0.95)
    monkeypatch.setattr(resampling, "BLOCK_DRAWS", 70)
    blocks = list(plan.indices(sizes))
    assert [len(block) for block in blocks] == [10] * 50 + [1]
    drawn = np.concatenate(blocks)
    assert set(drawn[:, :3].ravel()) == {0, 1, 2}
    assert set(drawn[:, 3:].ravel()) == {3, 4, 5, 6}
    assert len(np.unique(drawn, axis=0)) > 450  # the blocks are not repetitions of one another


@pytest.mark.parametrize(
    ("positives", "tpr", "reliable"),
    [(100, 0.98, False), (100, 0.95, True), (99, 0.95, False), (50, 0.9, True), (250, 0.98, True), (1000, 1.0, False)],
)
def test_five_misses_carry_an_interval(positives, tpr, reliable):
    scores, labels = normal_cases(8, positives, 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        interval = fpr_at_tpr_interval(scores, labels, tpr, resamples=100)
        difference = fpr_at_tpr_difference(scores, -scores, labels, tpr, resamples=100)
    assert (interval.reliable, difference.reliable) == (reliable, reliable)
    assert [warning.category for warning in caught] == [] if reliable else [FewPositivesWarning] * 2
    assert all(warning.filename == __file__ for warning in caught)
    assert (interval.note == "") == reliable
    assert ("inconsistent" in interval.note) == (tpr == 1.0)


@pytest.mark.parametrize(("k", "reliable"), [(0, False), (1, False), (4, False), (5, True)])
def test_few_misses_are_warned_of(k, reliable):
    scores, labels = normal_cases(9, 80, 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert fpr_at_false_negatives_interval(scores, labels, k, resamples=100).reliable == reliable
        assert fpr_at_false_negatives_difference(scores, -scores, labels, k, resamples=100).reliable == reliable
    assert len(caught) == (0 if reliable else 2)


def test_an_interval_without_width_is_not_reliable():
    labels = np.repeat([1, 0], 50)
    interval = fpr_at_tpr_interval(labels * 1.0, labels, 0.8)
    assert (interval.value, interval.low, interval.high, interval.reliable) == (0, 0, 0, False)
    assert "no width" in interval.note


def test_no_sensitivity_costs_no_false_positive():
    scores, labels = normal_cases(10, 20, 20)
    interval = fpr_at_tpr_interval(scores, labels, 0.0)
    assert (interval.value, interval.low, interval.high) == (0, 0, 0)


@given(st.integers(1, 300), st.floats(0, 1))
def test_misses_allowed_reach_the_share_and_one_more_does_not(positives, tpr):
    k = misses_allowed(tpr, positives)
    assert (positives - k) / positives >= tpr
    assert k == positives or (positives - k - 1) / positives < tpr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tpr": 1.1}, "tpr"),
        ({"tpr": math.nan}, "tpr"),
        ({"level": 1.0}, "level"),
        ({"resamples": 39}, "resamples"),
        ({"resamples": 0}, "resamples"),
        ({"level": 0.99, "resamples": 150}, "resamples"),
        ({"labels": [1, 1, 1]}, "both classes"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, words):
    usual = {"scores": [0.1, 0.2, 0.3], "labels": [0, 1, 1], "tpr": 0.5}
    with pytest.raises(ArgumentError, match=words):
        fpr_at_tpr_interval(**(usual | arguments))


@pytest.mark.parametrize("k", [-1, 2, 3])
def test_misses_must_leave_a_positive(k):
    with pytest.raises(ArgumentError, match="below the number of positives"):
        fpr_at_false_negatives_interval([0.1, 0.2, 0.3], [0, 1, 1], k)
    with pytest.raises(ArgumentError, match="below the number of positives"):
        fpr_at_false_negatives_difference([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0, 1, 1], k)


def test_the_interval_keeps_its_level_with_many_positives():
    # scores N(1.5, 1) and N(0, 1): at 95 % the threshold is 1.5 - 1.645 and the true FPR 1 - Phi(-0.145)
    truth = 0.5 * math.erfc((1.5 - 1.6448536269514722) / math.sqrt(2))
    covered = []
    for seed in range(300):
        interval = fpr_at_tpr_interval(*normal_cases(seed, 1000, 1000), 0.95, resamples=250, seed=seed)
        covered.append(interval.low <= truth <= interval.high)
    assert 0.92 <= np.mean(covered) <= 0.98
