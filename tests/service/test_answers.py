"""What a study gets for an answer: the model's, or a fail-safe one with its reason; never a wrong "not needed"."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pydicom
import pydicom.config
import pytest

from prostate_alm.commands.triage import triage
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.report.triage import TriageAnswer
from prostate_alm.study import Volume


def by_command(study, ensemble, capsys):
    triage(study, ensemble=ensemble)
    return json.loads(capsys.readouterr().out)


def same(ours, theirs):
    """Equal but for the id; logits within 1e-5."""
    for name in ("logit", "probability", "member_logits"):
        assert ours.pop(name) == pytest.approx(theirs.pop(name), abs=1e-5)
    assert ours.pop("id") != theirs.pop("id")
    assert ours == theirs


def series_of(path: Path):
    return pydicom.dcmread(path, stop_before_pixels=True).SeriesNumber


def test_a_dicom_zip_gets_the_models_answer(client, post, dicom_zip):
    response = post(client, file=dicom_zip)
    answer = response.json()
    assert response.status_code == 200
    assert (answer["recommendation"], answer["basis"], answer["reasons"]) == ("DCE_NOT_NEEDED", "MODEL", [])
    assert answer["series"]["dwi"]["b_values"] == [0.0, 500.0, 1000.0]
    TriageAnswer.model_validate(answer)


def test_a_score_above_the_threshold_is_recommended(run_service, post, dicom_zip):
    with run_service("always") as client:
        answer = post(client, file=dicom_zip).json()
    assert (answer["recommendation"], answer["basis"], answer["reasons"]) == ("DCE_RECOMMENDED", "MODEL", [])


def test_folder_zip_and_http_agree(*, client, post, dicom_zip, dicom_folders, parcels, capsys):
    response = post(client, file=dicom_zip)
    same(response.json(), by_command(dicom_zip, parcels["never"], capsys))
    same(response.json(), by_command(dicom_folders[0], parcels["never"], capsys))


def test_nifti_files_get_the_models_answer(client, post, nifti_folder, parcels, capsys):
    parts = {role: nifti_folder / f"{role}.nii.gz" for role in ("t2", "dwi", "adc")}
    response = post(client, b_values="50,400,800", **parts)
    assert response.status_code == 200
    assert response.json()["basis"] == "MODEL"
    same(response.json(), by_command(nifti_folder, parcels["never"], capsys))


def test_uncompressed_nifti_and_blanks_between_b_values_will_do(client, post, nifti_folder):
    compressed = {role: nifti_folder / f"{role}.nii.gz" for role in ("t2", "dwi", "adc")}
    plain = {role: gzip.decompress(path.read_bytes()) for role, path in compressed.items()}
    expected = post(client, b_values="50,400,800", **compressed).json()
    same(post(client, b_values=" 50 400  800 ", **plain).json(), expected)


def test_a_missing_adc_is_fitted_and_flagged(client, post, nifti_folder):
    parts = {role: nifti_folder / f"{role}.nii.gz" for role in ("t2", "dwi")}
    answer = post(client, b_values="50,400,800", **parts).json()
    assert (answer["basis"], answer["flags"]) == ("MODEL", ["ADC_COMPUTED"])


def refused(response, *reasons):
    """A 200 with a fail-safe answer for one of the reasons."""
    assert response.status_code == 200
    answer = response.json()
    TriageAnswer.model_validate(answer)
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
    assert answer["reasons"] == [*reasons]
    assert answer["logit"] is None


def test_an_empty_zip_fails_safe(client, post, zip_files, tmp_path):
    refused(post(client, file=zip_files(tmp_path / "empty.zip", [])), "INPUT_EMPTY")


@pytest.mark.parametrize("content", [b"", b"no study at all\n", b"PK\x03\x04 broken", b"\x1f\x8b\x08 half"])
def test_a_file_that_is_no_study_fails_safe(client, post, content):
    response = post(client, file=content)
    assert response.json()["reasons"] in (["INPUT_EMPTY"], ["INPUT_UNREADABLE"])
    refused(response, *response.json()["reasons"])


def test_two_patients_in_one_zip_fail_safe(client, post, zip_files, dicom_folders, tmp_path):
    refused(post(client, file=zip_files(tmp_path / "two.zip", dicom_folders)), "MULTIPLE_PATIENTS")


def test_a_study_without_dwi_fails_safe(client, post, zip_files, dicom_folders, tmp_path):
    without = zip_files(tmp_path / "t2.zip", dicom_folders[:1], leave_out=lambda path: series_of(path) >= 4)
    refused(post(client, file=without), "DWI_MISSING")


def test_a_study_without_t2_fails_safe(client, post, zip_files, dicom_folders, tmp_path):
    without = zip_files(tmp_path / "dwi.zip", dicom_folders[:1], leave_out=lambda path: series_of(path) == 3)
    refused(post(client, file=without), "T2_MISSING")


def test_a_missing_t2_slice_fails_safe(client, post, zip_files, dicom_folders, tmp_path):
    t2 = sorted(path for path in dicom_folders[0].iterdir() if series_of(path) == 3)
    gap = zip_files(tmp_path / "gap.zip", dicom_folders[:1], leave_out=lambda path: path == t2[len(t2) // 2])
    refused(post(client, file=gap), "SLICE_MISSING")


@pytest.mark.parametrize(
    ("roles", "b_values", "reason"),
    [
        (("t2",), None, "DWI_MISSING"),
        (("dwi",), "50,400,800", "T2_MISSING"),
        (("adc",), None, "T2_MISSING"),
        (("t2", "dwi"), None, "B_VALUE_UNKNOWN"),
        (("t2", "dwi"), "50,400", "B_VALUE_UNKNOWN"),
        (("t2", "dwi"), "fifty, Ⅷ", "B_VALUE_UNKNOWN"),
        (("t2", "dwi"), "50,400,nan", "B_VALUE_UNKNOWN"),
        (("t2", "dwi"), "10,20,30", "HIGH_B_MISSING"),
    ],
)
def test_incomplete_nifti_fails_safe(client, post, nifti_folder, *, roles, b_values, reason):
    parts = {role: nifti_folder / f"{role}.nii.gz" for role in roles}
    response = post(client, b_values=b_values, **parts)
    refused(response, reason)


def test_nifti_parts_exchanged_fail_safe(client, post, nifti_folder):
    response = post(client, t2=nifti_folder / "dwi.nii.gz", dwi=nifti_folder / "t2.nii.gz", b_values="50,400,800")
    refused(response, "GEOMETRY_INVALID")


def test_a_failed_gate_still_reports_the_logits(client, post, nifti_folder, study_factory, tmp_path):
    study = study_factory(3)
    wrong_unit = Volume(study.adc.data * 1000, study.adc.geometry)
    write_nifti_study(replace(study, adc=wrong_unit), tmp_path)
    parts = {role: tmp_path / f"{role}.nii.gz" for role in ("t2", "dwi", "adc")}
    answer = post(client, b_values="50,400,800", **parts).json()
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
    assert answer["reasons"] == ["ADC_OUT_OF_RANGE"]
    assert answer["logit"] is not None


@pytest.mark.parametrize("uid", ["CANARY", "", "1.2.3." + "4" * 64, None])
def test_images_without_a_valid_study_uid_fail_safe(*, client, post, dicom_folders, zip_files, tmp_path, uid):
    """As STOW-RS, which does not take them: the answer could be of any study."""
    folder = tmp_path / "study"
    folder.mkdir()
    for path in dicom_folders[0].iterdir():
        image = pydicom.dcmread(path)
        if uid is None:
            del image.StudyInstanceUID
        else:
            image[0x0020000D] = pydicom.DataElement(0x0020000D, "UI", uid, validation_mode=pydicom.config.IGNORE)
        image.save_as(folder / path.name)
    answer = post(client, file=zip_files(tmp_path / "study.zip", [folder])).json()
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
    assert answer["reasons"] == ["INPUT_UNREADABLE"]
    assert "CANARY" not in json.dumps(answer)
