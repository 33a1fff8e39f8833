"""Import a cohort: studies as DICOM, NIfTI or MHA and a label table become NIfTI, a datalist and a report.

Outputs name studies and patients by keys; the keys file beside the cohort alone knows whose they are. What can't be
read, or is no good study, is left out and listed with its reason.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from prostate_alm.datasets.datalist import FILE_FIELDS, Datalist, make_datalist
from prostate_alm.datasets.import_identities import identity_conflicts, persons_of_patients
from prostate_alm.datasets.import_page import write_import_report
from prostate_alm.datasets.import_report import (
    ConflictKind,
    DuplicateKind,
    ImportReport,
    LabelConflict,
    NearDuplicate,
    StudyRecord,
    make_import_report,
)
from prostate_alm.datasets.label_table import LabelRow, LabelTable, read_label_table
from prostate_alm.datasets.near_duplicates import Descriptor, Pair, find
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.datasets.study_folders import EXCLUDED, KEPT, discard, discard_others, keys_in, locked
from prostate_alm.datasets.study_import import ImportedStudy, StudyTask, finished_study, import_study, told_state
from prostate_alm.datasets.study_keys import StudyKey, assign_keys, default_keys_file, read_keys
from prostate_alm.datasets.study_sources import Resolution, resolve_sources
from prostate_alm.errors import ArgumentError, CohortError, Reason
from prostate_alm.parcel import write_json

DATALIST = "datalist.json"
NAME = "imported"  # of the datalist: the folder's own name could tell whose it is


@dataclass(frozen=True)
class _Row:
    """A row with its key and what became of its study, in an earlier import where its files are gone."""

    label: LabelRow
    key: StudyKey
    imported: ImportedStudy
    gone: ConflictKind | None = None

    @property
    def record(self) -> StudyRecord:
        """What the report says of it."""
        return StudyRecord(
            key=self.key.study_key,
            patient=self.key.patient_key,
            index=self.key.index,
            label=1 if self.label.label == "1" else 0,
            split=self.label.split,
            **self.imported.record,
        )

    def entry(self, people: Mapping[str, str]) -> dict[str, Any]:
        """Its datalist entry, with the person where its patient may be the same one as others."""
        facts, key = self.imported.entry, self.key
        files = {name: f"{KEPT}/{key.study_key}/{facts[name]}" for name in FILE_FIELDS}
        identity = {"index": key.index, "study": key.study_key, "patient": key.patient_key}
        person = {"person": people[key.patient_key]} if key.patient_key in people else {}
        return {**identity, **person, "label": int(self.label.label), **facts, **files, **self.label.columns()}


def import_dicom_cohort(
    dicom: Path,
    labels: Path,
    out: Path,
    *,
    workers: int = 1,
    keys: Path | None = None,
    strict: bool = False,
    prune: bool = False,
    keep: Sequence[str] = (),
) -> ImportReport:
    """Read every study that a row of the label table names and write the cohort below `out`.

    A study that was imported before, from the same files with the same choice of series, is not touched. One that was
    kept before and whose files are gone stays in the cohort.

    Args:
        dicom: folder of the studies; see `resolve_sources` for how rows find them.
        labels: the label table.
        out: folder of the cohort.
        workers: processes; each holds one study in memory.
        keys: the private keys file; None takes `OUT.keys.csv` beside `out`.
        strict: exclude also what is merely poor: motion, metal, a small field of view, contrast given.
        keep: further columns of the label table that go into the datalist.
        prune: remove the folders of finished studies that no row names any more; else they are only left out.

    Returns:
        What was written to `import_report.json`.

    Raises:
        ArgumentError: `dicom` is no folder, or one of `dicom` and `out` lies in the other.
        CohortError: the label table or the keys file can't be used, two rows lead to one study, none to any, another
            import is at work, a file can't be read or written, or no study was kept.
    """
    if not dicom.is_dir():
        raise ArgumentError("`dicom` must be a folder of studies, and there is none at the path given.")
    keys_file = keys or default_keys_file(out)
    _check_apart(dicom, out)
    table = read_label_table(labels, keep)
    _check_keys_file(keys_file, out)
    with _nameless(), locked(out):
        with Console(stderr=True).status("looking for the studies of the label table"):
            resolution = resolve_sources(dicom, table.rows)
        if not resolution.sources and not resolution.ambiguous:
            raise CohortError(
                "no row of the label table matches a study below `--dicom`, and nothing was changed; is it the right "
                "folder, and the disk there?"
            )
        keyed = dict(zip([row.line for row in table.rows], assign_keys(keys_file, table.rows), strict=True))
        rows = _import_rows(out, table, resolution, keyed, workers=workers, strict=strict)
        _discard_old(out, rows, {one.study_key for one in keyed.values()} if prune else None)
        abandoned = keys_in(out) - {one.study_key for one in keyed.values()}
        report = _report(rows, table, resolution, keyed, folders_without_row=len(abandoned))
        known = _known_persons(out / DATALIST) if any(row.gone for row in rows) else {}
        people = persons_of_patients(
            table.rows, keyed, patient_ids=resolution.patient_ids, persons=resolution.persons, known=known
        )
        _write_outputs(out, rows, report, people)
    if not report.kept:
        raise CohortError(f"none of {report.found} studies could be kept; import_report.html says why.")
    return report


@contextmanager
def _nameless() -> Iterator[None]:
    """Turn an error of the file system into one that names no file, for its name may be a patient's."""
    try:
        yield
    except OSError as error:
        raise CohortError(
            f"a file or folder can't be read or written ({error.strerror or type(error).__name__}); check the disk and "
            "your rights. The same command goes on from here."
        ) from None


