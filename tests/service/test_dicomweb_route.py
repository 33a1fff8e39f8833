"""STOW-RS: what a sender is told, and that a study sent this way gets its answer."""

import io
import threading
from xml.etree import ElementTree

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EncapsulatedPDFStorage

JSON = "application/dicom+json"
RELATED = 'multipart/related; type="application/dicom"; boundary=b0und'
FAST = {"complete": {"quiet_seconds": 0.2, "incomplete_seconds": 0.4}}
SOON = {"complete": {"quiet_seconds": 2, "incomplete_seconds": 4}}
SLOW = {"complete": {"quiet_seconds": 3000, "incomplete_seconds": 6000}}


def body_of(files):
    parts = (b"--b0und\r\nContent-Type: application/dicom\r\n\r\n" + file + b"\r\n" for file in files)
    return b"".join([*parts, b"--b0und--\r\n"])


def store(client, files, *, path="/dicomweb/studies", content_type=RELATED, accept=JSON):
    headers = {"Content-Type": content_type, "Accept": accept}
    return client.post(path, content=body_of(files), headers=headers)


def said(response):
    assert response.headers["content-type"] == JSON
    return Dataset.from_json(response.text)


def problem_of(response):
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["code"]


@pytest.fixture(scope="module")
def images(dicom_folders):
    return [path.read_bytes() for path in sorted(dicom_folders[0].iterdir())]


@pytest.fixture(scope="module")
def waiting(run_service):
    """A service that waits long for more images, so that what it was sent stays to be seen."""
    with run_service(worker=False, **SLOW) as client:
        yield client


def uid_of(image, keyword="SOPInstanceUID"):
    return pydicom.dcmread(io.BytesIO(image), stop_before_pixels=True)[keyword].value


def test_a_study_that_was_stored_is_answered(run_service, images):
    with run_service("never", **FAST) as client:
        response = store(client, images)
        assert response.status_code == 200
        assert {one.ReferencedSOPInstanceUID for one in said(response).ReferencedSOPSequence} == set(
            map(uid_of, images)
        )
        (study,) = until(lambda: client.get("/v1/studies").json())
        answer = client.get(f"/v1/studies/{study['id']}", params={"wait": 60}).json()
        assert (study["source"], answer["recommendation"], answer["basis"]) == ("stow", "DCE_NOT_NEEDED", "MODEL")


def test_a_study_without_adc_is_answered_fail_safe(run_service, images):
    with run_service("never", **FAST) as client:
        store(client, [image for image in images if uid_of(image, "SeriesNumber") in {3, 4}])
        (study,) = until(lambda: client.get("/v1/studies").json())
        answer = client.get(f"/v1/studies/{study['id']}", params={"wait": 60}).json()
        assert (answer["basis"], answer["reasons"]) == ("FAILSAFE", ["STUDY_INCOMPLETE"])


def until(look):
    """What `look` gives once it gives something; the test's own timeout ends it."""
    while not (found := look()):
        threading.Event().wait(0.05)
    return found


def broken_off(client, images):
    client.post("/dicomweb/studies", content=body_of(images)[:-3000], headers={"Content-Type": RELATED})


def one_refused(client, images):
    store(client, [*images, images[0][:-9].replace(uid_of(images[0]).encode(), uid_of(images[0])[:-1].encode() + b"9")])


def too_large(client, images):
    store(client, images)
    assert store(client, images * 40).status_code == 413


def of_another_type(client, images):
    store(client, images)
    assert store(client, images[:1], content_type="application/dicom").status_code == 415


@pytest.mark.parametrize("spoil", [broken_off, one_refused, too_large, of_another_type])
def test_a_study_of_which_anything_was_refused_is_never_not_needed(run_service, images, spoil):
    limit = 2 * sum(map(len, images))
    with run_service("never", max_upload_bytes=limit, **SOON) as client:
        spoil(client, images)
        (study,) = until(lambda: client.get("/v1/studies").json())
        answer = client.get(f"/v1/studies/{study['id']}", params={"wait": 60}).json()
        assert (answer["recommendation"], answer["reasons"]) == ("DCE_RECOMMENDED", ["STUDY_INCOMPLETE"])


def test_part_of_the_instances_taken_is_202_and_none_is_409(waiting, images):
    mixed = store(waiting, [images[0], b"no DICOM" * 40])
    assert mixed.status_code == 202
    assert [one.FailureReason for one in said(mixed).OtherFailuresSequence] == [0xC000]
    assert store(waiting, [b"no DICOM" * 40]).status_code == 409


def test_the_same_instance_again_is_taken_and_another_under_its_uid_is_not(waiting, images):
    assert store(waiting, images[:1]).status_code == 200
    assert store(waiting, images[:1]).status_code == 200
    other = bytearray(images[0])
    other[-1] ^= 1
    response = store(waiting, [bytes(other)])
    assert response.status_code == 409
    (failed,) = said(response).FailedSOPSequence
    assert (failed.ReferencedSOPInstanceUID, failed.FailureReason) == (uid_of(images[0]), 0x0111)


def test_every_storage_class_is_taken(waiting, images):
    document = pydicom.dcmread(io.BytesIO(images[1]))
    document.SOPClassUID = document.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    file = io.BytesIO()
    document.save_as(file)
    assert store(waiting, [file.getvalue()]).status_code == 200


def test_a_study_named_in_the_address_keeps_others_out(waiting, images):
    study = uid_of(images[0], "StudyInstanceUID")
    assert store(waiting, images[1:2], path=f"/dicomweb/studies/{study}").status_code == 200
    refused = store(waiting, images[1:2], path="/dicomweb/studies/1.2.3")
    assert refused.status_code == 409
    assert said(refused).FailedSOPSequence[0].FailureReason == 0xA900


def test_xml_is_given_to_whom_wants_it(waiting, images):
    response = store(waiting, images[2:3], accept="application/dicom+xml")
    assert response.headers["content-type"] == "application/dicom+xml"
    assert ElementTree.fromstring(response.content).find("DicomAttribute[@tag='00081199']") is not None


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"content_type": "application/dicom"}, (415, "MEDIA_TYPE_UNSUPPORTED")),
        ({"content_type": RELATED.replace("/dicom", "/dicom+json")}, (415, "MEDIA_TYPE_UNSUPPORTED")),
        ({"content_type": RELATED.replace("b0und", "other")}, (400, "BODY_INVALID")),
        ({"accept": "text/html;q=0.9"}, (406, "NOT_ACCEPTABLE")),
        ({"path": "/dicomweb/studies/1.2..3"}, (422, "REQUEST_INVALID")),
        ({"path": "/dicomweb/studies/" + "1." * 40 + "1"}, (422, "REQUEST_INVALID")),
    ],
)
def test_a_request_that_is_no_stow_is_a_problem(waiting, images, changes, problem):
    assert problem_of(store(waiting, images[:1], **changes)) == problem


def test_a_body_that_breaks_off_is_a_problem_and_what_came_whole_stays(waiting, images):
    body = body_of(images[4:6])[:-2000]
    response = waiting.post("/dicomweb/studies", content=body, headers={"Content-Type": RELATED})
    assert problem_of(response) == (400, "BODY_INVALID")
    assert store(waiting, images[4:6]).status_code == 200


def test_nothing_is_left_among_what_is_being_received(waiting, images):
    store(waiting, images[:2])
    incoming = waiting.app.state.storage.root / "incoming"
    assert list(incoming.iterdir()) == []
