"""A word of its own in every tag, name and cell that tells who a patient is or when: none of them gets out."""

import gzip
import shutil
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from prostate_alm.datasets.import_report import ImportReport
from prostate_alm.datasets.study_keys import default_keys_file
from prostate_alm.datasets.synthetic.corpus import CasePlan, draw_study
from prostate_alm.datasets.synthetic.enhanced_writer import write_multi_frames
from prostate_alm.datasets.synthetic.examination import Examination, write_single_frames
from prostate_alm.datasets.synthetic.layouts import Layout, lay_out
from prostate_alm.datasets.synthetic.vendors import SIEMENS

TEXTS = [
    *("PatientName", "PatientID", "OtherPatientIDs", "OtherPatientNames", "PatientBirthName", "PatientMotherBirthName"),
    *("PatientAddress", "PatientComments", "AccessionNumber", "StudyID", "ReferringPhysicianName", "OperatorsName"),
    *("PerformingPhysicianName", "RequestingPhysician", "InstitutionName", "InstitutionAddress", "StationName"),
    *("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription", "ImageComments"),
    *("ProtocolName", "DeviceSerialNumber", "InstitutionalDepartmentName", "AdditionalPatientHistory"),
]
DATES = {
    "PatientBirthDate": "19330217",
    **dict.fromkeys(("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"), "20130911"),
}
CLOCK = "113357"
UID_ROOT = "1.2.276.0.77441188"
WORD = "kanarienvogel"  # within every text, file name and cell
SECRETS = [WORD, *sorted(set(DATES.values())), "1933-02-17", "2013-09-11", CLOCK, UID_ROOT]


def marked(image: Dataset, patient: int) -> None:
    """Put secrets into every tag of a patient, and into what the scanner wrote as free text."""
    for keyword in TEXTS:
        setattr(image, keyword, f"{WORD}{patient}{keyword[:2]}"[:16])
    for keyword, value in DATES.items():
        setattr(image, keyword, value)
    for keyword in ("StudyTime", "SeriesTime", "AcquisitionTime", "ContentTime"):
        if keyword in image:
            setattr(image, keyword, f"{CLOCK}.{int(image.SeriesNumber):06d}")
    if "AcquisitionDateTime" in image:
        image.AcquisitionDateTime = f"{DATES['StudyDate']}{CLOCK}"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID"):
        setattr(image, keyword, f"{UID_ROOT}.{image[keyword].value[-30:].lstrip('0.')}")
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.SeriesDescription = f"{image.SeriesDescription} {image.PatientName} 20130911"
    image.ManufacturerModelName = f"{image.ManufacturerModelName} {image.PatientID}"
    image.private_block(0x0071, f"{WORD} 1", create=True).add_new(1, "LO", f"{WORD} private")


def write_patient(root: Path, name: str, patient: int, *, enhanced: bool = False) -> str:
    """A small examination in `root / name`; returns its StudyInstanceUID."""
    layout = Layout.ENHANCED if enhanced else Layout.MULTI_B
    study = draw_study(CasePlan(patient, 3, layout, SIEMENS.name), SIEMENS)
    examination = Examination(f"{name}", patient, SIEMENS, lay_out(layout, study, SIEMENS).series)
    (write_multi_frames if enhanced else write_single_frames)(examination, root / name)
    uid = ""
    for path in sorted((root / name).iterdir()):
        image = dcmread(path)
        marked(image, patient)
        uid = image.StudyInstanceUID
        image.save_as(path.with_name(f"{WORD}-{path.name}"), enforce_file_format=True)
        path.unlink()
    return uid


def truncate(t2: list[Path]) -> None:
    t2[0].write_bytes(t2[0].read_bytes()[:-100])


def mix(t2: list[Path]) -> None:
    image = dcmread(t2[0])
    image.PatientID = f"{WORD}other"
    image.save_as(t2[0], enforce_file_format=True)


