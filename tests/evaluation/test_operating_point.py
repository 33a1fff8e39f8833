"""An operating point keeps its promise on its own scores and says what it is worth."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.operating_point import (
    OperatingPoint,
    OperatingPoints,
    choose_by_rule,
    choose_operating_point,
)
from prostate_alm.evaluation.operating_rules import Conformal, Sensitivity
from prostate_alm.evaluation.roc import fpr_at_false_negatives

scores_of_a_class = st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=15)


@given(scores_of_a_class, scores_of_a_class, st.integers(0, 2))
def test_threshold_keeps_to_its_misses_and_no_higher_one_does(positives, negatives, k):
    scores, labels = positives + negatives, [1] * len(positives) + [0] * len(negatives)
    point = choose_operating_point(scores, labels, false_negatives=k)
    missed = sum(score < point.threshold for score in positives)
    assert missed <= k
    assert point.sensitivity == pytest.approx(1 - missed / len(positives))
    just_above = math.nextafter(point.threshold, math.inf)
    assert sum(score < just_above for score in positives) > k


@given(scores_of_a_class, scores_of_a_class, st.integers(0, 2))
def test_specificity_is_that_of_the_roc_curve(positives, negatives, k):
    scores, labels = positives + negatives, [1] * len(positives) + [0] * len(negatives)
    point = choose_operating_point(scores, labels, false_negatives=k)
    assert 1 - point.specificity == pytest.approx(fpr_at_false_negatives(scores, labels, k))


def test_worked_by_hand():
    scores = [2.0, -1.0, 0.5, 1.5, -3.0, 0.5, -2.0, -0.5]
    labels = [1, 1, 1, 1, 0, 0, 0, 0]
    point = choose_operating_point(scores, labels, false_negatives=1)
    assert point.name == "1-fn"
    assert point.threshold == 0.5
    assert (point.positives, point.negatives, point.false_negatives) == (4, 4, 1)
    assert (point.sensitivity, point.specificity) == (0.75, 0.75)
    assert point.miss_rate_expected == 2 / 5
    # Beta(2, 3) at 0.95: 6 x^2 - 8 x^3 + 3 x^4 = 0.95
    x = point.miss_rate_upper_95
    assert 6 * x**2 - 8 * x**3 + 3 * x**4 == pytest.approx(0.95)


def test_only_a_calibration_set_earns_a_guarantee():
    scores, labels = [0.0, 1.0, 2.0], [0, 1, 1]
    assert choose_operating_point(scores, labels).status == "approximate"
    assert "fewer than the whole ensemble" in choose_operating_point(scores, labels).assumptions
    assert choose_operating_point(scores, labels, evidence="calibration").status == "guaranteed"
    claimed = choose_operating_point(scores, labels).model_dump() | {"status": "guaranteed"}
    with pytest.raises(ValidationError, match="calibration"):
        OperatingPoint.model_validate(claimed)


@pytest.mark.parametrize("k", [2, 3, -1])
def test_too_few_positives_are_refused(k):
    with pytest.raises(ArgumentError, match="positives"):
        choose_operating_point([0.0, 1.0, 2.0], [0, 1, 1], false_negatives=k)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_threshold_must_be_finite(value):
    content = choose_operating_point([0.0, 1.0], [0, 1]).model_dump() | {"threshold": value}
    with pytest.raises(ValidationError, match="threshold"):
        OperatingPoint.model_validate(content)


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    labels = np.repeat([1, 0], [20, 40])
    scores = rng.normal(labels * 2.0)
    return OperatingPoints(points=[choose_operating_point(scores, labels, false_negatives=k) for k in (0, 1, 2)])


def test_points_survive_the_file(points):
    assert OperatingPoints.from_json(points.model_dump_json()) == points
    assert points.names == ["0-fn", "1-fn", "2-fn"]
    assert points.named("1-fn").false_negatives == 1


def test_a_file_of_the_first_version_is_read(points):
    content = json.loads(points.model_dump_json()) | {"schema_version": 1}
    for point in content["points"]:
        for added in ("rule", "target", "confidence"):
            del point[added]
    assert OperatingPoints.from_json(json.dumps(content)).points == points.points


def test_a_rule_sets_k_from_the_number_of_positives_and_says_what_it_claims():
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], [93, 40])
    scores = rng.normal(labels * 2.0)
    kept = choose_by_rule(scores, labels, Sensitivity(0.95, 0.95), evidence="calibration")
    assert (kept.name, kept.false_negatives) == ("sensitivity-95-at-95", 1)
    assert kept.miss_rate_upper_95 <= 0.05
    assert (kept.rule, kept.target, kept.confidence) == ("sensitivity", 0.95, 0.95)
    assert "0.95 confidence" in kept.assumptions
    same = choose_operating_point(scores, labels, false_negatives=1)
    assert kept.threshold == same.threshold
    on_average = choose_by_rule(scores, labels, Conformal(0.05))
    assert (on_average.false_negatives, on_average.status) == (3, "approximate")
    assert on_average.miss_rate_expected == 4 / 94
    assert "marginal" in on_average.assumptions
    assert "fewer than the whole ensemble" in on_average.assumptions


def test_a_rule_refuses_too_few_positives():
    with pytest.raises(ArgumentError, match="at least 59 positives, got 2"):
        choose_by_rule([0.0, 1.0, 2.0], [0, 1, 1], Sensitivity(0.95, 0.95))


def test_an_unknown_name_lists_the_choices(points):
    with pytest.raises(ArgumentError, match=r"`3-fn`.*0-fn, 1-fn, 2-fn"):
        points.named("3-fn")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"schema_version": 3}, "schema_version` 3, this release reads 1 and 2"),
        ({"schema_version": "new"}, "schema_version"),
        ({"points": []}, "points"),
        ({"extra": 1}, "extra"),
    ],
)
def test_a_wrong_file_is_refused_by_field(points, change, field):
    content = json.loads(points.model_dump_json()) | change
    with pytest.raises(EnsembleError, match=field):
        OperatingPoints.from_json(json.dumps(content))


@pytest.mark.parametrize("content", [b"", b"not json", b"[]", b"\xff\xfe"])
def test_a_file_of_something_else_is_refused(content):
    with pytest.raises(EnsembleError, match="malformed"):
        OperatingPoints.from_json(content)


def test_two_points_of_one_name_are_refused(points):
    content = json.loads(points.model_dump_json())
    content["points"][1]["name"] = "0-fn"
    with pytest.raises(EnsembleError, match="different names"):
        OperatingPoints.from_json(json.dumps(content))


def test_a_threshold_that_is_not_a_number_is_refused_in_the_file(points):
    content = points.model_dump_json().replace(str(points.points[0].threshold), "NaN")
    with pytest.raises(EnsembleError, match="malformed"):
        OperatingPoints.from_json(content)
