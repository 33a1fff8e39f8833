"""What comes is on disk under our names, hashed; what does not come whole leaves nothing."""

import asyncio
import gzip
import hashlib
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from starlette.testclient import TestClient

from prostate_alm.service.problems import ProblemError, add_problem_handlers
from prostate_alm.service.storage import Storage
from prostate_alm.service.uploads import receive_study


@pytest.fixture
def storage(tmp_path):
    storage = Storage(tmp_path / "data")
    storage.open()
    return storage


@pytest.fixture
def client(storage):
    """An app that says what it received, by name and content."""
    app = FastAPI()
    add_problem_handlers(app)

    @app.post("/")
    async def post(request: Request, free: int = 0):
        async with receive_study(request, storage, free_disk_bytes=free) as received:
            files = {path.name: path.read_bytes().hex() for path in received.folder.iterdir()}
            modes = {oct(received.folder.stat().st_mode & 0o777)}
            return {"files": files, "sha256": received.content_sha256, "modes": sorted(modes)}

    return TestClient(app)


def left(storage):
    return [path for path in storage.root.rglob("*") if path.is_file()]


def send(client, *, data=None, **parts):
    return client.post("/", files={name: (f"CANARY^{name}", content) for name, content in parts.items()}, data=data)


def problem(response, status, code):
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert "CANARY" not in response.text


def test_a_zip_lies_under_our_name_for_us_alone_and_is_gone_in_the_end(client, storage):
    got = send(client, file=b"PK-zip").json()
    assert got["files"] == {"study": b"PK-zip".hex()}
    assert got["modes"] == ["0o700"]
    assert left(storage) == []


def test_nifti_parts_keep_their_roles_and_are_told_by_content_whether_compressed(client):
    packed = gzip.compress(b"nifti")
    got = send(client, t2=packed, dwi=b"plain", adc=packed, data={"b_values": "50, 800"}).json()
    assert set(got["files"]) == {"t2.nii.gz", "dwi.nii", "adc.nii.gz", "dwi.bval"}
    assert bytes.fromhex(got["files"]["dwi.bval"]).split() == [b"50", b"800"]


def test_the_hash_is_of_content_and_role_alone(client):
    one = send(client, t2=b"a", dwi=b"b").json()["sha256"]
    assert client.post("/", files=[("dwi", ("y", b"b")), ("t2", ("x", b"a"))]).json()["sha256"] == one
    assert send(client, t2=b"b", dwi=b"a").json()["sha256"] != one
    line = f"file {hashlib.sha256(b'z').hexdigest()}\n"
    assert send(client, file=b"z").json()["sha256"] == hashlib.sha256(line.encode()).hexdigest()


def test_fields_left_empty_by_a_browser_count_as_not_sent(client):
    fields = [('file"; filename="s.zip', "z"), ('t2"; filename="', ""), ('dwi"; filename="', ""), ("b_values", "")]
    parts = [f'--a\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n' for name, text in fields]
    headers = {"content-type": "multipart/form-data; boundary=a"}
    got = client.post("/", content="".join([*parts, "--a--\r\n"]), headers=headers).json()
    assert set(got["files"]) == {"study"}


def test_an_empty_file_that_was_chosen_is_a_study_to_be_answered(client):
    assert send(client, file=b"").json()["files"] == {"study": ""}


def test_what_is_no_study_is_a_problem(client, storage):
    problem(send(client, file=b"x", t2=b"y"), 422, "TWO_KINDS_OF_FILES")
    problem(client.post("/", files={"b_values": (None, "50")}), 422, "NO_FILE")
    problem(client.post("/", data={"b_values": "50"}), 415, "MEDIA_TYPE_UNSUPPORTED")
    problem(send(client, file=b"x", CANARY=b"y"), 422, "REQUEST_INVALID")
    problem(client.post("/", files=[("t2", ("a", b"a")), ("t2", ("b", b"b"))]), 422, "REQUEST_INVALID")
    problem(send(client, dwi=b"x", data={"b_values": "5" * 1001}), 422, "REQUEST_INVALID")
    problem(client.post("/", content=b"xx", headers={"content-type": "multipart/form-data; boundary=a"}), 400,
            "BODY_INVALID")  # fmt: skip
    assert left(storage) == []


def test_a_nearly_full_disk_takes_nothing(client, storage):
    response = client.post("/", params={"free": 2**60}, files={"file": b"x"})
    problem(response, 507, "STORAGE_FULL")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to be a full disk")
def test_a_disk_that_fills_up_on_the_way_is_a_problem_and_leaves_nothing(client, storage, monkeypatch):
    real = storage.new_incoming

    def on_a_full_disk():
        folder = real()
        (folder / "part").symlink_to("/dev/full")
        return folder

    monkeypatch.setattr(storage, "new_incoming", on_a_full_disk)
    problem(send(client, file=b"x" * 3_000_000), 507, "STORAGE_FULL")
    assert list((storage.root / "incoming").iterdir()) == []


def test_a_client_that_goes_away_leaves_nothing(storage):
    """It sends half a file, and hangs up."""
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    messages = [
        {"type": "http.request", "body": head + b"x" * 2**21, "more_body": True},
        {"type": "http.disconnect"},
    ]

    seen = []

    async def receive():
        seen.append([path.name for path in left(storage)])
        return messages.pop(0)

    scope = {"type": "http", "method": "POST", "headers": [(b"content-type", b"multipart/form-data; boundary=a")]}

    async def run():
        async with receive_study(Request(scope, receive), storage):
            pytest.fail("half a study was taken")

    with pytest.raises(ProblemError):
        asyncio.run(run())
    assert seen == [[], ["part"]]
    assert list((storage.root / "incoming").iterdir()) == []
