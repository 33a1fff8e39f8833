"""Each fold gets its share of the few, whatever the cohort; a patient is never divided."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.datasets.stratified_split import deal_folds, draw_test_patients
from prostate_alm.errors import ArgumentError, CohortError


def make_entries(negatives: int, positives: int) -> list[dict[str, Any]]:
    """Every third patient has a second study, of the other label in every ninth."""
    entries: list[dict[str, Any]] = []
    for number in range(negatives + positives):
        label = int(number < positives)
        entries.append({"patient": f"p{number}", "label": label})
        if number % 3 == 0:
            entries.append({"patient": f"p{number}", "label": 0})
    return entries


@given(folds=st.integers(2, 10), positives=st.integers(10, 60), negatives=st.integers(10, 200), seed=st.integers(0, 99))
def test_positive_and_negative_patients_of_the_folds_differ_by_at_most_one(
    folds: int, positives: int, negatives: int, seed: int
) -> None:
    fold_of = deal_folds(make_entries(negatives, positives), folds=folds, seed=seed)
    for first, last in ((0, positives), (positives, positives + negatives), (0, positives + negatives)):
        counts = Counter(fold_of[f"p{number}"] for number in range(first, last))
        assert len(counts) == folds
        assert max(counts.values()) - min(counts.values()) <= 1


@pytest.mark.parametrize("positives", [13, 36])
def test_the_test_side_gets_its_share(positives: int) -> None:
    drawn = draw_test_patients(make_entries(100 - positives, positives), share=0.25, seed=1)
    counted = sum(int(patient[1:]) < positives for patient in drawn)
    assert abs(counted - 0.25 * positives) <= 0.5
    assert abs(len(drawn) - 25) <= 1


def test_a_seed_repeats_and_another_differs() -> None:
    entries = make_entries(40, 20)
    assert deal_folds(entries, folds=5, seed=1) == deal_folds(entries, folds=5, seed=1)
    assert deal_folds(entries, folds=5, seed=1) != deal_folds(entries, folds=5, seed=2)


def test_too_few_are_refused() -> None:
    with pytest.raises(CohortError, match="label 1, there are 4"):
        deal_folds(make_entries(40, 4), folds=5, seed=0)
    with pytest.raises(CohortError, match="leaves no patient with label 1"):
        draw_test_patients(make_entries(40, 1), share=0.2, seed=0)
    with pytest.raises(ArgumentError):
        deal_folds(make_entries(40, 4), folds=1, seed=0)
    with pytest.raises(ArgumentError):
        draw_test_patients(make_entries(40, 4), share=1.0, seed=0)
