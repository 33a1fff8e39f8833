"""Parts of a DICOMweb body: which become files, which are refused, and what is written of them."""

import asyncio
import io

import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from prostate_alm.service.instances import (
    Failure,
    InstanceParts,
    Result,
    content_sha256,
    data_set_sha256,
    read_instance_file,
)
from prostate_alm.service.multipart import receive_multipart
from prostate_alm.service.problems import ProblemError

BOUNDARY = "----b0undary"


def body_of(parts, content_type="application/dicom"):
    blocks = (f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode() + part + b"\r\n" for part in parts)
    return b"".join(blocks) + f"--{BOUNDARY}--\r\n".encode()


def send(parts, folder, *, keep=None, study=None, chunk=997, content_type="application/dicom"):
    """Receive parts in small pieces; returns the results and the files that were handed on."""
    files = []

    def take(instance, path):
        files.append((instance, path.read_bytes()))
        return keep(instance) if keep else None

    receiver = InstanceParts(folder, take, study=study)
    body = body_of(parts, content_type)

    async def stream():
        for start in range(0, len(body), chunk):
            yield body[start : start + chunk]

    header = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
    asyncio.run(receive_multipart(stream(), header, subtype="related", receiver=receiver, max_parts=100))
    return receiver.results, files


@pytest.fixture
def images(dicom_folders):
    return [path.read_bytes() for path in sorted(dicom_folders[0].iterdir())[:3]]


def test_each_part_is_handed_on_with_its_uids(images, tmp_path):
    results, files = send(images, tmp_path)
    assert [content for _, content in files] == images
    expected = [pydicom.dcmread(io.BytesIO(image), stop_before_pixels=True) for image in images]
    assert [(one.sop_class, one.sop, one.study) for one, _ in files] == [
        (one.SOPClassUID, one.SOPInstanceUID, one.StudyInstanceUID) for one in expected
    ]
    assert results == [Result(instance, None) for instance, _ in files]
    assert list(tmp_path.iterdir()) == []


def test_what_keeps_an_instance_out_is_its_result(images, tmp_path):
    results, _ = send(images[:1], tmp_path, keep=lambda _: Failure.DUPLICATE)
    assert results[0].failure is Failure.DUPLICATE


def test_a_program_in_the_preamble_is_wiped(images, tmp_path):
    _, files = send([b"MZ\x90" * 42 + b"xx" + images[0][128:]], tmp_path)
    assert files[0][1] == bytes(128) + images[0][128:]


def test_an_instance_of_another_study_is_not_taken(images, tmp_path):
    results, files = send(images[:1], tmp_path, study="1.2.3")
    assert (results[0].failure, files) == (Failure.OTHER_STUDY, [])


def deflated(image):
    data_set = pydicom.dcmread(io.BytesIO(image))
    data_set.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    file = io.BytesIO()
    data_set.save_as(file)
    return file.getvalue()


def without_uid(image):
    data_set = pydicom.dcmread(io.BytesIO(image))
    del data_set.StudyInstanceUID
    file = io.BytesIO()
    data_set.save_as(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("spoil", "failure"),
    [
        (lambda image: b"no DICOM at all" * 20, Failure.NOT_UNDERSTOOD),
        (lambda image: b"", Failure.NOT_UNDERSTOOD),
        (lambda image: image[:-1], Failure.NOT_UNDERSTOOD),
        (lambda image: image[:400], Failure.NOT_UNDERSTOOD),
        (without_uid, Failure.NOT_UNDERSTOOD),
        (deflated, Failure.TRANSFER_SYNTAX),
    ],
    ids=["text", "empty", "one byte short", "half a header", "no study", "deflated"],
)
def test_a_part_that_is_no_whole_instance_is_refused_and_the_others_are_taken(images, tmp_path, spoil, failure):
    results, files = send([images[0], spoil(images[1]), images[2]], tmp_path)
    assert [one.failure for one in results] == [None, failure, None]
    assert results[1].instance is None
    assert len(files) == 2


def test_another_kind_of_part_ends_the_request(images, tmp_path):
    with pytest.raises(ProblemError, match="application/dicom"):
        send(images, tmp_path, content_type="application/dicom+json")


def test_uids_do_not_show(images, tmp_path):
    _, files = send(images[:1], tmp_path)
    assert files[0][0].sop not in repr(files[0][0]) + files[0][0].file_name


def rewritten(image, **changes):
    data_set = pydicom.dcmread(io.BytesIO(image))
    for keyword, value in changes.items():
        setattr(data_set, keyword, value)
    data_set.file_meta.ImplementationVersionName = "ANOTHER ROUTER"
    file = io.BytesIO()
    data_set.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_content_is_what_the_data_sets_say_in_any_order_from_any_sender(images, tmp_path):
    for name, contents in {
        "a": images,
        "b": [rewritten(image) for image in reversed(images)],
        "c": images[:2],
        "d": [*images[:2], rewritten(images[2], ImageComments="other")],
    }.items():
        (tmp_path / name).mkdir()
        for number, content in enumerate(contents):
            (tmp_path / name / str(number)).write_bytes(content)
    hashes = {name: content_sha256(tmp_path / name) for name in "abcd"}
    assert hashes["a"] == hashes["b"]
    assert len(set(hashes.values())) == 3
    assert content_sha256(tmp_path / "a", label="STUDY_INCOMPLETE") != hashes["a"]
    assert data_set_sha256(tmp_path / "a" / "0") == data_set_sha256(tmp_path / "b" / "2")


def test_a_file_that_cannot_be_read_is_the_machines_fault(tmp_path):
    with pytest.raises(OSError, match="No such file"):
        read_instance_file(tmp_path / "gone")