def _check_apart(dicom: Path, out: Path) -> None:
    source, target = dicom.resolve(), out.resolve()
    if target.is_relative_to(source) or source.is_relative_to(target):
        raise ArgumentError(
            "`--dicom` and `--out` must lie apart, or the next import takes the cohort for studies; choose another "
            "folder for `--out`."
        )


def _check_keys_file(keys: Path, out: Path) -> None:
    """Refuse to draw new keys for a cohort that has some, or to put the keys into the cohort."""
    if keys.resolve().is_relative_to(out.resolve()):
        raise CohortError("the keys file must lie outside the folder of `--out`, which may be given away; move it.")
    unknown = keys_in(out) - {key.study_key for key in read_keys(keys)}
    if unknown and not keys.exists():
        raise CohortError(
            f"the folder of `--out` holds a cohort, and its keys file is not at `{keys.name}` beside it; name the file "
            "with `--keys`, or import into a new folder."
        )
    if unknown:
        raise CohortError(
            f"the folder of `--out` holds {len(unknown)} studies that the keys file does not know: it is of another "
            "cohort. Name the right one with `--keys`, or import into a new folder."
        )


def _import_rows(
    out: Path, table: LabelTable, resolution: Resolution, keys: Mapping[int, StudyKey], *, workers: int, strict: bool
) -> list[_Row]:
    """Import what is there; the rows that have an input, in the order of their indices."""
    found = [row for row in table.rows if row.line in resolution.sources]
    tasks = [
        StudyTask(keys[row.line].study_key, resolution.sources[row.line], row.series_choice(), row.high_b, strict)
        for row in found
    ]
    results = in_processes(partial(import_study, out), tasks, workers=workers, title="importing studies")
    rows = [_Row(row, keys[row.line], result) for row, result in zip(found, results, strict=True)]
    ambiguous = [row for row in table.rows if row.line in resolution.ambiguous]
    rows += [_Row(row, keys[row.line], _ambiguous(resolution.ambiguous[row.line])) for row in ambiguous]
    for row in table.rows:
        if row.line in resolution.missing:
            before = finished_study(out / KEPT / keys[row.line].study_key)
            if before is not None:
                as_told = before.told == told_state(row.series_choice(), row.high_b, strict=strict)
                gone = ConflictKind.SOURCE_GONE if as_told else ConflictKind.SOURCE_GONE_OUTDATED
                rows.append(_Row(row, keys[row.line], before, gone))
    return sorted(rows, key=lambda row: row.key.index)


def _known_persons(datalist: Path) -> dict[str, str]:
    """The persons of an earlier import, which headers that are gone can't tell any more."""
    if not datalist.is_file():
        return {}
    before = Datalist.model_validate_json(datalist.read_bytes())
    return {one.patient: one.person for one in [*before.training, *before.test] if one.person is not None}


def _ambiguous(message: str) -> ImportedStudy:
    return ImportedStudy("", {"kept": False, "reason": Reason.STUDY_AMBIGUOUS, "message": message})


