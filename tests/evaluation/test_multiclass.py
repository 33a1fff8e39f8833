"""The error at a sensitivity against loops over the samples, all resamples of tiny cases, and the binary figures."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.bootstrap import FewPositivesWarning, fpr_at_tpr_difference, fpr_at_tpr_interval
from prostate_alm.evaluation.multiclass import (
    accuracy_difference,
    accuracy_interval,
    critical_threshold,
    error_at_tpr,
    error_at_tpr_difference,
    error_at_tpr_interval,
    from_logits,
    overall_accuracy,
    per_class_accuracy,
)

pytestmark = pytest.mark.filterwarnings("ignore::prostate_alm.evaluation.bootstrap.FewPositivesWarning")

CRITICAL = 1


@st.composite
def classified_cases(draw):
    """Logits ``[N, 3]`` with many ties and labels that hold each class."""
    n = draw(st.integers(3, 14))
    labels = draw(st.permutations([0, 1, 2, *draw(st.lists(st.integers(0, 2), min_size=n - 3, max_size=n - 3))]))
    logits = draw(st.lists(st.tuples(*[st.integers(-2, 2).map(float)] * 3), min_size=n, max_size=n))
    return np.array(logits), np.array(labels)


def error_by_the_words_of_the_paper(logits, labels, tpr):
    """Section 5.3, sample by sample; the threshold by trying every critical score."""
    critical = [row[CRITICAL] for row, label in zip(logits, labels, strict=True) if label == CRITICAL]
    reaching = [t for t in critical if sum(score >= t for score in critical) / len(critical) >= tpr]
    threshold = max(reaching) if tpr > 0 else math.inf
    wrong = total = 0
    for row, label in zip(logits, labels, strict=True):
        if label == CRITICAL:
            continue
        assigned = CRITICAL if row[CRITICAL] >= threshold else (0 if row[0] >= row[2] else 2)
        total += 1
        wrong += assigned != label
    return wrong / total


@given(classified_cases(), st.floats(0, 1))
def test_error_is_that_of_the_paper(cases, tpr):
    logits, labels = cases
    scored = from_logits(logits, [CRITICAL])
    error = error_at_tpr(scored.critical_scores, scored.other_prediction, labels, CRITICAL, tpr)
    assert error == pytest.approx(error_by_the_words_of_the_paper(logits, labels, tpr), abs=1e-12)


def test_worked_by_hand():
    labels = np.array([1, 1, 0, 0, 2, 2])
    scores = np.array([3.0, 1.0, 0.0, 2.0, 1.0, -1.0])
    others = np.array([0, 2, 0, 0, 2, 0])
    assert critical_threshold(scores, labels == 1, 0.5) == 3
    assert critical_threshold(scores, labels == 1, 0.51) == 1
    assert critical_threshold(scores, labels == 1, 0.0) == math.inf
    assert error_at_tpr(scores, others, labels, 1, 0.5) == 1 / 4  # the last, in class 0
    assert error_at_tpr(scores, others, labels, 1, 1.0) == 3 / 4  # also the two at or above 1


@given(classified_cases(), st.floats(0, 1))
def test_the_threshold_reaches_the_share_and_no_higher_score_does(cases, tpr):
    logits, labels = cases
    scores, critical = logits[:, CRITICAL], labels == CRITICAL
    threshold = critical_threshold(scores, critical, tpr)
    assert np.mean(scores[critical] >= threshold) >= tpr
    assert all(np.mean(scores[critical] >= score) < tpr for score in scores[critical] if score > threshold)


@given(classified_cases(), st.floats(0, 1), st.floats(0, 1))
def test_error_grows_with_the_sensitivity_and_not_with_a_constant(cases, one, another):
    logits, labels = cases
    scored = from_logits(logits, [CRITICAL])
    low, high = (error_at_tpr(*scored[:2], labels, CRITICAL, tpr) for tpr in (min(one, another), max(one, another)))
    assert low <= high
    assert (
        error_at_tpr(scored.critical_scores + 8, scored.other_prediction, labels, CRITICAL, max(one, another)) == high
    )


def test_two_classes_are_the_binary_case():
    labels = np.repeat([1, 0], [60, 90])
    scores_a, scores_b = np.random.default_rng(0).normal(labels * 1.0, size=(2, 150))
    others = np.zeros(150, dtype=int)  # the only class that is not critical
    interval = error_at_tpr_interval(scores_a, others, labels, 1, 0.9)
    assert interval == fpr_at_tpr_interval(scores_a, labels, 0.9)
    difference = error_at_tpr_difference((scores_a, others), (scores_b, others), labels, 1, 0.9)
    assert difference == fpr_at_tpr_difference(scores_a, scores_b, labels, 0.9)


def noisy_logits(seed, labels, classes, runs=None, strength=1.5):
    shape = (labels.size, classes) if runs is None else (runs, labels.size, classes)
    return np.random.default_rng(seed).normal(size=shape) + strength * np.eye(classes)[labels]


def every_resample(labels):
    """Indices of each of the equally likely resamples, stratified by class."""
    strata = [np.flatnonzero(labels == one) for one in np.unique(labels)]
    for drawn in itertools.product(*(itertools.product(stratum, repeat=stratum.size) for stratum in strata)):
        yield np.concatenate(drawn)


@pytest.mark.parametrize("seed", range(3))
def test_difference_of_runs_is_that_of_all_resamples(seed):
    labels = np.array([2, 1, 0, 1, 2, 0, 1])  # 27 * 4 * 4 resamples
    a, b = noisy_logits(seed, labels, 3, runs=2), noisy_logits(seed + 10, labels, 3, runs=3, strength=1.0)

    def mean_error(runs, drawn):
        return np.mean([error_by_the_words_of_the_paper(logits[drawn], labels[drawn], 0.6) for logits in runs])

    exact = np.array([mean_error(a, drawn) - mean_error(b, drawn) for drawn in every_resample(labels)])
    result = error_at_tpr_difference(
        from_logits(a, [CRITICAL])[:2], from_logits(b, [CRITICAL])[:2], labels, CRITICAL, 0.6, resamples=40_000
    )
    observed = mean_error(a, np.arange(7)) - mean_error(b, np.arange(7))
    assert result.difference == pytest.approx(observed, abs=1e-12)
    expected_p = min(1, 2 * min(np.mean(exact <= 1e-9), np.mean(exact >= -1e-9)))
    assert result.p_value == pytest.approx(expected_p, abs=0.02)
    for end, tail in ((result.low, 0.025), (result.high, 0.975)):
        assert np.mean(exact < end - 1e-9) - 0.004 <= tail <= np.mean(exact < end + 1e-9) + 0.004


def test_the_value_of_several_runs_is_their_mean():
    labels = np.repeat([0, 1, 2], 40)
    scored = from_logits(noisy_logits(0, labels, 3, runs=4), [CRITICAL])
    alone = [
        error_at_tpr(scores, others, labels, CRITICAL, 0.8)
        for scores, others in zip(scored.critical_scores, scored.other_prediction, strict=True)
    ]
    assert error_at_tpr(*scored[:2], labels, CRITICAL, 0.8) == pytest.approx(np.mean(alone))
    interval = error_at_tpr_interval(*scored[:2], labels, CRITICAL, 0.8)
    assert interval.value == pytest.approx(np.mean(alone))
    assert interval.low < interval.value < interval.high


@given(st.integers(0, 30))
def test_laws_of_the_difference(seed):
    labels = np.repeat([0, 1, 2], 6)
    a, b = (from_logits(noisy_logits(seed + i, labels, 3), [CRITICAL])[:2] for i in (0, 100))
    one = error_at_tpr_difference(a, b, labels, CRITICAL, 0.8, resamples=100)
    other = error_at_tpr_difference(b, a, labels, CRITICAL, 0.8, resamples=100)
    assert (other.difference, other.p_value) == (-one.difference, one.p_value)
    twice = np.stack([a[0], a[0]]), np.stack([a[1], a[1]])
    same = error_at_tpr_difference(a, twice, labels, CRITICAL, 0.8, resamples=100)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


def test_few_critical_samples_are_warned_of():
    labels = np.repeat([0, 1, 2], 20)
    scored = from_logits(noisy_logits(0, labels, 3), [CRITICAL])
    with pytest.warns(FewPositivesWarning, match="4 of 20"):
        assert not error_at_tpr_interval(*scored[:2], labels, CRITICAL, 0.8).reliable


def test_predictions_come_from_the_logits():
    logits = np.array([[1.0, 5.0, 2.0, 0.0], [3.0, 1.0, 3.0, 9.0]])
    scored = from_logits(logits, [1])
    assert scored.critical_scores.tolist() == [5, 1]
    assert scored.other_prediction.tolist() == [2, 3]
    assert scored.prediction.tolist() == [1, 3]
    two = from_logits(logits, [1, 3])
    assert two.other_prediction.tolist() == [2, 0]  # the tie goes to the lower class
    assert two.critical_scores.tolist() == [[5, 0], [1, 9]]
    runs = from_logits(np.stack([logits, -logits]), [1])
    assert runs.critical_scores.tolist() == [[5, 1], [-5, -1]]
    assert runs.other_prediction[0].tolist() == [2, 3]


def test_two_critical_classes_have_no_error_at_a_sensitivity():
    labels = np.array([0, 1, 2, 3])
    scored = from_logits(np.eye(4), [1, 3])
    with pytest.raises(ArgumentError, match="one shape"):
        error_at_tpr(*scored[:2], labels, 1, 0.5)


@pytest.mark.parametrize("critical", [[], [3], [-1], [0, 0], [0, 1, 2]])
def test_critical_classes_must_be_some_of_the_classes(critical):
    with pytest.raises(ArgumentError, match="critical_classes"):
        from_logits(np.zeros((2, 3)), critical)


def test_accuracies_by_hand():
    prediction, labels = [0, 1, 1, 2, 0], [0, 0, 1, 2, 2]
    assert overall_accuracy(prediction, labels) == 3 / 5
    assert per_class_accuracy(prediction, labels, [2, 0, 1]) == {2: 0.5, 0: 0.5, 1: 1.0}
    runs = [prediction, [0, 0, 0, 0, 0]]
    assert overall_accuracy(runs, labels) == pytest.approx((3 / 5 + 2 / 5) / 2)
    assert per_class_accuracy(runs, labels, [0, 1]) == {0: 0.75, 1: 0.5}


@pytest.mark.parametrize("seed", range(3))
def test_accuracy_difference_is_that_of_all_resamples(seed):
    labels = np.array([0, 1, 0, 1, 0, 1])
    a, b = np.random.default_rng(seed).random((2, 6)) < 0.6
    exact = np.array([a[drawn].mean() - b[drawn].mean() for drawn in every_resample(labels)])
    result = accuracy_difference(a, b, labels, resamples=40_000)
    assert result.difference == pytest.approx(a.mean() - b.mean(), abs=1e-12)
    expected_p = min(1, 2 * min(np.mean(exact <= 1e-9), np.mean(exact >= -1e-9)))
    assert result.p_value == pytest.approx(expected_p, abs=0.02)


def test_accuracy_interval_has_the_width_of_the_binomial():
    # one class: sd of a share is sqrt(p (1 - p) / N)
    correct = np.arange(1000) < 700
    interval = accuracy_interval(correct, np.zeros(1000, dtype=int), resamples=10_000)
    assert interval.value == 0.7
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * math.sqrt(0.21 / 1000), rel=0.05)


def test_strata_take_the_spread_between_the_classes_out():
    # each class is all right or all wrong: no resample within the classes changes the share
    labels = np.repeat([0, 1], 50)
    interval = accuracy_interval(labels == 1, labels)
    assert (interval.value, interval.low, interval.high, interval.reliable) == (0.5, 0.5, 0.5, False)


def test_runs_of_different_number_compare_by_their_means():
    labels = np.repeat([0, 1], 30)
    correct = np.random.default_rng(0).random((1, 60)) < 0.7
    same = accuracy_difference(np.repeat(correct, 3, axis=0), np.repeat(correct, 2, axis=0), labels)
    assert (same.difference, same.low, same.high, same.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: error_at_tpr([0.1, 0.2], [0, 1], [0, 1], 1, 0.5), "critical class 1"),
        (lambda: error_at_tpr([0.1, 0.2], [0, 0], [0, 0], 1, 0.5), "both classes"),
        (lambda: error_at_tpr([0.1, 0.2], [0, 0], [1, 1], 1, 0.5), "both classes"),
        (lambda: error_at_tpr([0.1, math.nan], [0, 0], [0, 1], 1, 0.5), "finite"),
        (lambda: error_at_tpr([0.1, 0.2], [0, 0], [0, 1], 1, 1.5), "tpr"),
        (lambda: error_at_tpr([0.1, 0.2, 0.3], [0, 0], [0, 1], 1, 0.5), "one shape"),
        (lambda: error_at_tpr([0.1, 0.2], [0, 0, 0], [0, 1], 1, 0.5), "one value for each sample"),
        (lambda: from_logits([0.1, 0.2], [0]), "N, C"),
        (lambda: from_logits([[0.1, math.inf]], [0]), "finite"),
        (lambda: per_class_accuracy([0, 1], [0, 1], [0, 2]), r"\[2\] have none"),
        (lambda: overall_accuracy([0, 1, 2], [0, 1]), "one value for each sample"),
        (lambda: overall_accuracy([], []), "one value for each sample"),
        (lambda: accuracy_interval([0, 1], [0, 1]), "true or false"),
        (lambda: accuracy_interval([True, False], [0, 1], resamples=10), "resamples"),
    ],
)
def test_unusable_arguments_are_refused(call, words):
    with pytest.raises(ArgumentError, match=words):
        call()
