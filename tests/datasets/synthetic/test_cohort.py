"""A cohort on disk: the same however it was made, resumed and not mixed."""

import csv
from pathlib import Path

import numpy as np
import pytest

from prostate_alm.datasets.datalist import read_datalist
from prostate_alm.datasets.synthetic.cohort import CohortPlan, synthesize_cohort
from prostate_alm.errors import ArgumentError, CohortError
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import LoadStudy


@pytest.fixture(scope="module")
def nifti_cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three training patients and one unseen one as NIfTI."""
    out = tmp_path_factory.mktemp("nifti")
    synthesize_cohort(out, CohortPlan(3, 1, seed=6, difficulty="easy"))
    return out


def test_nifti_has_a_datalist_with_the_latent_truth(nifti_cohort: Path) -> None:
    datalist = read_datalist(nifti_cohort / "datalist.json")
    training, test = datalist.entries("training"), datalist.entries("test")
    assert [entry["index"] for entry in [*training, *test]] == [0, 1, 2, 3]
    assert [entry["label"] for entry in training] == [0, 1, 0]
    assert {"reason", "contrast", "severity", "vendor"} <= test[0].keys()
    assert LoadStudy()(training[0])["study"].key == "syn6-0000"


def test_dicom_in_two_processes_is_the_same_cohort(nifti_cohort: Path, tmp_path: Path) -> None:
    labels = synthesize_cohort(tmp_path, CohortPlan(2, 1, seed=6, difficulty="easy", format="dicom"), workers=2)
    with labels.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["split"] for row in rows] == ["training", "training", "test"]
    entries = {entry["study"]: entry for entry in read_datalist(nifti_cohort / "datalist.json").entries("training")}
    for row in rows[:2]:
        assert row["label"] == str(entries[row["study"]]["label"])
        from_nifti = LoadStudy()(entries[row["study"]])["study"]
        from_dicom = read_study(tmp_path / "dicom" / row["study"])
        assert np.array_equal(from_nifti.t2.data, from_dicom.t2.data)
        assert np.array_equal(from_nifti.adc.data, from_dicom.adc.data)
        assert from_nifti.t2.geometry.is_close(from_dicom.t2.geometry, tolerance_mm=1e-3)


def test_a_complete_patient_is_kept_and_a_partial_one_is_not_taken_for_it(nifti_cohort: Path) -> None:
    kept, lost = (nifti_cohort / "studies" / key / "t2.nii.gz" for key in ("syn6-0000", "syn6-0001"))
    before = kept.stat().st_mtime_ns
    half = lost.parent.with_name(".syn6-0001.1.partial")
    lost.parent.rename(half)
    synthesize_cohort(nifti_cohort, CohortPlan(3, 1, seed=6, difficulty="easy"))
    assert kept.stat().st_mtime_ns == before
    assert lost.is_file()


def test_two_ways_of_making_patients_are_not_mixed(nifti_cohort: Path) -> None:
    with pytest.raises(CohortError, match="prevalence"):
        synthesize_cohort(nifti_cohort, CohortPlan(3, 1, seed=6, difficulty="easy", prevalence=0.5))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"patients": 0}, "patients"),
        ({"prevalence": 1.5}, "prevalence"),
        ({"difficulty": "hard"}, "difficulty"),
        ({"format": "nrrd"}, "format"),
    ],
)
def test_arguments_out_of_range_are_named(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        CohortPlan(**{"patients": 3, **changes})  # pyright: ignore[reportArgumentType]
