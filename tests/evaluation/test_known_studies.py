"""A test study that the ensemble has met is found by its images or its patient, whatever it is called."""

import pytest

from prostate_alm.errors import CohortError, EnsembleError
from prostate_alm.evaluation.known_studies import KnownStudies, KnownStudy


def study(number: int, *, patient: str = "", cohort: str = "a") -> KnownStudy:
    return KnownStudy.of(f"{number:012x}", cohort=cohort, patient=patient or f"p{number}")


known = KnownStudies(training=[study(1), study(2)], calibration=[study(3)])


def test_new_patients_pass():
    known.refuse_overlap([study(4), study(5)])


def test_the_same_images_under_another_name_are_found():
    with pytest.raises(CohortError, match="1 of 2 studies have the same images as studies of the ensemble's training"):
        known.refuse_overlap([study(4), study(2, patient="other", cohort="other")])


def test_another_study_of_a_patient_is_found():
    with pytest.raises(CohortError, match="1 more are of its patients"):
        known.refuse_overlap([study(9, patient="p1")])


def test_an_equal_key_of_another_cohort_is_another_patient():
    known.refuse_overlap([study(9, patient="p1", cohort="b")])


def test_calibration_patients_are_no_test_patients():
    with pytest.raises(CohortError, match="calibration"):
        known.refuse_overlap([study(3)])


def test_no_key_stands_in_the_file():
    text = KnownStudies(training=[KnownStudy.of("0" * 12, cohort="hospital", patient="secret")]).model_dump_json()
    assert "secret" not in text
    assert "hospital" not in text
    assert KnownStudies.from_json(text).training[0].content == "0" * 12


@pytest.mark.parametrize("content", [b"", b"{}", b'{"training": [{"content": "x", "patient": "y"}]}'])
def test_a_malformed_file_is_refused(content):
    with pytest.raises(EnsembleError, match=r"studies\.json"):
        KnownStudies.from_json(content)
