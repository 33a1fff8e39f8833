"""Who is one patient by the headers and another by the table: told, the worst first, and never by name."""

from collections.abc import Mapping

import pytest

from prostate_alm.datasets.import_identities import LARGEST_PERSON, identity_conflicts, persons_of_patients
from prostate_alm.datasets.import_report import ConflictKind
from prostate_alm.datasets.label_table import LabelRow
from prostate_alm.datasets.study_keys import StudyKey


def rows_of(*patients: str, **columns: str) -> list[LabelRow]:
    """One row for each study, of these patients; `columns` holds a letter for each row."""
    named = {"split": {"t": "test", ".": "training"}}
    return [
        LabelRow._at(
            number + 2,
            {"study": f"s{number}", "patient": patient, "label": "0"}
            | {name: named.get(name, {}).get(cells[number], cells[number]) for name, cells in columns.items()},
        )
        for number, patient in enumerate(patients)
    ]


def keys_of(rows: list[LabelRow]) -> dict[int, StudyKey]:
    return {row.line: StudyKey(row.line, f"k-{row.study}", f"k-{row.patient}", row.study, row.patient) for row in rows}


def conflicts(rows: list[LabelRow], ids: str, persons: str) -> list[tuple[ConflictKind, list[int]]]:
    """A letter for each row names its PatientID, and its person; a dot none."""
    found = identity_conflicts(rows, keys_of(rows), patient_ids=by_line(ids), persons=by_line(persons))
    return [(one.kind, one.lines) for one in found]


def people(rows: list[LabelRow], ids: str, persons: str, known: Mapping[str, str] | None = None) -> dict[str, str]:
    return persons_of_patients(
        rows, keys_of(rows), patient_ids=by_line(ids), persons=by_line(persons), known=known or {}
    )


def by_line(letters: str) -> dict[int, str]:
    return {number + 2: letter for number, letter in enumerate(letters) if letter != "."}


def test_one_name_under_two_patient_ids_is_a_conflict() -> None:
    assert conflicts(rows_of("a", "b", "c"), "123", "xyx") == [(ConflictKind.PERSON_SHARED, [2, 4])]
    assert conflicts(rows_of("a", "b"), "..", "xx") == [(ConflictKind.PERSON_SHARED, [2, 3])]
    assert conflicts(rows_of("a", "b"), "1.", "xx") == [(ConflictKind.PERSON_SHARED, [2, 3])]


@pytest.mark.parametrize(
    ("patients", "ids", "persons", "expected"),
    [
        ("ab", "12", "xy", []),
        ("ab", "12", "..", []),  # anonymised
        ("aa", "11", "xx", []),
        ("aa", "12", "xx", [ConflictKind.PATIENT_IDS_DIFFER]),
        ("ab", "11", "xx", [ConflictKind.PATIENT_ID_SHARED]),  # told once
    ],
)
def test_what_the_table_says_already_is_none(
    patients: str, ids: str, persons: str, expected: list[ConflictKind]
) -> None:
    assert [kind for kind, _ in conflicts(rows_of(*patients), ids, persons)] == expected


def test_a_name_of_many_is_an_anonymisers() -> None:
    patients = "abcdefgh"[: LARGEST_PERSON + 1]
    assert conflicts(rows_of(*patients), "12345678"[: len(patients)], "x" * len(patients)) == []
    assert people(rows_of(*patients), "1" * len(patients), "." * len(patients)) == {}


def test_training_against_test_comes_first_and_is_named() -> None:
    rows = rows_of("a", "b", "c", "d", split="...t")
    assert conflicts(rows, "1234", "xxyy") == [
        (ConflictKind.PERSON_SHARED, [4, 5]),
        (ConflictKind.PERSON_SHARED, [2, 3]),
    ]
    first, second = identity_conflicts(rows, keys_of(rows), patient_ids=by_line("1234"), persons=by_line("xxyy"))
    assert "in training and in test" in first.message
    assert "in t" not in second.message.replace("in the label table", "")


def test_different_folds_are_named() -> None:
    (told,) = identity_conflicts(
        rows := rows_of("a", "b", fold="01"), keys_of(rows), patient_ids=by_line("12"), persons=by_line("xx")
    )
    assert "in different folds" in told.message
    (told,) = identity_conflicts(
        rows := rows_of("a", "b", fold="11"), keys_of(rows), patient_ids=by_line("12"), persons=by_line("xx")
    )
    assert "folds" not in told.message


def test_patients_who_may_be_one_share_the_least_key() -> None:
    rows = rows_of("c", "a", "b", "d")
    assert people(rows, "1234", "xx.y") == {"k-c": "k-a", "k-a": "k-a"}
    assert people(rows, "1223", "xx..") == dict.fromkeys(("k-c", "k-a", "k-b"), "k-a")  # through a shared PatientID
    assert people(rows, "1234", "....") == {}


def test_what_was_known_is_kept_and_joined() -> None:
    rows = rows_of("b", "c")
    known = {"k-b": "k-a"}  # of a patient who is no longer there
    assert people(rows, "12", "..", known) == {"k-b": "k-a", "k-a": "k-a"}
    assert people(rows, "12", "xx", known) == dict.fromkeys(("k-a", "k-b", "k-c"), "k-a")
