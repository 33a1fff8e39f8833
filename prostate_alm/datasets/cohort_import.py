"""Import a cohort: folders or zips of DICOM and a label table become NIfTI and a datalist.

Each study lies below one folder, in a folder or zip named as in the table's `study` column. What can't be
read is left out and listed with its reason. An ADC map in another unit is rescaled and flagged where its unit is
certain, else left out. The names in `study` and `patient` are taken over as they are:
they have to be pseudonyms.
"""

import hashlib
import json
import os
import shutil
from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

import prostate_alm
from prostate_alm.datasets.datalist import FILE_FIELDS, make_datalist, write_datalist
from prostate_alm.datasets.label_table import LabelRow, read_label_table
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.errors import ArgumentError, CohortError, Reason, StudyRefusedError
from prostate_alm.parcel import write_json
from prostate_alm.preprocessing.adc_scale import in_adc_units
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.study import Study

FACTS = "import.json"


class Exclusion(BaseModel):
    """A study that was found and left out."""

    study: str
    reason: Reason
    message: str


class ImportReport(BaseModel):
    """`import_report.json`: what became of every study and every row of the table."""

    schema_version: int = 1
    found: int = Field(description="studies that have both a row and an input")
    kept: int
    excluded: list[Exclusion]
    excluded_by_reason: dict[str, int]
    labels_without_study: list[str] = Field(description="rows whose folder or zip is not there")
    studies_without_label: list[str] = Field(description="folders and zips that no row names")


@dataclass(frozen=True)
class _Task:
    study: str
    source: Path


@dataclass(frozen=True)
class _Imported:
    """The datalist facts of a study that was kept, or why it was left out."""

    facts: dict[str, Any] | None
    exclusion: Exclusion | None = None


def import_dicom_cohort(dicom: Path, labels: Path, out: Path, *, workers: int = 1) -> ImportReport:
    """Read every labelled study below `dicom` and write the cohort below `out`.

    A study that was imported before, by this version and from files of the same names, sizes and times, is not
    read again.

    Returns:
        What was written to `import_report.json`.

    Raises:
        ArgumentError: `dicom` is no folder.
        CohortError: the label table can't be used, or no study was kept.
    """
    if not dicom.is_dir():
        raise ArgumentError(f"`dicom` must be a folder of studies, and `{dicom}` is none.")
    table = read_label_table(labels)
    sources = _sources(dicom)
    tasks = [_Task(row.study, sources[row.study]) for row in table if row.study in sources]
    (out / "studies").mkdir(parents=True, exist_ok=True)
    results = in_processes(partial(_import_study, out / "studies"), tasks, workers=workers, title="importing studies")
    imported = {task.study: result for task, result in zip(tasks, results, strict=True)}
    report = _report(table, sources, imported)
    write_json(out / "import_report.json", report)
    if not report.kept:
        raise CohortError(f"none of {report.found} studies could be kept; import_report.json says why for each.")
    entries = _entries(table, imported)
    training = [entry for split, entry in entries if split == "training"]
    test = [entry for split, entry in entries if split == "test"]
    write_datalist(make_datalist(dicom.resolve().name, training=training, test=test), out / "datalist.json")
    return report


def _sources(dicom: Path) -> dict[str, Path]:
    """Folders and zips by the study they are named after; hidden ones are left aside."""
    found: dict[str, Path] = {}
    for path in sorted(dicom.iterdir()):
        is_zip = path.is_file() and path.suffix.lower() == ".zip"
        if path.name.startswith(".") or not (path.is_dir() or is_zip):
            continue
        name = path.stem if is_zip else path.name
        if name in found:
            raise CohortError(f"study '{name}' lies there both as a folder and as a zip; remove one of them.")
        found[name] = path
    return found


def _import_study(studies: Path, task: _Task) -> _Imported:
    """Read one study and write it, unless it is there already from the same input."""
    target, fingerprint = studies / task.study, _fingerprint(task.source)
    facts_file = target / FACTS
    if facts_file.is_file():
        noted = json.loads(facts_file.read_text(encoding="utf-8"))
        if noted["input"] == fingerprint:
            return _Imported(noted["facts"])
    try:
        study = in_adc_units(read_study(task.source))
    except StudyRefusedError as error:
        shutil.rmtree(target, ignore_errors=True)
        return _Imported(None, Exclusion(study=task.study, reason=error.reason, message=str(error)))
    temporary = studies / f".{task.study}.{os.getpid()}.partial"
    shutil.rmtree(temporary, ignore_errors=True)
    facts = _facts(study, write_nifti_study(study, temporary))
    write_json(temporary / FACTS, {"input": fingerprint, "facts": facts})
    shutil.rmtree(target, ignore_errors=True)
    temporary.replace(target)
    return _Imported(facts)


def _fingerprint(source: Path) -> str:
    """Names, sizes and times of the input's files, and the version that read them."""
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    digest = hashlib.sha256(prostate_alm.__version__.encode())
    for path in files:
        status = path.stat()
        name = path.relative_to(source.parent).as_posix()
        digest.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _facts(study: Study, files: dict[str, object]) -> dict[str, Any]:
    """What the study brings to its datalist entry: files, b-values, acquisition, flags."""
    acquisition = {name: value for name, value in asdict(study.acquisition).items() if value not in ("", None)}
    flags = {"flags": [flag.value for flag in study.flags]} if study.flags else {}
    return {**acquisition, **flags, **files}


def _entries(table: list[LabelRow], imported: dict[str, _Imported]) -> list[tuple[str, dict[str, Any]]]:
    """Split and datalist entry of every kept study; its index is its row, whatever else is kept."""
    entries: list[tuple[str, dict[str, Any]]] = []
    for index, row in enumerate(table):
        facts = imported[row.study].facts if row.study in imported else None
        if facts is None:
            continue
        files = {field: f"studies/{row.study}/{facts[field]}" for field in FILE_FIELDS}
        identity = {"index": index, "study": row.study, "patient": row.patient, "label": int(row.label)}
        entries.append((row.split, {**identity, **facts, **files, **row.columns()}))
    return entries


def _report(table: list[LabelRow], sources: dict[str, Path], imported: dict[str, _Imported]) -> ImportReport:
    excluded = [result.exclusion for result in imported.values() if result.exclusion]
    labelled = {row.study for row in table}
    return ImportReport(
        found=len(imported),
        kept=len(imported) - len(excluded),
        excluded=excluded,
        excluded_by_reason=dict(Counter(exclusion.reason.value for exclusion in excluded)),
        labels_without_study=[row.study for row in table if row.study not in sources],
        studies_without_label=sorted(set(sources) - labelled),
    )
