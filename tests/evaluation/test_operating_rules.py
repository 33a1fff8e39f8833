"""Rules turn n positives into k misses; each keeps its promise, and the next k would not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.operating_rules import (
    DEFAULT_RULES,
    Conformal,
    FalseNegatives,
    Sensitivity,
    parse_rule,
    parse_rules,
)

shares = st.sampled_from([0.8, 0.9, 0.95, 0.975, 0.98, 0.99])


@given(shares, shares, st.integers(0, 400))
def test_a_sensitivity_is_kept_with_confidence_and_one_more_miss_would_break_it(target, confidence, more):
    rule = Sensitivity(target, confidence)
    n = rule.needed + more
    k = rule.misses(n)
    assert beta.ppf(confidence, k + 1, n - k) <= 1 - target + 1e-9
    if k + 1 < n:
        assert beta.ppf(confidence, k + 2, n - k - 1) > 1 - target - 1e-9


def test_the_fewest_positives_are_those_of_the_closed_form():
    assert Sensitivity(0.95, 0.95).needed == 59  # 0.95 ** 59 < 0.05 < 0.95 ** 58
    assert Sensitivity(0.9, 0.95).needed == 29
    with pytest.raises(ArgumentError, match="at least 59 positives, got 58"):
        Sensitivity(0.95, 0.95).misses(58)
    assert Sensitivity(0.95, 0.95).misses(59) == 0
    assert Sensitivity(0.95, 0.95).misses(93) == 1


@given(st.sampled_from([0.01, 0.05, 0.1, 0.2, 0.3]), st.integers(0, 300))
def test_conformal_is_the_largest_k_of_its_inequality(alpha, more):
    rule = Conformal(alpha)
    n = rule.needed + more
    k = rule.misses(n)
    assert (k + 1) / (n + 1) <= alpha
    assert k + 1 == n or (k + 2) / (n + 1) > alpha


def test_conformal_keeps_the_miss_rate_on_average():
    rng, rule = np.random.default_rng(2), Conformal(0.1)
    n = 25
    thresholds = np.sort(rng.normal(size=(20_000, n)), axis=1)[:, rule.misses(n)]
    missed = np.mean(rng.normal(size=20_000) < thresholds)
    assert missed == pytest.approx((rule.misses(n) + 1) / (n + 1), abs=0.006)
    assert missed <= 0.1


def test_conformal_refuses_too_few_and_says_how_many():
    assert Conformal(0.05).needed == 19
    with pytest.raises(ArgumentError, match="at least 19 positives, got 18"):
        Conformal(0.05).misses(18)


def test_false_negatives_need_one_positive_more():
    assert FalseNegatives(2).misses(3) == 2
    with pytest.raises(ArgumentError, match="at least 3 positives, got 2"):
        FalseNegatives(2).misses(2)


@pytest.mark.parametrize(
    ("text", "rule", "name"),
    [
        ("0-fn", FalseNegatives(0), "0-fn"),
        ("sensitivity=0.95@0.9", Sensitivity(0.95, 0.9), "sensitivity-95-at-90"),
        ("sensitivity=0.975", Sensitivity(0.975, 0.95), "sensitivity-97-5-at-95"),
        (" conformal=0.05 ", Conformal(0.05), "conformal-5"),
    ],
)
def test_rules_are_read_as_they_are_written(text, rule, name):
    assert parse_rule(text) == rule
    assert rule.name == name


@pytest.mark.parametrize("text", ["", "fn", "x-fn", "-1-fn", "1.5-fn", "sensitivity", "sensitivity=", "sensitivity=95"])
@pytest.mark.parametrize("more", ["", "@", "@1"])
def test_what_is_no_rule_is_refused(text, more):
    with pytest.raises(ArgumentError):
        parse_rule(text + more)


@pytest.mark.parametrize("text", ["sensitivity=0.9@1", "conformal=0", "conformal=nan", "conformal=5", "recall=0.9"])
def test_what_no_rule_can_keep_is_refused(text):
    with pytest.raises(ArgumentError):
        parse_rule(text)


def test_none_asked_for_are_the_usual_three_and_no_two_are_alike():
    assert parse_rules([]) == DEFAULT_RULES
    with pytest.raises(ArgumentError, match="different names"):
        parse_rules(["1-fn", "1-fn"])
