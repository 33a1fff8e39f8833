"""A tree in which patients, examinations and zips lie mixed."""

import os
import pickle
import random

import pytest
from pydicom import dcmread
from pydicom.uid import ImplicitVRLittleEndian

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import examine_study, find_studies, read_study
from prostate_alm.readers.archive import Limits


@pytest.fixture
def patients(build, tmp_path):
    """Two patients, the first with two examinations; returns the images and the key of each."""
    studies = []
    for number, patient in enumerate(("4711", "4711", "4712")):
        one = type(build)()
        images = one.study()
        for image in images:
            image.PatientID, image.PatientName = patient, f"Doe^{patient}"
        images[0].PixelData = bytes([number, 1]) + images[0].PixelData[2:]
        studies.append((images, read_study(one.write(images, tmp_path / f"alone{number}")).key))
    return studies


def test_a_mixed_folder_is_taken_apart(build, patients, tmp_path):
    images = [image for one, _ in patients for image in one]
    random.Random(0).shuffle(images)
    found = find_studies(build.write(images, tmp_path / "mixed"), salt="s")
    assert sorted(read_study(one).key for one in found) == sorted(key for _, key in patients)
    assert sorted(len([one for one in found if one.patient == patient]) for patient in {o.patient for o in found}) == [
        1,
        2,
    ]
    assert {(one.images, one.series) for one in found} == {(48, 3)}


def test_keys_follow_the_salt_and_hold_nothing_of_the_patient(build, patients, tmp_path):
    folder = build.write([image for one, _ in patients for image in one], tmp_path / "mixed")
    first, again, other = (find_studies(folder, salt=salt) for salt in ("a", "a", "b"))
    assert [one.key for one in first] == [one.key for one in again]
    assert not {one.key for one in first} & {one.key for one in other}
    assert "4711" not in repr(first)
    assert "mixed" not in repr(first)


def test_zips_in_the_tree_are_opened(build, patients, tmp_path):
    tree = tmp_path / "tree"
    both = build.write([image for one, _ in patients[:2] for image in one], tmp_path / "both")
    build.write(patients[2][0], tree / "third")
    build.zip(both, tree / "both.zip")
    found = find_studies(tree, salt="s")
    assert sorted(read_study(one).key for one in found) == sorted(key for _, key in patients)
    assert {read_study(one).key for one in find_studies(tree / "both.zip", salt="s")} == {k for _, k in patients[:2]}


def test_the_headers_of_a_zip_are_read_once(build, patients, tmp_path, monkeypatch):
    """In implicit VR, where pydicom reads every header: it can be counted."""
    images = [image for one, _ in patients[:2] for image in one]
    for image in images:
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    tree = tmp_path / "tree"
    tree.mkdir()
    build.zip(build.write(images, tmp_path / "both"), tree / "both.zip")
    read = []
    monkeypatch.setattr("prostate_alm.readers.header.dcmread", lambda *a, **k: read.append(a) or dcmread(*a, **k))
    found = pickle.loads(pickle.dumps(find_studies(tree, salt="s")))
    assert {read_study(one).key for one in found} == {key for _, key in patients[:2]}
    assert len(read) == len(images)


def test_a_zip_is_not_read_by_the_headers_of_another(build, patients, tmp_path):
    (tmp_path / "tree").mkdir()
    archive = build.zip(build.write(patients[0][0], tmp_path / "first"), tmp_path / "tree" / "study.zip")
    (found,) = find_studies(tmp_path / "tree", salt="s")
    times = archive.stat()
    build.zip(build.write(patients[1][0], tmp_path / "second"), archive)
    os.utime(archive, ns=(times.st_atime_ns, times.st_mtime_ns + 1))
    with pytest.raises(StudyRefusedError, match="changed") as caught:
        read_study(found)
    assert caught.value.reason is Reason.INPUT_UNREADABLE


def test_only_what_is_read_of_a_zip_counts_against_the_limits(build, patients, tmp_path):
    images = [image for one, _ in patients for image in one]
    archive = build.zip(build.write(images, tmp_path / "all"), tmp_path / "all.zip")
    found = find_studies(archive, salt="s")
    assert {read_study(one, limits=Limits(files=48)).key for one in found} == {key for _, key in patients}
    with pytest.raises(StudyRefusedError, match="INPUT_TOO_LARGE"):
        read_study(found[0], limits=Limits(files=47))


def test_a_found_study_travels_between_processes(build, tmp_path):
    (found,) = find_studies(build.write(build.study(), tmp_path / "tree"), salt="s")
    inspection, study = examine_study(pickle.loads(pickle.dumps(found)))
    assert study is not None
    assert [one.number for one in inspection.chosen] == [4, 6, 7]


def test_an_unreadable_file_refuses_the_studies_beside_it_and_no_other(build, patients, tmp_path):
    tree = tmp_path / "tree"
    for number, (images, _) in enumerate(patients):
        build.write(images, tree / "a" / f"study{number}" / "images")
    (tree / "a" / "study1" / "images" / "0003.dcm").write_bytes(b"")
    refused = [one for one in find_studies(tree, salt="s") if one.refusal is not None]
    assert len(refused) == 1
    with pytest.raises(StudyRefusedError) as caught:
        read_study(pickle.loads(pickle.dumps(refused[0])))
    assert caught.value.reason is Reason.INPUT_UNREADABLE
    (tree / "a" / "study2" / "lost.dcm").write_bytes(b"")
    assert sum(one.refusal is not None for one in find_studies(tree, salt="s")) == 2
    (tree / "lost.dcm").write_bytes(b"")
    assert all(one.refusal is not None for one in find_studies(tree, salt="s"))


def test_parts_of_a_study_in_two_places_are_refused(build, patients, tmp_path):
    images = patients[0][0]
    part = build.write(images[:20], tmp_path / "part")
    tree = build.write(images[20:], tmp_path / "tree")
    build.zip(part, tree / "part.zip")
    (found,) = find_studies(tree, salt="s")
    assert found.refusal is not None
    assert found.refusal.reason is Reason.SERIES_AMBIGUOUS


def test_another_patients_slice_under_the_same_study_is_refused(build, tmp_path):
    images = build.study()
    images[3].PatientID = "4712"
    (found,) = find_studies(build.write(images, tmp_path / "tree"), salt="s")
    with pytest.raises(StudyRefusedError) as caught:
        read_study(found)
    assert caught.value.reason is Reason.MULTIPLE_PATIENTS


def test_a_tree_without_dicom_is_refused(tmp_path):
    (tmp_path / "note.txt").write_text("nothing")
    with pytest.raises(StudyRefusedError):
        find_studies(tmp_path, salt="s")
