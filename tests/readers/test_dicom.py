"""What a file may claim, and what is never skipped or said."""

import copy
import logging
import random
import sys
import warnings
import zlib
from collections import Counter
from pathlib import Path

import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedMRImageStorage,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    generate_uid,
)

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.readers import examine_study, inspect_study, read_study


def refusal(folder):
    with pytest.raises(StudyRefusedError) as caught:
        read_study(folder)
    return caught.value


def test_stray_files_are_skipped_and_counted(build, write):
    folder = write(build.study())
    key = read_study(folder).key
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1" + bytes(200))
    (folder / "._0001.dcm").write_bytes(b"\0\5\x16\x07" + bytes(200))
    (folder / "report.txt").write_text("no image")
    (folder / ".keep").touch()
    assert read_study(folder).key == key
    assert inspect_study(folder).skipped_files == 4


def test_a_zip_beside_the_images_is_refused_in_a_folder_and_in_a_zip(build, write, tmp_path):
    folder = write(build.study())
    part = build.write(build.t2(), tmp_path / "part")
    build.zip(part, folder / "Rest.ZIP")
    for path in (folder, build.zip(folder, tmp_path / "all.zip")):
        refusal = inspect_study(path).refusal
        assert refusal is not None
        assert refusal.reason is Reason.INPUT_UNREADABLE
        assert "zip" in str(refusal)


def test_a_dicomdir_is_skipped(build, write):
    folder = write(build.study())
    directory = build.t2()[0]
    directory.file_meta.MediaStorageSOPClassUID = directory.SOPClassUID = MediaStorageDirectoryStorage
    directory.PatientID = directory.StudyInstanceUID = ""
    directory.save_as(folder / "DICOMDIR", enforce_file_format=True)
    assert inspect_study(folder).skipped_files == 1


def test_the_names_of_images_do_not_matter(build, write):
    folder = write(build.study())
    key = read_study(folder).key
    for index, path in enumerate(sorted(folder.iterdir())):
        path.rename(folder / f"1.2.840.{index}")
    assert read_study(folder).key == key


@pytest.mark.parametrize(
    "content",
    [b"", bytes(128), bytes(128) + b"DICM", bytes(128) + b"DICM" + b"garbage" * 40, b"\x08\0\0\0\4\0\0\0" + bytes(200)],
    ids=["empty", "zeros", "magic alone", "garbage", "data set without preamble"],
)
@pytest.mark.parametrize("name", ["0005.dcm", "IM5"])
def test_what_may_be_a_lost_slice_is_refused_not_skipped(build, write, content, name):
    folder = write(build.study())
    (folder / name).write_bytes(content)
    assert refusal(folder).reason is Reason.INPUT_UNREADABLE


def test_one_damaged_letter_of_the_magic_word_loses_no_slice(build, write):
    folder = write(build.study())
    (folder / "0011.dcm").rename(folder / "IM0011")
    content = bytearray((folder / "IM0011").read_bytes())
    content[130] ^= 1
    (folder / "IM0011").write_bytes(content)
    assert refusal(folder).reason is Reason.INPUT_UNREADABLE


def test_copies_of_a_file_are_read_once(build, write, tmp_path):
    folder = write(build.study())
    key = read_study(folder).key
    for path in list(folder.iterdir())[::3]:
        (folder / "copies").mkdir(exist_ok=True)
        (folder / "copies" / path.name).write_bytes(path.read_bytes())
    assert read_study(folder).key == key


def test_a_copy_whose_preamble_alone_differs_is_one(build, write):
    folder = write(build.study())
    content = (folder / "0003.dcm").read_bytes()
    (folder / "again.dcm").write_bytes(b"II*" + content[3:])
    assert read_study(folder).t2.geometry.shape[2] == 12


@pytest.mark.parametrize("where", ["pixels", "position"])
def test_two_images_of_one_uid_that_differ_are_refused(build, write, where):
    images = build.study()
    twin = copy.deepcopy(images[3])
    if where == "pixels":
        twin.PixelData = b"\1" + twin.PixelData[1:]
    else:
        twin.ImagePositionPatient = [-12.0, -9.0, 23.2]
    assert refusal(write([*images, twin])).reason is Reason.SLICE_DUPLICATE


def test_a_text_that_is_named_as_an_image_is_refused(build, write):
    folder = write(build.study())
    (folder / "0005.dcm").write_text("<html>503 Service Unavailable</html>")
    assert refusal(folder).reason is Reason.INPUT_UNREADABLE


def test_a_file_cut_off_anywhere_is_refused(build, write):
    folder = write(build.t2())
    last = folder / "0011.dcm"  # the edge of the stack: its loss leaves no gap
    content = last.read_bytes()
    for length in [*random.Random(0).sample(range(len(content)), 40), len(content) - 1]:
        last.write_bytes(content[:length])
        assert refusal(folder).reason is Reason.INPUT_UNREADABLE, length


def test_whatever_byte_is_corrupt_nothing_but_a_refusal_is_raised(build, write):
    folder = write(build.study())
    path = folder / "0005.dcm"
    content = path.read_bytes()
    rng = random.Random(1)
    messages = []
    for _ in range(25):
        broken = bytearray(content)
        for _ in range(rng.randint(1, 4)):
            broken[rng.randrange(132, 1100)] = rng.randrange(256)
        path.write_bytes(broken)
        try:
            read_study(folder)
        except StudyRefusedError as error:
            messages.append(str(error))
    assert messages
    assert not any("Doe" in message or "4711" in message for message in messages)


