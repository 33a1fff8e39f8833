"""The figures of the ROC curve against slow second implementations, scikit-learn and laws."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import auc, fpr_at_false_negatives, fpr_at_tpr, roc_curve

# few distinct values, so that ties within and between the classes are common
tied_scores = st.integers(-4, 4).map(float)


@st.composite
def scored_cases(draw, score=tied_scores):
    positives = draw(st.lists(score, min_size=1, max_size=12))
    negatives = draw(st.lists(score, min_size=1, max_size=12))
    order = draw(st.permutations(range(len(positives) + len(negatives))))
    labels = np.array([1] * len(positives) + [0] * len(negatives))
    return np.array(positives + negatives)[order], labels[order]


def pairs_won(scores, labels):
    """AUC by its definition, pair by pair."""
    outcomes = [1.0 if p > n else 0.5 if p == n else 0.0 for p in scores[labels == 1] for n in scores[labels == 0]]
    return sum(outcomes) / len(outcomes)


def best_fpr(scores, labels, *, accept):
    """Smallest FPR over every possible threshold whose true positives `accept` takes."""
    return min(
        float(np.mean(scores[labels == 0] >= threshold))
        for threshold in [math.inf, *scores]
        if accept(int(np.sum(scores[labels == 1] >= threshold)))
    )


@given(scored_cases())
def test_auc_counts_the_pairs_won(cases):
    scores, labels = cases
    assert auc(scores, labels) == pytest.approx(pairs_won(scores, labels), abs=1e-12)
    assert auc(scores, labels) == pytest.approx(metrics.roc_auc_score(labels, scores), abs=1e-12)


@given(scored_cases(), st.integers(0, 11))
def test_fpr_at_false_negatives_is_the_best_over_all_thresholds(cases, k):
    scores, labels = cases
    positives = int(labels.sum())
    k = k % positives
    best = best_fpr(scores, labels, accept=lambda found: positives - found <= k)
    assert fpr_at_false_negatives(scores, labels, k) == pytest.approx(best, abs=1e-12)


@given(scored_cases(), st.floats(0, 1))
def test_fpr_at_tpr_is_the_best_over_all_thresholds(cases, tpr):
    scores, labels = cases
    best = best_fpr(scores, labels, accept=lambda found: found / labels.sum() >= tpr)
    assert fpr_at_tpr(scores, labels, tpr) == pytest.approx(best, abs=1e-12)


@pytest.mark.parametrize("positives", range(1, 120))
def test_fpr_at_tpr_does_not_ask_for_one_positive_too_many(positives):
    # positive number i scores i and each is followed by one negative, so the FPR counts the positives asked for
    scores = np.repeat(np.arange(positives, dtype=float), 2) - np.tile([0.0, 0.5], positives)
    labels = np.tile([1, 0], positives)
    for found in range(1, positives + 1):
        assert fpr_at_tpr(scores, labels, found / positives) == pytest.approx((found - 1) / positives)


@given(scored_cases())
def test_roc_curve_is_that_of_scikit_learn(cases):
    scores, labels = cases
    ours = roc_curve(scores, labels)
    fpr, tpr, thresholds = metrics.roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(ours.fpr, fpr, atol=1e-12)
    np.testing.assert_allclose(ours.tpr, tpr, atol=1e-12)
    np.testing.assert_array_equal(ours.thresholds, thresholds)


def test_roc_curve_starts_where_nobody_is_positive():
    curve = roc_curve([1.0, 2.0], [0, 1])
    assert curve.thresholds[0] == math.inf
    assert (curve.fpr[0], curve.tpr[0]) == (0, 0)
    assert (curve.fpr[-1], curve.tpr[-1]) == (1, 1)


@given(scored_cases(), st.randoms(use_true_random=False))
def test_order_of_the_cases_is_of_no_account(cases, random):
    scores, labels = cases
    order = random.sample(range(len(scores)), len(scores))
    assert auc(scores[order], labels[order]) == auc(scores, labels)
    assert fpr_at_false_negatives(scores[order], labels[order], 0) == fpr_at_false_negatives(scores, labels, 0)
    assert fpr_at_tpr(scores[order], labels[order], 0.9) == fpr_at_tpr(scores, labels, 0.9)


@given(scored_cases())
def test_only_the_order_of_the_scores_counts(cases):
    scores, labels = cases
    for transformed in (np.exp(scores), 3 * scores + 1000, 1 / (1 + np.exp(-scores))):
        assert auc(transformed, labels) == auc(scores, labels)
        assert fpr_at_false_negatives(transformed, labels, 0) == fpr_at_false_negatives(scores, labels, 0)
        assert fpr_at_tpr(transformed, labels, 0.7) == fpr_at_tpr(scores, labels, 0.7)


def test_worked_by_hand():
    scores = [0.9, 0.8, 0.3, 0.85, 0.5, 0.3, 0.1]
    labels = [1, 1, 1, 0, 0, 0, 0]
    assert auc(scores, labels) == pytest.approx((4 + 3 + 1.5) / 12)
    assert fpr_at_false_negatives(scores, labels, 0) == 3 / 4  # the tie at 0.3 counts
    assert fpr_at_false_negatives(scores, labels, 1) == 1 / 4
    assert fpr_at_false_negatives(scores, labels, 2) == 0
    assert fpr_at_tpr(scores, labels, 1.0) == 3 / 4
    assert fpr_at_tpr(scores, labels, 0.6) == 1 / 4
    assert fpr_at_tpr(scores, labels, 0.0) == 0


@pytest.mark.parametrize(
    ("scores", "labels", "words"),
    [
        ([0.1, math.nan], [0, 1], "finite"),
        ([0.1, math.inf], [0, 1], "finite"),
        ([0.1, 0.2], [1, 1], "2 positives and 0 negatives"),
        ([0.1, 0.2], [0, 0], "0 positives and 2 negatives"),
        ([], [], "0 positives and 0 negatives"),
        ([0.1, 0.2], [0, 2], "0 .negative. or 1"),
        ([0.1, 0.2], [-1, 1], "0 .negative. or 1"),
        ([0.1, 0.2], [0.0, math.nan], "0 .negative. or 1"),
        ([0.1, 0.2, 0.3], [0, 1], "one length"),
        ([[0.1, 0.2]], [[0, 1]], "two lists"),
    ],
)
def test_unusable_cases_are_refused(scores, labels, words):
    for figure in (auc, roc_curve, lambda s, y: fpr_at_false_negatives(s, y, 0), lambda s, y: fpr_at_tpr(s, y, 0.5)):
        with pytest.raises(ArgumentError, match=words):
            figure(scores, labels)


@pytest.mark.parametrize("k", [-1, 2, 3])
def test_misses_must_leave_a_positive(k):
    with pytest.raises(ArgumentError, match="below the number of positives"):
        fpr_at_false_negatives([0.1, 0.2, 0.3], [0, 1, 1], k)


@pytest.mark.parametrize("tpr", [-0.1, 1.01, math.nan])
def test_sensitivity_must_be_a_share(tpr):
    with pytest.raises(ArgumentError, match="tpr"):
        fpr_at_tpr([0.1, 0.2], [0, 1], tpr)
