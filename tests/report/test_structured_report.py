"""The SR document: what a workstation reads of an answer, and that it speaks of the right patient and images."""

import io
import shutil
import subprocess
from datetime import UTC, datetime

import pydicom
import pytest
from highdicom.sr import CodedConcept, Comprehensive3DSR, MeasurementReport
from pydicom.dataset import Dataset
from pydicom.uid import MRImageStorage

from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.evaluation.operating_point import choose_operating_point
from prostate_alm.report.structured_report import report_uid, structured_report
from prostate_alm.report.triage import Basis, ModelIdentity, Recommendation, TriageAnswer

AT = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
ID = "0f" * 16
POINT = choose_operating_point([-2.0, 0.5, 1.0, 3.0], [0, 0, 1, 1], false_negatives=0)
MODEL = ModelIdentity(name="dce", version="3.1", sha256="ab" * 32, members=2)


def answer_of(**changes):
    """An answer without the decision's own checks, which have tests of their own."""
    fields = {
        "id": ID, "recommendation": Recommendation.DCE_NOT_NEEDED, "basis": Basis.MODEL, "reasons": (),
        "flags": (Reason.ADC_COMPUTED,), "probability": 0.4691759, "logit": -0.123456789012345678,
        "member_logits": (-0.1, -0.15), "operating_point": POINT, "series": {}, "quality": (), "model": MODEL,
        "intended_use": "Research use only",
    }  # fmt: skip
    return TriageAnswer.model_construct(**(fields | changes))


def failed(*reasons, **changes):
    return answer_of(
        recommendation=Recommendation.DCE_RECOMMENDED, basis=Basis.FAILSAFE, reasons=reasons, flags=(),
        probability=None, logit=None, member_logits=(), **changes,
    )  # fmt: skip


def image_of(number, **changes):
    image = Dataset()
    image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, f"1.2.3.{number}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.4", f"1.2.5.{number // 2}"
    image.SpecificCharacterSet, image.PatientName, image.PatientID = "ISO_IR 100", "Müller^Jörg", "P7"
    image.PatientBirthDate, image.PatientSex, image.AccessionNumber = "19500102", "M", "A1"
    image.StudyDate, image.StudyTime, image.StudyID, image.ReferringPhysicianName = "20260304", "0405", "S1", "Doe"
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    return image


def written(answer, images=None):
    """The bytes of the document as a PACS gets it."""
    images = [image_of(n) for n in range(4)] if images is None else images
    file = io.BytesIO()
    structured_report(answer, images, answered_at=AT, software_version="9.9").save_as(file)
    return file.getvalue()


def group_of(document):
    """The one measurement group, by highdicom's own reading of the template."""
    content = Comprehensive3DSR.from_dataset(document).content
    assert isinstance(content, MeasurementReport)
    (group,) = content.get_image_measurement_groups()
    return group


def evaluations(document):
    items = group_of(document).get_qualitative_evaluations()
    return [(item.name.value, item.value.value) for item in items if isinstance(item.value, CodedConcept)]


def read_back(content):
    return pydicom.dcmread(io.BytesIO(content))


def test_recommendation_basis_and_intended_use_are_coded():
    coded = evaluations(read_back(written(answer_of())))
    assert coded == [
        ("121075", "DCE_NOT_NEEDED"),
        ("BASIS", "MODEL"),
        ("NOTE", "ADC_COMPUTED"),
        ("INTENDED_USE", "RESEARCH_USE"),
    ]


def test_a_fail_safe_answer_gives_its_reasons_and_no_score():
    document = read_back(written(failed(Reason.SUSCEPTIBILITY_SUSPECTED, Reason.T2_MISSING)))
    assert evaluations(document)[:4] == [
        ("121075", "DCE_RECOMMENDED"),
        ("BASIS", "FAILSAFE"),
        ("REASON", "SUSCEPTIBILITY_SUSPECTED"),
        ("REASON", "T2_MISSING"),
    ]
    assert group_of(document).get_measurements() == []


def test_every_reason_can_be_written_as_a_code():
    coded = evaluations(read_back(written(failed(*Reason))))
    assert [value for name, value in coded if name == "REASON"] == [reason.value for reason in Reason]


def test_score_is_given_to_its_precision():
    measured = {
        one.name.value: float(one.value) for one in group_of(read_back(written(answer_of()))).get_measurements()
    }
    assert measured["LOGIT"] == pytest.approx(-0.123456789012345678, rel=1e-9)
    assert measured["PROBABILITY"] == pytest.approx(0.4691759)