def test_a_deflated_file_is_refused_before_it_is_inflated(build, write, monkeypatch):
    folder = write(build.study())
    bomb = build.t2()[0]
    bomb.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    bomb.save_as(folder / "bomb.dcm", enforce_file_format=True)
    monkeypatch.setattr(zlib, "decompress", None)
    monkeypatch.setattr(zlib, "decompressobj", None)
    error = refusal(folder)
    assert error.reason is Reason.INPUT_UNREADABLE
    assert "deflated" in str(error)


def test_implicit_little_endian_reads_alike(build, tmp_path):
    images = build.study()
    key = read_study(build.write(images, tmp_path / "explicit")).key
    for image in images:
        image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert read_study(build.write(images, tmp_path / "implicit")).key == key


@pytest.mark.parametrize(("keyword", "value"), [("PatientID", "4712"), ("PatientName", "Roe^John")])
def test_two_patients_are_refused_whatever_the_image_is(build, write, keyword, value):
    images = build.study()
    other = build.series(9, "report", slices=1, EchoTime=1)
    setattr(other[0], keyword, value)
    assert refusal(write([*images, *other])).reason is Reason.MULTIPLE_PATIENTS


def test_one_patient_written_in_two_ways_is_one(build, write):
    images = build.study()
    images[0].PatientName = "DOE^JANE^^"
    images[1].PatientName = ""
    assert read_study(write(images)).t2.geometry.shape[2] == 12


def test_two_studies_of_one_patient_are_refused(build, write):
    images = build.study()
    for image in images[:12]:
        image.StudyInstanceUID = generate_uid()
    assert refusal(write(images)).reason is Reason.MULTIPLE_STUDIES


def test_no_name_date_or_uid_comes_out(build, write, capfd, caplog):
    caplog.set_level(logging.DEBUG)
    images = build.study()
    for image in images[:12]:
        image.add_new(0x00080020, "DA", "19990909")
    folder = write(images)
    secrets = ["Doe", "4711", "19500101", "20240102", *{image.StudyInstanceUID for image in images}]
    secrets += [image.SOPInstanceUID for image in images] + [images[0].FrameOfReferenceUID]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study, inspection = read_study(folder), inspect_study(folder)
        (folder / "0003.dcm").unlink()
        error = refusal(folder)
    output = "".join(capfd.readouterr())
    log = "".join(record.getMessage() for record in caplog.records if record.name != "root")
    text = f"{study!r}{study.t2!r}{vars(study)}{study.t2.frame_of_reference}{inspection!r}{error!r}{output}{log}"
    assert [secret for secret in secrets if str(secret) in text] == []
    assert not caught
    assert study.t2.frame_of_reference == study.adc.frame_of_reference != ""


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SOPClassUID", "FrameOfReferenceUID"])
def test_a_value_that_breaks_its_vr_makes_no_noise(build, write, capfd, caplog, keyword):
    images = build.study()
    folder = write(images)
    path = folder / "0002.dcm"
    uid = images[2][keyword].value.encode()
    path.write_bytes(path.read_bytes().replace(uid, b"x" + uid[1:]))  # pydicom warns, and quotes it
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        inspect_study(folder)
    assert not caught
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_frames_of_reference_are_told_apart(build, write):
    images = build.study()
    for image in images[12:]:
        image.FrameOfReferenceUID = "1.2.3"
    study = read_study(write(images))
    assert study.t2.frame_of_reference != study.adc.frame_of_reference


def test_an_enhanced_object_that_does_not_describe_its_frames_is_refused(build, write):
    enhanced = build.t2()[:1]
    enhanced[0].SOPClassUID = enhanced[0].file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    enhanced[0].NumberOfFrames = 12
    assert refusal(write([*enhanced, *build.study()])).reason is Reason.INPUT_UNREADABLE


def test_a_classic_image_with_many_frames_is_left_aside(build, write):
    many = build.t2(number=5)[:1]
    many[0].NumberOfFrames = 2
    assert read_study(write([*many, *build.study()])).series[0].number == 4


def test_a_header_is_read_once_and_pixels_only_of_what_is_chosen(build, write):
    folder = write([*build.study(), *build.t2(number=3, orientation=(0, 1, 0, 0, 0, -1))])
    opened, active = Counter(), [True]

    def count(event, arguments):
        if active and event == "open" and str(arguments[0]).startswith(str(folder)):
            opened[Path(str(arguments[0])).name] += 1

    sys.addaudithook(count)  # for the life of the process, so it is put to sleep
    read_study(folder)
    active.clear()
    assert len(opened) == 60
    chosen = {name for name, times in opened.items() if times == 3}  # is it DICOM, its header, its pixels
    assert chosen == {f"{number:04d}.dcm" for number in range(48)}
    assert set(opened.values()) == {2, 3}


def test_the_words_of_one_image_are_hidden_in_all(build, write):
    """A series whose own patient tags were blanked still repeats the name."""
    t2 = build.t2(description="t2 Zyzzyva", ManufacturerModelName="Zyzzyva 1", PatientName="", PatientID="")
    folder = write([*t2, *build.dwi(PatientName="Zyzzyva^Max"), *build.adc(PatientName="Zyzzyva^Max")])
    inspection, study = examine_study(folder)
    assert study is not None
    assert "Zyzzyva" not in f"{inspection!r} {study.series} {study.acquisition}"
    assert study.acquisition.model == "*** 1"
