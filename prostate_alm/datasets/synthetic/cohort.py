"""Write a whole synthetic cohort: in parallel, resumable, the same whatever the number of workers."""

import csv
import json
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from prostate_alm.datasets.datalist import Datalist, make_datalist, write_datalist
from prostate_alm.datasets.parallel import in_processes
from prostate_alm.datasets.synthetic.dicom_writer import write_dicom_study
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.datasets.synthetic.presets import PatientPlan, draw_truth, preset
from prostate_alm.errors import ArgumentError, CohortError
from prostate_alm.files import replacing
from prostate_alm.parcel import write_json
from prostate_alm.readers.nifti import write_nifti_study

FORMATS = ("nifti", "dicom")
GENERATOR_VERSION = 1  # raised whenever the same seed would give other patients


@dataclass(frozen=True)
class CohortPlan:
    """What cohort to synthesize.

    Attributes:
        patients: how many to train on.
        test_patients: how many more, unseen.
        seed: of everything that is drawn.
        prevalence: share of positives, exact (rounded) in training and in test.
        difficulty: name of a preset.
        format: nifti or dicom.

    Raises:
        ArgumentError: a number is out of its range or a name is unknown.
    """

    patients: int
    test_patients: int = 0
    seed: int = 0
    prevalence: float = 0.36
    difficulty: str = "default"
    format: str = "nifti"

    def __post_init__(self) -> None:
        preset(self.difficulty)
        if self.format not in FORMATS:
            raise ArgumentError(f"`format` is '{self.format}'; choose one of {sorted(FORMATS)}.")
        if self.patients < 1 or self.test_patients < 0 or self.seed < 0:
            raise ArgumentError("`patients` must be at least 1, `test_patients` and `seed` at least 0.")
        if not 0.0 <= self.prevalence <= 1.0:
            raise ArgumentError(f"`prevalence` must be in [0, 1], got {self.prevalence}.")

    def of_split(self, split: str) -> list[PatientPlan]:
        """The patients of training or test."""
        count = self.patients if split == "training" else self.test_patients
        return [PatientPlan(self.seed, split, i, self.prevalence, self.difficulty) for i in range(count)]


def synthesize_cohort(out: Path, plan: CohortPlan, *, workers: int = 1) -> Path:
    """Write the cohort below `out`; patients that are already there are kept.

    Returns:
        The index that was written: `datalist.json`, or for DICOM `labels.csv`.

    Raises:
        CohortError: `out` holds a cohort made with other arguments.
    """
    out.mkdir(parents=True, exist_ok=True)
    _claim(out, plan)
    everyone = [*plan.of_split("training"), *plan.of_split("test")]
    write = partial(_write_patient, _patients_folder(out, plan.format), plan.format)
    in_processes(write, everyone, workers=workers, title="synthesizing patients")
    if plan.format == "dicom":
        return _write_labels(out, everyone)
    write_datalist(cohort_datalist(plan), out / "datalist.json")
    return out / "datalist.json"


def cohort_datalist(plan: CohortPlan) -> Datalist:
    """The datalist of a cohort of NIfTI files; nothing is rendered for it."""
    training = [_entry(patient, index) for index, patient in enumerate(plan.of_split("training"))]
    test = [_entry(patient, len(training) + index) for index, patient in enumerate(plan.of_split("test"))]
    return make_datalist(f"synthetic-{plan.difficulty}-{plan.seed}", training=training, test=test)


def _claim(out: Path, plan: CohortPlan) -> None:
    """Note in `cohort.json` how the patients below `out` are made; refuse to mix two ways."""
    made_with = {
        "schema_version": 1,
        "generator_version": GENERATOR_VERSION,
        "seed": plan.seed,
        "prevalence": plan.prevalence,
        "difficulty": plan.difficulty,
        "format": plan.format,
    }
    path = out / "cohort.json"
    if not path.exists():
        write_json(path, made_with)
    elif (found := json.loads(path.read_text(encoding="utf-8"))) != made_with:
        differing = sorted(name for name in made_with if found.get(name) != made_with[name])
        raise CohortError(
            f"`{out.name}` holds a cohort made with another {', '.join(differing)}; choose another `--out`, "
            "or delete that folder first."
        )


def _patients_folder(out: Path, kind: str) -> Path:
    return out / ("dicom" if kind == "dicom" else "studies")


def _write_patient(parent: Path, kind: str, plan: PatientPlan) -> None:
    """Write one patient unless it is there; its folder appears only when it is complete."""
    if (parent / plan.key).is_dir():
        return
    partial_folder = parent / f".{plan.key}.{os.getpid()}.partial"
    shutil.rmtree(partial_folder, ignore_errors=True)
    study, truth = synthesize_study(plan)
    if kind == "dicom":
        write_dicom_study(study, truth, partial_folder)
    else:
        write_nifti_study(study, partial_folder)
    partial_folder.replace(parent / plan.key)


def _entry(patient: PatientPlan, index: int) -> dict[str, Any]:
    truth, folder = draw_truth(patient), f"studies/{patient.key}"
    return {
        "index": index,
        "study": patient.key,
        "patient": patient.key,
        "label": truth.label,
        **{role: f"{folder}/{role}.nii.gz" for role in ("t2", "dwi", "adc")},
        "b_values": list(truth.scanner.b_values),
        **truth.columns(),
    }


def _write_labels(out: Path, everyone: list[PatientPlan]) -> Path:
    rows = []
    for patient in everyone:
        truth = draw_truth(patient)
        identity = {"study": patient.key, "patient": patient.key, "label": truth.label, "split": patient.split}
        rows.append({**identity, **truth.columns()})
    path = out / "labels.csv"
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
