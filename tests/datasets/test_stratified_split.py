"""Each fold gets its share of the few, whatever the cohort; a patient is never divided."""

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.commands.cohort_split import split_cohort
from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.splits import member_split
from prostate_alm.datasets.stratified_split import deal_folds, draw_test_patients, split_datalist
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


def test_a_split_datalist_is_taken_at_its_word_by_the_members(cohort: Path, tmp_path: Path) -> None:
    """18 patients to train on, 6 of them positive, and a test side of 6 with 2."""
    split = split_datalist(read_datalist(cohort), folds=3, test_share=None, seed=4)
    assert [entry.study for entry in split.test] == [entry.study for entry in read_datalist(cohort).test]
    entries = [entry.model_dump() for entry in split.training]
    for member in range(3):
        _, validation = member_split(entries, member=member, repeats=1, folds=3, seed=0)
        assert sum(entry["label"] for entry in validation) == 2
        assert {entry["fold"] for entry in validation} == {member}


def test_a_new_test_side_is_drawn_from_everyone(cohort: Path) -> None:
    before = read_datalist(cohort)
    split = split_datalist(before, folds=2, test_share=0.5, seed=4)
    assert len(split.test) == 12
    assert sum(entry.label for entry in split.test) == 4
    assert all(entry.fold is None for entry in split.test)
    indices = sorted(entry.index for entry in [*split.training, *split.test])
    assert indices == sorted(entry.index for entry in [*before.training, *before.test])


def test_the_import_keeps_its_datalist(cohort: Path, tmp_path: Path) -> None:
    """It writes it anew, and would drop the folds without a word."""
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.parent, folder)
    datalist = folder / "datalist.json"
    split_cohort(datalist, datalist, folds=2, test_share=None, seed=0)
    (folder / "import_report.json").write_text("{}")
    before = datalist.read_bytes()
    with pytest.raises(CohortError, match=r"another name, such as split\.json"):
        split_cohort(datalist, datalist, folds=3, test_share=None, seed=0)
    assert datalist.read_bytes() == before
    split_cohort(datalist, folder / "split.json", folds=3, test_share=None, seed=0)


def test_the_command_writes_beside_the_datalist_and_nowhere_else(
    cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "cohort"
    shutil.copytree(cohort.parent, folder)
    with pytest.raises(CohortError, match="must lie beside"):
        split_cohort(folder / "datalist.json", tmp_path / "out.json", folds=3, test_share=None, seed=0)
    split_cohort(folder / "datalist.json", folder / "split.json", folds=3, test_share=None, seed=0)
    assert "fold 0: 6 studies; patients with label 1: 2, with label 0: 4" in capsys.readouterr().out
    assert {entry["fold"] for entry in read_datalist(folder / "split.json").entries("training")} == {0, 1, 2}


def test_patients_who_may_be_one_person_stay_together() -> None:
    entries = make_entries(40, 20)
    entries = [{**entry, "person": f"q{int(entry['patient'][1:]) % 30}"} for entry in entries]
    fold_of = deal_folds(entries, folds=5, seed=1)
    assert all(fold_of[f"p{number}"] == fold_of[f"p{number + 30}"] for number in range(30))
    drawn = draw_test_patients(entries, share=0.25, seed=1)
    assert drawn
    assert all((f"p{number}" in drawn) == (f"p{number + 30}" in drawn) for number in range(30))


def test_one_entry_that_names_the_person_speaks_for_its_patient() -> None:
    entries = make_entries(40, 20)
    entries[1]["person"] = entries[-1]["person"] = "q"
    fold_of = deal_folds(entries, folds=5, seed=1)
    assert fold_of[entries[1]["patient"]] == fold_of[entries[-1]["patient"]]
    assert set(fold_of) == {entry["patient"] for entry in entries}