def test_algorithm_is_identified_by_hash_threshold_and_evidence():
    items = group_of(read_back(written(answer_of())))[0].ContentSequence
    said: dict[str, list[str]] = {}
    for item in items:
        if item.ValueType == "TEXT":
            said.setdefault(item.ConceptNameCodeSequence[0].CodeValue, []).append(item.TextValue)
    assert (said["111001"], said["111003"]) == (["dce"], ["3.1"])  # Algorithm Name and Version
    parameters = "; ".join(said["111002"])
    assert "Research use only; software: prostate-alm 9.9" in parameters
    assert f"ensemble sha256: {'ab' * 32}" in parameters
    assert "operating point: 0-fn; a study with logit >= 1 is positive" in parameters
    assert "0 of 2 positives missed" in parameters
    assert f"may be up to {POINT.miss_rate_upper_95:.1%}" in parameters


def test_the_evidence_of_the_score_is_left_out_where_the_score_was_not_relied_on():
    content = written(failed(Reason.MOTION_SUSPECTED))
    assert b"positives missed" not in content
    assert b"ensemble sha256" in content


def test_without_a_valid_ensemble_there_is_still_a_document():
    document = read_back(written(failed(Reason.ENSEMBLE_INVALID, model=None, operating_point=None)))
    assert ("REASON", "ENSEMBLE_INVALID") in evaluations(document)


def test_patient_and_study_are_those_of_the_images():
    document, image = read_back(written(answer_of())), image_of(0)
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate",
                    "StudyTime", "StudyID", "StudyInstanceUID", "SpecificCharacterSet"):  # fmt: skip
        assert document[keyword].value == image[keyword].value, keyword
    assert document.SeriesDescription == "DCE triage - Research use only"
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


@pytest.mark.filterwarnings("ignore:Invalid value for VR CS")
def test_odd_patient_data_is_taken_over_and_absent_data_stays_empty():
    odd = image_of(0, PatientSex="MALE?", PatientName="no caret")
    del odd.PatientBirthDate, odd.AccessionNumber
    document = read_back(written(answer_of(), [odd]))
    assert (document.PatientSex, document.PatientName) == ("MALE?", "no caret")
    assert (document.PatientBirthDate, document.AccessionNumber) == ("", "")


def test_every_image_is_referred_to_and_recorded_as_evidence():
    document = read_back(written(answer_of()))
    names = {f"1.2.3.{n}" for n in range(4)}
    assert {one.referenced_sop_instance_uid for one in group_of(document).source_images} == names
    (study,) = document.CurrentRequestedProcedureEvidenceSequence
    recorded = [one.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for one in s.ReferencedSOPSequence]
    assert study.StudyInstanceUID == "1.2.4"
    assert set(recorded) == names
    assert len(study.ReferencedSeriesSequence) == 2


def test_writing_it_again_gives_the_same_document():
    assert written(answer_of()) == written(answer_of())
    assert read_back(written(answer_of())).SOPInstanceUID == report_uid(answer_of())


def test_another_answer_or_what_is_left_of_one_is_another_document():
    uids = {report_uid(one) for one in (answer_of(), answer_of(id="1f" * 16), failed(Reason.SUPERSEDED))}
    assert len(uids) == 3


@pytest.mark.parametrize(
    ("offset", "date", "time"),
    [("-0800", "20260303", "210607"), ("+0530", "20260304", "103607"), ("+0000", "20260304", "050607")],
)
def test_times_are_in_the_zone_that_the_study_states(offset, date, time):
    document = read_back(written(answer_of(), [image_of(0, TimezoneOffsetFromUTC=offset)]))
    assert (document.TimezoneOffsetFromUTC, document.ContentDate, document.ContentTime) == (offset, date, time)


@pytest.mark.parametrize(
    "images",
    [
        [],
        [image_of(0), image_of(1, StudyInstanceUID="1.2.9")],
        [image_of(0), image_of(1, PatientID="P8")],
    ],
    ids=["no image", "two studies", "two patients"],
)
def test_it_speaks_of_one_patient_and_study_or_is_refused(images):
    with pytest.raises(ArgumentError, match="`images`"):
        structured_report(answer_of(), images, answered_at=AT, software_version="9.9")


@pytest.mark.skipif(shutil.which("dsrdump") is None, reason="dsrdump (Debian's dcmtk) is not installed")
def test_dcmtk_reads_it_as_a_valid_document(tmp_path):
    (tmp_path / "sr.dcm").write_bytes(written(failed(Reason.SUSCEPTIBILITY_SUSPECTED)))
    done = subprocess.run(["dsrdump", str(tmp_path / "sr.dcm")], capture_output=True, check=False)
    text = done.stdout.decode("latin-1")
    assert (done.returncode, done.stderr) == (0, b"")
    assert "Comprehensive 3D SR Document" in text
    assert '(DCE_RECOMMENDED,99PALM,"Contrast-enhanced sequence (DCE) recommended")' in text
    assert "SUSCEPTIBILITY_SUSPECTED" in text
