"""Where the headers and the label table disagree on who is one patient."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence

from prostate_alm.datasets.import_report import ConflictKind, LabelConflict
from prostate_alm.datasets.label_table import LabelRow
from prostate_alm.datasets.study_keys import StudyKey

LARGEST_PERSON = 4  # patients; more under one name or one PatientID are the work of an anonymiser

Rows = Sequence[LabelRow]


def identity_conflicts(
    rows: Rows, keys: Mapping[int, StudyKey], *, patient_ids: Mapping[int, str], persons: Mapping[int, str]
) -> list[LabelConflict]:
    """What a person should look at: shared PatientIDs, then shared names, then patients with several PatientIDs.

    Of each kind, training against test comes first.

    Args:
        rows: of the label table.
        keys: of each row, by its line.
        patient_ids: hash of the PatientID of each row whose headers state one, by its line.
        persons: hash of name and birth date, likewise.
    """
    differ = _groups(_by(rows, {row.line: row.patient for row in rows if row.line in patient_ids}), patient_ids)
    return [
        *(_conflict(ConflictKind.PATIENT_ID_SHARED, one, keys) for one in _shared(rows, patient_ids)),
        *(_conflict(ConflictKind.PERSON_SHARED, one, keys) for one in _of_one_person(rows, patient_ids, persons)),
        *(_conflict(ConflictKind.PATIENT_IDS_DIFFER, one, keys) for one in differ),
    ]


def persons_of_patients(
    rows: Rows,
    keys: Mapping[int, StudyKey],
    *,
    patient_ids: Mapping[int, str],
    persons: Mapping[int, str],
    known: Mapping[str, str],
) -> dict[str, str]:
    """The patients, by key, who may be one person, each with the key that stands for that person: the least of theirs.

    One PatientID or one name of more than `LARGEST_PERSON` patients is nobody's.

    Args:
        rows: of the label table.
        keys: of each row, by its line.
        patient_ids: as for `identity_conflicts`.
        persons: likewise.
        known: what an earlier import found, to be kept.
    """
    whole: dict[str, frozenset[str]] = {}
    for person in set(known.values()):
        joined = frozenset({person, *(patient for patient, its in known.items() if its == person)})
        whole |= dict.fromkeys(joined, joined)
    for theirs in [*_shared(rows, patient_ids), *_of_one_person(rows, patient_ids, persons)]:
        patients = frozenset(keys[row.line].patient_key for row in theirs)
        if len(patients) <= LARGEST_PERSON:
            joined = patients.union(*(whole.get(patient, ()) for patient in patients))
            whole |= dict.fromkeys(joined, joined)
    return {patient: min(joined) for patient, joined in whole.items()}


def _shared(rows: Rows, patient_ids: Mapping[int, str]) -> list[Rows]:
    """Rows of several patients with one PatientID."""
    return _groups(_by(rows, patient_ids), {row.line: row.patient for row in rows})


def _of_one_person(rows: Rows, patient_ids: Mapping[int, str], persons: Mapping[int, str]) -> list[Rows]:
    """Rows of several patients, not too many, and of several PatientIDs, with one name and birth date."""
    found = _groups(_by(rows, persons), {row.line: row.patient for row in rows})
    return [
        theirs
        for theirs in found
        if len({row.patient for row in theirs}) <= LARGEST_PERSON
        and (len(ids := {patient_ids.get(row.line, "") for row in theirs}) > 1 or ids == {""})
    ]


def _by(rows: Rows, values: Mapping[int, Hashable]) -> Iterable[Rows]:
    """Rows with the same value; those without one are left out."""
    groups: defaultdict[Hashable, list[LabelRow]] = defaultdict(list)
    for row in rows:
        if row.line in values:
            groups[values[row.line]].append(row)
    return groups.values()


def _groups(groups: Iterable[Rows], values: Mapping[int, Hashable]) -> list[Rows]:
    """The groups whose rows differ in a value, those of several sides first."""
    differing = [group for group in groups if len({values[row.line] for row in group}) > 1]
    return sorted(differing, key=lambda group: len({row.split for row in group}), reverse=True)


def _conflict(kind: ConflictKind, rows: Rows, keys: Mapping[int, StudyKey]) -> LabelConflict:
    return LabelConflict(
        kind=kind,
        keys=[keys[row.line].study_key for row in rows],
        lines=[row.line for row in rows],
        message=_message(kind, rows, keys),
    )


def _message(kind: ConflictKind, rows: Rows, keys: Mapping[int, StudyKey]) -> str:
    if kind is ConflictKind.PATIENT_IDS_DIFFER:
        return f"patient {keys[rows[0].line].patient_key} has studies of different PatientIDs; is it one person?"
    across = _across(rows)
    if kind is ConflictKind.PATIENT_ID_SHARED:
        return (
            f"{len(rows)} studies have one PatientID and different patients in the label table{across}; give them one "
            "`patient`, unless the export gave strangers one PatientID."
        )
    return (
        f"{len(rows)} studies have one name and one birth date under different PatientIDs, and different patients in "
        f"the label table{across}; give them one `patient`, unless they are of namesakes."
    )


def _across(rows: Rows) -> str:
    """On which sides, or in which folds, they would come apart."""
    if len({row.split for row in rows}) > 1:
        return ", in training and in test"
    folds = {str(row.columns().get("fold", "")) for row in rows} - {""}
    return ", in different folds" if len(folds) > 1 else ""
