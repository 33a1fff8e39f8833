"""Folds are stratified, never split a patient, and score each patient equally often."""

from collections import Counter
from typing import Any

import pytest

from prostate_alm.datasets.splits import member_split
from prostate_alm.errors import ArgumentError, CohortError


def make_entries(patients: int = 50, positives: int = 18) -> list[dict[str, Any]]:
    """Every third patient has two studies."""
    studies = [(patient, visit) for patient in range(patients) for visit in range(2 if patient % 3 == 0 else 1)]
    return [
        {"index": i, "study": f"s{i}", "patient": f"p{patient}", "label": int(patient < positives)}
        for i, (patient, _) in enumerate(studies)
    ]


@pytest.mark.parametrize(("repeats", "folds"), [(1, 3), (2, 5)])
def test_every_study_is_validated_once_a_repeat(repeats: int, folds: int) -> None:
    entries = make_entries()
    seen: Counter[int] = Counter()
    for member in range(repeats * folds):
        training, validation = member_split(entries, member=member, repeats=repeats, folds=folds, seed=1)
        seen.update(entry["index"] for entry in validation)
        assert not {e["patient"] for e in training} & {e["patient"] for e in validation}
        assert len(training) + len(validation) == len(entries)
        assert {e["label"] for e in validation} == {0, 1}
    assert set(seen.values()) == {repeats}


def test_repeats_differ_and_a_seed_repeats() -> None:
    def first_validation(member: int, seed: int) -> list[int]:
        split = member_split(make_entries(), member=member, repeats=2, folds=5, seed=seed)
        return [entry["index"] for entry in split[1]]

    assert first_validation(0, 1) == first_validation(0, 1)
    assert first_validation(0, 1) != first_validation(5, 1)
    assert first_validation(0, 1) != first_validation(0, 2)


def test_a_fold_column_is_used_as_it_stands() -> None:
    entries = [{**entry, "fold": int(entry["patient"][1:]) % 2} for entry in make_entries()]
    _, validation = member_split(entries, member=1, repeats=1, folds=2, seed=0)
    assert {entry["fold"] for entry in validation} == {1}
    with pytest.raises(CohortError, match="folds 0 to 2"):
        member_split(entries, member=0, repeats=1, folds=3, seed=0)


def test_a_fold_column_that_splits_a_patient_is_refused() -> None:
    entries = [{**entry, "fold": i % 2} for i, entry in enumerate(make_entries())]
    with pytest.raises(CohortError, match="more than one fold"):
        member_split(entries, member=0, repeats=1, folds=2, seed=0)


def test_too_few_positives_are_refused() -> None:
    with pytest.raises(CohortError, match="too few of one"):
        member_split(make_entries(positives=2), member=0, repeats=1, folds=5, seed=0)
    with pytest.raises(ArgumentError, match="member"):
        member_split(make_entries(), member=5, repeats=1, folds=5, seed=0)


def test_patients_who_may_be_one_person_stay_together() -> None:
    entries = [{**entry, "person": f"q{int(entry['patient'][1:]) // 2}"} for entry in make_entries()]
    training, validation = member_split(entries, member=0, repeats=1, folds=5, seed=1)
    assert not {e["person"] for e in training} & {e["person"] for e in validation}
