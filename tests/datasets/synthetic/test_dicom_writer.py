"""The DICOM form: valid files that our own reader and dcm2niix read back as the study they were made of."""

import json
import subprocess
from pathlib import Path

import dcm2niix
import numpy as np
import pydicom
import pytest
from nibabel.nifti1 import Nifti1Image
from pydicom.uid import MRImageStorage

from prostate_alm.datasets.synthetic.dicom_writer import write_dicom_study
from prostate_alm.datasets.synthetic.presets import PatientPlan, Truth
from prostate_alm.readers import inspect_study, read_study
from prostate_alm.study import Study

Rendered = tuple[PatientPlan, Study, Truth]


@pytest.fixture(scope="module")
def written(focus_patient: Rendered, tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Truth, Path]:
    """A study and the folder it was written to."""
    _, study, truth = focus_patient
    folder = tmp_path_factory.mktemp("dicom") / "patient"
    write_dicom_study(study, truth, folder)
    return study, truth, folder


def test_our_reader_gives_the_study_back(written: tuple[Study, Truth, Path]) -> None:
    study, _, folder = written
    again = read_study(folder)
    assert list(again.dwi) == list(study.dwi)
    assert again.flags == ()
    pairs = [(study.t2, again.t2), (study.adc, again.adc), *((study.dwi[b], again.dwi[b]) for b in study.dwi)]
    for made, read in pairs:
        assert np.array_equal(made.data, read.data)
        assert made.geometry.is_close(read.geometry, tolerance_mm=1e-3)
        assert np.abs(made.geometry.affine - read.geometry.affine).max() < 1e-6


def test_what_is_no_part_of_the_study_is_left_aside(written: tuple[Study, Truth, Path]) -> None:
    _, _, folder = written
    inspection = inspect_study(folder)
    assert {found.number for found in inspection.found} == {2, 3, 4, 5, 6}
    assert [series.number for series in inspection.chosen] == [3, 4, 5]
    assert inspection.refusal is None


def test_files_are_valid_classic_mr(written: tuple[Study, Truth, Path]) -> None:
    study, truth, folder = written
    datasets = [pydicom.dcmread(path) for path in sorted(folder.iterdir())]
    uids = [str(dataset.SOPInstanceUID) for dataset in datasets]
    assert len(set(uids)) == len(uids)
    for dataset in datasets:
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == MRImageStorage
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
        assert dataset.pixel_array.shape == (dataset.Rows, dataset.Columns)
        assert dataset.PatientPosition == truth.patient_position
        assert dataset.PatientID == study.key
        tags = [element.tag for element in dataset]
        assert tags == sorted(tags)
    assert len({dataset.StudyInstanceUID for dataset in datasets}) == 1
    assert len({dataset.SeriesInstanceUID for dataset in datasets}) == 5
    assert len({dataset.FrameOfReferenceUID for dataset in datasets}) == 1


def test_a_second_writing_gives_the_same_bytes(written: tuple[Study, Truth, Path], tmp_path: Path) -> None:
    study, truth, folder = written
    write_dicom_study(study, truth, tmp_path / "again")
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


@pytest.mark.parametrize(("position", "ascending"), [("HFS", True), ("FFS", False)])
def test_slices_are_acquired_from_the_end_that_enters_first(
    focus_patient: Rendered, tmp_path: Path, position: str, ascending: bool
) -> None:
    _, study, truth = focus_patient
    write_dicom_study(study, Truth(**{**truth.__dict__, "patient_position": position}), tmp_path / "p")
    first, last = (pydicom.dcmread(tmp_path / "p" / f"03-{number:04d}.dcm") for number in (1, study.t2.data.shape[2]))
    assert (first.ImagePositionPatient[2] < last.ImagePositionPatient[2]) == ascending


def test_dcm2niix_sees_the_same_diffusion(written: tuple[Study, Truth, Path], tmp_path: Path) -> None:
    study, _, folder = written
    command = [dcm2niix.bin, "-f", "%s", "-z", "n", "-o", str(tmp_path), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    b_values = [float(b) for b in (tmp_path / "4.bval").read_text().split()]
    assert b_values == list(study.dwi)
    image = Nifti1Image.from_filename(tmp_path / "4.nii")
    stack = np.stack([study.dwi[b].data for b in study.dwi], axis=-1)
    values = np.asarray(image.dataobj)[:, ::-1]  # dcm2niix turns rows around
    assert np.array_equal(values, stack)
    assert json.loads((tmp_path / "4.json").read_text())["Manufacturer"] == "Siemens"
