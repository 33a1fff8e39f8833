"""A patient marked in every tag, name, header and URL is seen nowhere but in `identities` and on the page."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import zipfile
from contextlib import closing

import httpx2 as httpx
import pydicom
import pytest
from sqlalchemy import create_engine, inspect, text

CANARY = re.compile(rb"canary|19501231", re.IGNORECASE)
TEXT = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}
KEPT = {"SOPClassUID", "Modality", "ImageType", "ScanningSequence", "SequenceVariant", "SequenceName", "ScanOptions",
        "PhotometricInterpretation", "MRAcquisitionType", "SpecificCharacterSet", "DiffusionDirectionality",
        "Manufacturer", "RescaleType", "PatientPosition", "SeriesDescription"}  # fmt: skip


@pytest.fixture(scope="module")
def marked_zip(dicom_folders, tmp_path_factory):
    """A study whose every text of the patient, of the order and of the staff says so, in names of files too."""
    path = tmp_path_factory.mktemp("canary") / "CANARY^study.zip"
    place = tmp_path_factory.mktemp("images")
    with zipfile.ZipFile(path, "w") as archive:
        for number, source in enumerate(sorted(dicom_folders[0].iterdir())):
            image = pydicom.dcmread(source)
            for element in image:
                if element.VR in TEXT and element.keyword not in KEPT:
                    element.value = "CANARY^TAG" if element.VR == "PN" else "CANARY"
            image.PatientName, image.PatientID, image.PatientBirthDate = "CANARY^NAME", "CANARY-ID", "19501231"
            image.AccessionNumber, image.PatientComments, image.OperatorsName = "CANARY-A", "CANARY", "CANARY^OPERATOR"
            image.ReferringPhysicianName, image.InstitutionName = "CANARY^DOCTOR", "CANARY HOSPITAL"
            image.save_as(place / f"{number}")
            archive.write(place / f"{number}", f"CANARY^NAME/{number}.dcm")
    return path


@pytest.fixture(scope="module")
def served(parcels, tmp_path_factory):
    """The real service as a process, with its worker; gives its address, its folder and what it logs."""
    place = tmp_path_factory.mktemp("served")
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "prostate_alm.cli",
        "serve",
        "--ensemble",
        str(parcels["never"]),
        "--port",
        str(port),
    ]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PROSTATE_ALM_")}
    environment |= {"PROSTATE_ALM_FREE_DISK_BYTES": "0", "OMP_NUM_THREADS": "1"}
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--storage", str(place / "storage")], stdout=log, stderr=log, env=environment
        )
        try:
            yield f"http://127.0.0.1:{port}", place
        finally:
            process.terminate()
            process.wait(60)


def until_ready(client, seconds=300):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if client.get("/healthz/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    pytest.fail("the service did not become ready")


def provoke(client, marked_zip):
    """Send it in every way that goes well and goes wrong; gives what came back for machines."""
    head = {"X-Patient": "CANARY", "User-Agent": "CANARY", "Referer": "http://localhost/CANARY"}
    study = {"file": ("CANARY^NAME.zip", marked_zip.read_bytes())}
    sent = client.post(
        "/v1/studies", params={"wait": 120}, files=study, headers={**head, "Idempotency-Key": "CANARY-1"}
    )
    yield sent
    yield client.get(f"/v1/studies/{sent.json()['id']}")
    broken = marked_zip.read_bytes()[:-2000]
    yield client.post("/v1/studies", params={"wait": 60}, files={"file": ("CANARY", broken)}, headers=head)
    yield client.post("/v1/studies", params={"wait": 60}, files={"t2": ("CANARY", b"CANARY"), "dwi": ("c", b"CANARY")},
                      data={"b_values": "CANARY"})  # fmt: skip
    yield client.post("/v1/studies", files={"CANARY": ("CANARY", b"CANARY")})
    yield client.post("/v1/studies", params={"wait": "CANARY"}, files=study)
    yield client.post("/v1/studies", files={"file": ("x", b"x")}, headers={"Idempotency-Key": "CANARY^\xe9".encode()})
    yield client.post(
        "/v1/studies", content=b"CANARY", headers={"content-type": "multipart/form-data; boundary=CANARY"}
    )
    yield client.post("/v1/studies/CANARY:pull", params={"pacs": "CANARY"})
    yield client.post("/dicomweb/studies", content=b"CANARY", headers={"content-type": "CANARY/CANARY"})
    for url in ("/v1/studies/CANARY", "/CANARY", "/v1/CANARY?patient=CANARY", "/static/CANARY"):
        yield client.get(url, headers=head)
    yield client.get("/v1/studies", headers={"Authorization": "Bearer CANARY", "Cookie": "CANARY=CANARY"})
    yield client.request("CANARY", "/v1/studies")
    yield client.get("/v1/studies")
    yield client.get("/metrics")
    yield client.get("/healthz/ready")
    yield client.get("/openapi.json")


def test_the_patient_is_seen_nowhere_else(served, marked_zip):
    address, place = served
    with httpx.Client(base_url=address, timeout=200) as client:
        until_ready(client)
        answers = list(provoke(client, marked_zip))
        assert answers[0].status_code == 200
        assert answers[0].json()["basis"] == "MODEL"
        page = client.get("/", headers={"Accept": "text/html"})
    assert [answer.request.url for answer in answers if CANARY.search(answer.content)] == []
    assert [answer.request.url for answer in answers if CANARY.search(str(answer.headers.raw).encode())] == []
    assert b"CANARY" in page.content  # the one who looks at the patient's images is told whose they are
    check_log(place / "log")
    check_storage(place / "storage")
    check_database(place / "storage" / "triage.db")


def check_log(path):
    lines = path.read_bytes().splitlines()
    assert [line for line in lines if CANARY.search(line)] == []
    entries = [json.loads(line) for line in lines if line.startswith(b"{")]
    assert any(entry.get("event", "").startswith("study") for entry in entries)
    assert [entry for entry in entries if entry.get("dropped") or entry["level"] == "critical"] == []
    assert [line for line in lines if line.startswith(b"Traceback")] == []


def check_storage(folder):
    names = [str(path.relative_to(folder)) for path in folder.rglob("*")]
    assert [name for name in names if CANARY.search(name.encode())] == []
    assert {oct(path.stat().st_mode & 0o077) for path in folder.rglob("*") if path.is_dir()} == {"0o0"}
    assert list((folder / "incoming").iterdir()) == []


def check_database(path):
    engine = create_engine(f"sqlite:///{path}")
    found = set()
    with engine.connect() as connection:
        for table in inspect(engine).get_table_names():
            rows = connection.execute(text(f'select * from "{table}"')).all()
            if CANARY.search(str([tuple(row) for row in rows]).encode()):
                found.add(table)
    engine.dispose()
    assert found == {"identities"}
