"""`GET /v1/studies/{id}/sr`: the document of an answer, and the problems where there is none."""

import io
import zipfile

import pydicom
import pytest

from prostate_alm.service.clock import utc_now
from prostate_alm.service.retention import Retention


def codes_of(document):
    """Name and value of every coded item, by code."""
    found = []
    for item in document.ContentSequence:
        found += codes_of(item) if "ContentSequence" in item else []
        if item.ValueType == "CODE":
            value = item.ConceptCodeSequence[0]
            name = item.ConceptNameCodeSequence[0].CodeValue
            found.append((name, value.get("CodeValue") or value.get("LongCodeValue")))
    return found


def sr_of(client, study_id):
    response = client.get(f"/v1/studies/{study_id}/sr")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/dicom"), response.text
    return pydicom.dcmread(io.BytesIO(response.content))


def test_the_document_says_what_the_answer_says_of_the_images_it_was_read_from(client, post, dicom_zip, dicom_folders):
    answer = post(client, file=dicom_zip).json()
    document = sr_of(client, answer["id"])
    codes = codes_of(document)
    assert ("121075", answer["recommendation"]) in codes
    assert [value for name, value in codes if name == "REASON"] == answer["reasons"]
    sources = [pydicom.dcmread(path, stop_before_pixels=True) for path in dicom_folders[0].iterdir()]
    read = {str(one["number"]) for one in answer["series"].values()}
    assert read == {"3", "4", "5"}
    referred = {
        one.ReferencedSOPInstanceUID
        for study in document.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for one in series.ReferencedSOPSequence
    }
    assert referred == {one.SOPInstanceUID for one in sources if str(one.SeriesNumber) in read}
    assert (document.PatientID, document.StudyInstanceUID) == (sources[0].PatientID, sources[0].StudyInstanceUID)


def test_it_is_the_same_document_each_time(client, post, dicom_zip):
    study_id = post(client, file=dicom_zip).json()["id"]
    first, second = (client.get(f"/v1/studies/{study_id}/sr").content for _ in range(2))
    assert first == second


def test_a_study_that_could_not_be_read_has_a_document_that_says_so(client, post, dicom_folders, zip_files, tmp_path):
    no_t2 = zip_files(tmp_path / "no-t2.zip", dicom_folders[:1], leave_out=lambda path: path.name.startswith("03"))
    answer = post(client, file=no_t2).json()
    assert answer["reasons"] == ["T2_MISSING"]
    codes = codes_of(sr_of(client, answer["id"]))
    assert {("121075", "DCE_RECOMMENDED"), ("BASIS", "FAILSAFE"), ("REASON", "T2_MISSING")} <= set(codes)


def problem_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


def test_no_document_speaks_of_two_patients(client, post, dicom_folders, zip_files, tmp_path):
    answer = post(client, file=zip_files(tmp_path / "two.zip", dicom_folders)).json()
    assert answer["reasons"] in (["MULTIPLE_PATIENTS"], ["MULTIPLE_STUDIES"])
    assert problem_of(client.get(f"/v1/studies/{answer['id']}/sr")) == (404, "SR_NOT_AVAILABLE")


def test_nifti_and_noise_have_no_document(client, post, nifti_folder, tmp_path):
    parts = {name: nifti_folder / f"{name}.nii.gz" for name in ("t2", "dwi", "adc")}
    nifti = post(client, b_values="50,400,800", **parts).json()
    with zipfile.ZipFile(tmp_path / "noise.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    noise = post(client, file=tmp_path / "noise.zip").json()
    for answer in (nifti, noise):
        assert problem_of(client.get(f"/v1/studies/{answer['id']}/sr")) == (404, "SR_NOT_AVAILABLE")


def test_before_the_answer_there_is_a_conflict(run_service, post, dicom_zip):
    with run_service(worker=False) as client:
        study_id = post(client, file=dicom_zip, wait=0).json()["id"]
        assert problem_of(client.get(f"/v1/studies/{study_id}/sr")) == (409, "NOT_ANSWERED")


def test_when_the_images_are_gone_the_document_is_gone(run_service, post, dicom_zip):
    with run_service() as client:
        study_id = post(client, file=dicom_zip).json()["id"]
        sr_of(client, study_id)
        state = client.app.state
        Retention(state.database, state.storage, hours=1e-9).sweep(utc_now())
        assert problem_of(client.get(f"/v1/studies/{study_id}/sr")) == (410, "PIXELS_GONE")


@pytest.mark.parametrize("study_id", ["0" * 32])
def test_an_unknown_study_is_not_found(client, study_id):
    assert problem_of(client.get(f"/v1/studies/{study_id}/sr")) == (404, "NOT_FOUND")


def test_in_silent_mode_the_document_hides_what_the_answer_hides(run_service, post, dicom_zip):
    with run_service("never", silent=True) as client:
        answer = post(client, file=dicom_zip).json()
        assert answer["reasons"] == ["SILENT_MODE"]
        content = client.get(f"/v1/studies/{answer['id']}/sr").content
        codes = codes_of(pydicom.dcmread(io.BytesIO(content)))
        assert {("121075", "DCE_RECOMMENDED"), ("REASON", "SILENT_MODE")} <= set(codes)
        for hidden in (b"DCE_NOT_NEEDED", b"LOGIT", b"PROBABILITY"):
            assert hidden not in content