def _discard_old(out: Path, rows: Sequence[_Row], prune_to: Collection[str] | None) -> None:
    """Remove what a study was before, kept or excluded, and on demand the studies of other keys than `prune_to`."""
    for row in rows:
        if row.imported.input:
            discard(out / (EXCLUDED if row.imported.kept else KEPT) / row.key.study_key)
    if prune_to is not None:
        discard_others(out, prune_to)


def _write_outputs(out: Path, rows: Sequence[_Row], report: ImportReport, people: Mapping[str, str]) -> None:
    """The datalist and the report; what is unchanged stays."""
    kept = [row for row in rows if row.imported.kept]
    datalist = out / DATALIST
    if kept:
        sides = {side: [row.entry(people) for row in kept if row.label.split == side] for side in ("training", "test")}
        content = make_datalist(NAME, training=sides["training"], test=sides["test"]).model_dump(exclude_none=True)
        if not datalist.is_file() or json.loads(datalist.read_text(encoding="utf-8")) != content:
            write_json(datalist, content)
    else:
        datalist.unlink(missing_ok=True)
    write_import_report(report, out)


def _report(
    rows: Sequence[_Row],
    table: LabelTable,
    resolution: Resolution,
    keys: Mapping[int, StudyKey],
    *,
    folders_without_row: int,
) -> ImportReport:
    gone = [row for row in rows if row.gone is not None]
    return make_import_report(
        [row.record for row in rows],
        rows_without_study=sorted(set(resolution.missing) - {row.label.line for row in gone}),
        studies_without_row=resolution.studies_without_row,
        folders_without_row=folders_without_row,
        conflicts=[
            *identity_conflicts(table.rows, keys, patient_ids=resolution.patient_ids, persons=resolution.persons),
            *_conflicts(table.rows, keys),
            *(_source_gone(row) for row in gone),
        ],
        near_duplicates=_near_duplicates([row for row in rows if row.imported.kept]),
    )


def _near_duplicates(rows: Sequence[_Row]) -> list[NearDuplicate]:
    """Kept studies that look alike."""
    by_key = {row.key.study_key: row for row in rows}
    described = {key: Descriptor.from_text(row.imported.descriptor) for key, row in by_key.items()}
    return [_near_duplicate(pair, by_key[pair.first], by_key[pair.second]) for pair in find(described)]


def _near_duplicate(pair: Pair, first: _Row, second: _Row) -> NearDuplicate:
    return NearDuplicate(
        first=pair.first,
        second=pair.second,
        kind=DuplicateKind.IDENTICAL if pair.identical else DuplicateKind.NEAR,
        distance=float(f"{max(pair.distance, 0.0):.3f}"),
        same_patient=first.label.patient == second.label.patient,
        labels_differ=first.label.label != second.label.label,
        splits_differ=first.label.split != second.label.split,
    )


def _conflicts(rows: Sequence[LabelRow], keys: Mapping[int, StudyKey]) -> list[LabelConflict]:
    """Patients with several studies: a contradiction where their labels differ, else a note."""
    of_patient: defaultdict[str, list[LabelRow]] = defaultdict(list)
    for row in rows:
        of_patient[row.patient].append(row)
    repeated = [theirs for theirs in of_patient.values() if len(theirs) > 1]
    return [_conflict(theirs, keys) for theirs in sorted(repeated, key=lambda one: len({row.label for row in one}) < 2)]


def _source_gone(row: _Row) -> LabelConflict:
    message = f"study {row.key.study_key} stays as it was imported before, for its files are gone."
    if row.gone is ConflictKind.SOURCE_GONE_OUTDATED:
        message += (
            " The rules, its series, its b-value or `--strict` have changed since: bring the files back, or remove the "
            "row and import with `--prune`."
        )
    return LabelConflict(
        kind=row.gone or ConflictKind.SOURCE_GONE, keys=[row.key.study_key], lines=[row.label.line], message=message
    )


def _conflict(rows: Sequence[LabelRow], keys: Mapping[int, StudyKey]) -> LabelConflict:
    differ = len({row.label for row in rows}) > 1
    patient = keys[rows[0].line].patient_key
    return LabelConflict(
        kind=ConflictKind.LABELS_DIFFER if differ else ConflictKind.PATIENT_REPEATED,
        keys=[keys[row.line].study_key for row in rows],
        lines=[row.line for row in rows],
        message=f"patient {patient} has {len(rows)} studies, "
        + ("and their labels differ; check that both are right." if differ else "all with the same label."),
    )
