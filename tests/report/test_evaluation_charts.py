"""Pictures hold what they are given: no patient is rounded away, no text is markup."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.evaluation.delong import AucInterval
from prostate_alm.evaluation.predictive import OfHundred
from prostate_alm.report import evaluation_charts as charts
from prostate_alm.report.charts import Chart


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_hundred_patients_stay_a_hundred_and_a_miss_stays_one(prevalence, sensitivity, specificity):
    table = OfHundred(
        prevalence=prevalence, spared=100 * (1 - prevalence) * specificity, found=100 * prevalence * sensitivity,
        recalled=100 * (1 - prevalence) * (1 - specificity), missed=100 * prevalence * (1 - sensitivity),
        missed_upper_95=100 * prevalence,
    )  # fmt: skip
    whole = charts.whole_hundred(table)
    assert sum(whole.values()) == 100
    assert min(whole.values()) >= 0
    assert whole["missed"] >= table.missed - 1e-6
    assert all(abs(whole[kind] - getattr(table, kind)) < 2 for kind in whole)


def test_every_chart_is_well_formed_and_says_what_it_shows(sample: SimpleNamespace) -> None:
    record = sample.record
    pictures = [
        charts.roc_chart(record, sample.logits, sample.labels),
        charts.score_chart(record, sample.logits, sample.labels),
        charts.calibration_chart(record),
        charts.decision_chart(record),
        charts.hundred_chart(record.fixed_thresholds[0].whole_decision.prevalences[0].of_hundred),
        charts.forest_row(AucInterval(0.4, 0.1, 0.2, 0.6), 0.7),
    ]
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label")
        assert "nan" not in picture


def test_equal_scores_still_make_a_chart(sample: SimpleNamespace) -> None:
    point = sample.record.fixed_thresholds[0]
    at = point.model_copy(update={"point": point.point.model_copy(update={"threshold": 1.0})})
    record = sample.record.model_copy(update={"fixed_thresholds": [at]})
    ElementTree.fromstring(charts.score_chart(record, np.ones(4), np.array([0, 1, 0, 1])))


def test_places_and_marks(capsys: pytest.CaptureFixture[str]) -> None:
    chart = Chart("<a> & b", (0.0, 10.0), (0.0, 1.0), width=100, height=100, left=10, right=10, top=10, bottom=10)
    assert chart.place((0.0, 0.0)) == (10, 90)
    assert chart.place((10.0, 1.0)) == (90, 10)
    assert chart.place((5.0, 0.5)) == (50, 50)
    chart.text_((0, 0), "<script>", css="note")
    assert "<script>" not in chart.svg()
    assert ElementTree.fromstring(chart.svg()).get("aria-label") == "<a> & b"


def test_the_roc_curve_keeps_its_corners_alone() -> None:
    fpr, tpr = [0, 0, 0, 0.5, 1, 1], [0, 0.25, 0.5, 0.5, 0.5, 1]
    assert charts._staircase(fpr, tpr) == [(0, 0), (0, 0.5), (1, 0.5), (1, 1)]
