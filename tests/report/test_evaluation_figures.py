"""The figures of an evaluation against the scores they come from."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from prostate_alm.evaluation.confusion import confusion
from prostate_alm.evaluation.roc import auc, fpr_at_false_negatives
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.report.evaluation_figures import (
    Decided,
    Scored,
    calibration_figures,
    cautions,
    kinds_of_positives,
    subgroups,
)


def test_the_oracle_stands_apart_and_without_places_that_miss_everybody(sample: SimpleNamespace) -> None:
    rates = {rate.at: rate for rate in sample.record.discrimination.test_set_oracle}
    assert list(rates) == ["0 FN", "1 FN", "2 FN", "5 FN", "TPR 90 %", "TPR 95 %", "TPR 98 %"]
    assert rates["2 FN"].value == fpr_at_false_negatives(sample.logits, sample.labels, 2)
    assert [rates[at].reliable for at in ("0 FN", "5 FN")] == [False, True]
    assert "inconsistent" in rates["0 FN"].note


def test_members_and_ensemble_have_their_own_auc(sample: SimpleNamespace) -> None:
    found = sample.record.discrimination
    assert found.auc.auc == pytest.approx(auc(sample.logits, sample.labels))
    assert [member.auc for member in found.members] == [found.auc.auc] * 2  # a shift ranks alike


def test_a_temperature_comes_from_the_validation_scores_and_leaves_the_ranks(sample: SimpleNamespace) -> None:
    calm = ValidationScores.of([-3.0, -1.0, 1.0, 3.0, -1.0, 1.0], [0, 0, 1, 1, 1, 0], evidence="calibration")
    found = calibration_figures(sample.scored, calm)
    stretched = calibration_figures(
        sample.scored, ValidationScores.of(10 * calm.logits, calm.labels, evidence="calibration")
    )
    assert found.temperature is not None
    assert stretched.temperature == pytest.approx(10 * found.temperature)
    assert found.before == stretched.before
    assert (found.fitted_on, found.fitted_patients) == ("calibration", 6)
    apart = ValidationScores.of([-1.0, 1.0], [0, 1], evidence="calibration")
    none = calibration_figures(sample.scored, apart)
    assert none.temperature is None
    assert none.after is None
    assert "right side" in none.note


@pytest.fixture
def decided() -> Decided:
    """24 positives, 24 negatives; every third negative is spared."""
    labels = np.repeat([1, 0], 24)
    logits = np.where(labels == 1, 2.0, np.arange(48) % 3 - 1.0)
    return Decided(logits, labels, logits >= 0.0)


def test_groups_are_counted_and_small_ones_have_no_auc(decided: Decided) -> None:
    rows = subgroups("vendor", ["a"] * 24 + ["b"] * 2 + ["a"] * 20 + [""] * 2, decided)
    assert [(row.group, row.studies, row.positives) for row in rows] == [("a", 44, 24), ("b", 2, 0), ("unknown", 2, 0)]
    assert rows[0].auc is not None
    assert rows[0].auc.auc == 1.0
    assert rows[1].auc is None
    assert "too few" in rows[1].note
    assert rows[1].sensitivity.value is None


def test_one_group_is_no_subgroup_and_many_are_gathered(decided: Decided) -> None:
    assert subgroups("vendor", ["a"] * 48, decided) == []
    rows = subgroups("site", [str(i) for i in range(48)], decided)
    assert (len(rows), rows[-1].group) == (12, "other")
    assert sum(row.studies for row in rows) == 48


def test_a_study_without_a_score_counts_in_the_decision_and_not_in_the_auc(decided: Decided) -> None:
    logits = decided.logits.copy()
    logits[:20] = np.nan
    (row, _) = subgroups("vendor", ["a"] * 47 + ["b"], dataclasses.replace(decided, logits=logits))
    assert row.positives == 24
    assert row.auc is None
    assert "4 positives" in row.note


def test_each_kind_of_positive_stands_against_all_negatives(decided: Decided) -> None:
    kinds = ["lesion"] * 14 + ["quality"] * 10 + ["lesion"] * 24
    rows = kinds_of_positives(kinds, decided)
    assert [(row.group, row.studies, row.positives) for row in rows] == [("lesion", 38, 14), ("quality", 34, 10)]


def test_a_test_set_that_contradicts_the_bound_is_called_out(sample: SimpleNamespace) -> None:
    one = sample.record.fixed_thresholds[0]
    few = {"positives": 30, "negatives": 300}
    calibrated = sample.record.calibration
    assert not [told for told in cautions(few, [one], calibration=calibrated) if "Do not use it" in told]
    missed = confusion([False] * 20 + [True] * 10 + [False] * 5, [1] * 30 + [0] * 5)
    worse = one.model_copy(update={"model_alone": one.model_alone.model_copy(update={"counts": missed})})
    told = cautions(few, [worse], calibration=calibrated.model_copy(update={"after": None}))
    assert [text for text in told if "`0-fn`" in text and "Do not use it here" in text]
    assert [text for text in told if "30 positives are few" in text]
    assert [text for text in told if "No temperature" in text]


def test_a_temperature_that_does_harm_is_called_out(sample: SimpleNamespace) -> None:
    many, one = {"positives": 300, "negatives": 300}, sample.record.calibration.before
    for brier, harm in ((one.brier + 0.1, True), (one.brier, False)):
        found = sample.record.calibration.model_copy(update={"after": one.model_copy(update={"brier": brier})})
        assert any("made the probabilities worse" in told for told in cautions(many, [], calibration=found)) == harm


def test_scored_counts_its_positives() -> None:
    assert Scored(np.zeros(3), np.zeros((1, 3)), np.array([1, 0, 1])).positives == 2