def malform(t2: list[Path]) -> None:
    """A word in place of the pixel spacing, which is a number by the standard."""
    for path in t2:
        spacing = "\\".join(str(number) for number in dcmread(path).PixelSpacing).encode()
        content = path.read_bytes()
        assert content.count(spacing) == 1
        path.write_bytes(content.replace(spacing, WORD.encode()[: len(spacing)]))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A cohort of every layout and three faulty studies, imported by the command; what it printed."""
    base = tmp_path_factory.mktemp("cohort")
    root = base / f"{WORD}-disk"
    uids = [write_patient(root, f"{WORD}-{n}", n, enhanced=n == 1) for n in range(4)]
    shutil.make_archive(str(root / f"{WORD}-1"), "zip", root / f"{WORD}-1")
    shutil.rmtree(root / f"{WORD}-1")
    (root / f"{WORD}-2").rename(root / "dump")
    (root / f"{WORD}-3").rename(root / "dump" / "deep")
    for number, break_study in enumerate((truncate, mix, malform), start=4):
        copy = shutil.copytree(root / f"{WORD}-0", root / f"{WORD}-{number}")
        for path in copy.iterdir():
            image = dcmread(path)
            image.StudyInstanceUID = f"{uids[0][:60]}.{number}"
            image.save_as(path, enforce_file_format=True)
        break_study(sorted(copy.glob("*-03-*")))
    cells = [f"{WORD}-0", f"{WORD}-1", *uids[2:], *(f"{WORD}-{n}" for n in range(4, 7)), f"{WORD}-absent"]
    table = "".join(f"{cell},{WORD}p{n // 2},{n % 2},x{n}\n" for n, cell in enumerate(cells))
    (base / "labels.csv").write_text(f"study,patient,label,site\n{table}")
    command = [sys.executable, "-m", "prostate_alm.cli", "cohort", "import"]
    command += [
        "--keep",
        "site",
        "--workers",
        "2",
        "--dicom",
        str(root),
        "--labels",
        str(base / "labels.csv"),
        "--out",
        str(base / "out"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=base)
    assert done.returncode == 0, done.stderr
    return base / "out", done.stdout + done.stderr


def readable(path: Path) -> Iterator[bytes]:
    """The bytes of a file, and what is compressed in it."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".gz":
        yield gzip.decompress(content)
    if path.suffix == ".png":
        yield from chunks(content)


def chunks(png: bytes) -> Iterator[bytes]:
    """The chunks of a PNG but its pixels; text chunks may be deflated."""
    position = 8
    while position < len(png):
        (length,) = struct.unpack(">I", png[position : position + 4])
        kind, content = png[position + 4 : position + 8], png[position + 8 : position + 8 + length]
        assert kind in (b"IHDR", b"IDAT", b"IEND", b"PLTE"), kind
        yield zlib.decompress(content) if kind == b"zTXt" else content
        position += 12 + length


def test_the_cohort_is_what_it_was_meant_to_be(imported: tuple[Path, str]) -> None:
    out, _ = imported
    report = ImportReport.model_validate_json((out / "import_report.json").read_bytes())
    assert [study.kept for study in report.studies] == [True] * 4 + [False] * 3
    reasons = [study.reason for study in report.studies[4:]]
    assert [reason.value for reason in reasons if reason] == [
        "INPUT_UNREADABLE",
        "MULTIPLE_PATIENTS",
        "GEOMETRY_INVALID",
    ]
    assert report.rows_without_study == [9]
    shown = [one.description for study in report.studies[:4] for one in study.series]
    assert shown
    assert all("***" in description for description in shown)
    assert all("***" in study.model for study in report.studies[:4])
    assert WORD in default_keys_file(out).read_text()


@pytest.mark.parametrize("secret", SECRETS)
def test_no_secret_gets_out(imported: tuple[Path, str], secret: str) -> None:
    out, printed = imported
    assert secret not in printed.lower()
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) > 25
    for path in files:
        assert secret not in path.relative_to(out).as_posix().lower()
        assert not any(secret.encode() in content.lower() for content in readable(path)), path.name
