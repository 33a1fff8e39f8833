"""The transport: what is a problem, what waits, who may ask, and that nothing of a patient stays."""

import logging
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from prostate_alm.errors import ArgumentError, EnsembleError, Reason
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.service.app import create_app
from prostate_alm.service.clock import utc_now
from prostate_alm.service.settings import ServiceSettings

CANARY = "CANARY"
TOKEN = "a token of enough characters"


def problem(response, status, code):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["code"] == code
    assert "recommendation" not in response.json()


def eventually(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def core_of(client):
    return client.app.state.core


def incoming(client):
    return list((core_of(client).storage.root / "incoming").iterdir())


@pytest.fixture(scope="module")
def idle(run_service):
    """A service without a worker: what is sent waits."""
    with run_service(worker=False, queue_size=1000) as client:
        yield client


def test_a_request_without_a_file_is_a_problem(idle):
    problem(idle.post("/v1/studies", files={"b_values": (None, "50,800")}), 422, "NO_FILE")
    problem(idle.post("/v1/studies"), 415, "MEDIA_TYPE_UNSUPPORTED")


def test_a_zip_beside_nifti_is_a_problem(idle, post):
    problem(post(idle, file=b"x", t2=b"y"), 422, "TWO_KINDS_OF_FILES")
    assert incoming(idle) == []


@pytest.mark.parametrize("wait", ["-1", "301", "soon", "nan"])
def test_a_wait_out_of_range_is_a_problem(idle, post, wait):
    problem(post(idle, file=b"x", wait=wait), 422, "REQUEST_INVALID")


def test_a_problem_quotes_nothing_of_the_request(idle):
    response = idle.post("/v1/studies", data={"file": f"{CANARY}^NAME"}, params={"wait": CANARY})
    problem(response, 422, "REQUEST_INVALID")
    assert CANARY not in response.text


def test_a_form_that_is_none_is_a_problem(idle):
    response = idle.post("/v1/studies", content=b"xx", headers={"content-type": "multipart/form-data; boundary=a"})
    assert response.headers["content-type"] == "application/problem+json"
    assert 400 <= response.status_code < 500


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/studies/" + "0" * 32, 404, "NOT_FOUND"),
        ("GET", "/v1/studies/../../etc/passwd", 404, "NOT_FOUND"),
        ("GET", "/v1/studies/x", 422, "REQUEST_INVALID"),
        ("GET", "/v2/studies", 404, "NOT_FOUND"),
        ("DELETE", "/v1/studies", 405, "METHOD_NOT_ALLOWED"),
        ("GET", "/v1/studies?limit=0", 422, "REQUEST_INVALID"),
    ],
)
def test_other_requests_are_problems(idle, *, method, path, status, code):
    problem(idle.request(method, path), status, code)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_beyond_the_limit_is_a_problem_and_leaves_nothing(run_service, *, chunked):
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = [head, *[b"\0" * 50_000] * 10, b"\r\n--a--\r\n"]
    with run_service(worker=False, max_upload_bytes=100_000) as client:
        response = client.post(
            "/v1/studies",
            content=iter(body) if chunked else b"".join(body),
            headers={"content-type": "multipart/form-data; boundary=a"},
        )
        problem(response, 413, "UPLOAD_TOO_LARGE")
        assert client.get("/v1/studies").json() == []
        assert (incoming(client), list(core_of(client).storage.kept())) == ([], [])


def test_a_stated_length_beyond_the_limit_is_refused_unread(idle):
    headers = {"content-type": "multipart/form-data; boundary=a", "content-length": str(2**30 + 1)}
    problem(idle.post("/v1/studies", content=b"--a--", headers=headers), 413, "UPLOAD_TOO_LARGE")


def test_a_study_can_be_asked_for_later(client, post, dicom_zip):
    sent = post(client, file=dicom_zip, wait=0)
    study_id = sent.json()["id"]
    assert sent.headers["location"] == f"/v1/studies/{study_id}"
    answer = client.get(sent.headers["location"], params={"wait": 60})
    assert answer.status_code == 200
    assert answer.json()["id"] == study_id
    assert answer.headers["cache-control"] == "no-store"
    newest = client.get("/v1/studies").json()[0]
    assert (newest["id"], newest["status"], newest["basis"]) == (study_id, "DONE", "MODEL")


def test_the_same_study_sent_again_gets_the_same_answer(client, post, dicom_zip):
    first = post(client, file=dicom_zip)
    again = post(client, file=dicom_zip, wait=0)
    assert (again.status_code, again.json()) == (200, first.json())


def test_a_key_for_another_study_is_a_problem(idle, dicom_zip):
    def send(content):
        files = {"file": ("x", content)}
        return idle.post("/v1/studies", files=files, headers={"Idempotency-Key": "one"})

    assert send(b"a study").json()["id"] == send(b"a study").json()["id"]
    problem(send(b"another study"), 409, "KEY_REUSED")
    assert incoming(idle) == []


def test_a_pending_study_has_no_recommendation(run_service, post):
    with run_service(worker=False) as client:
        response = post(client, file=b"a study", wait=0.1)
        assert response.status_code == 202
        assert (response.json()["status"], response.json()["recommendation"]) == ("QUEUED", None)
        core_of(client).queue.claim("worker", utc_now(), 10)
        assert client.get(response.headers["location"]).json()["status"] == "RUNNING"


def test_who_waits_is_answered_as_soon_as_the_answer_is_stored(run_service, post):
    with run_service(worker=False) as client:
        core = core_of(client)

        def answer():
            eventually(lambda: core.queue.waiting()[0] == 1)
            job = core.queue.claim("worker", utc_now(), 10)
            core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), utc_now())

        thread = threading.Thread(target=answer)
        thread.start()
        response = post(client, file=b"a study", wait=100)
        thread.join()
    assert (response.status_code, response.json()["reasons"]) == (200, ["T2_MISSING"])


def test_many_wait_and_the_service_still_answers(run_service, post):
    with run_service(worker=False, queue_size=50) as client:
        core, answers = core_of(client), {}

        def ask(number):
            answers[number] = post(client, file=f"study {number}".encode(), wait=100).json()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        eventually(lambda: core.queue.waiting()[0] == 50)
        assert client.get("/healthz/live").status_code == 200
        assert len(client.get("/v1/studies").json()) == 50
        while (job := core.queue.claim("worker", utc_now(), 100)) is not None:
            core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), utc_now())
        for thread in threads:
            thread.join()
    assert {answer["basis"] for answer in answers.values()} == {"FAILSAFE"}
    assert len({answer["id"] for answer in answers.values()}) == 50


def test_a_full_queue_is_a_problem_that_says_when_to_come_back(run_service, post):
    with run_service(worker=False, queue_size=2) as client:
        waiting = [post(client, file=f"study {number}".encode(), wait=0) for number in range(2)]
        assert [response.status_code for response in waiting] == [202, 202]
        refused = post(client, file=b"study 2", wait=0)
        problem(refused, 429, "QUEUE_FULL")
        assert int(refused.headers["retry-after"]) > 0
        assert len(list(core_of(client).storage.kept())) == 2
        assert incoming(client) == []
        assert client.get("/healthz/live").status_code == 200
        core_of(client).queue.claim("worker", utc_now(), 10)
        assert post(client, file=b"study 2", wait=0).status_code == 202


def test_a_study_past_its_deadline_fails_safe_and_stays_so(run_service, post, answer_factory):
    """No worker takes it, or one takes it and comes back late with "not needed"."""
    with run_service(worker=False, deadline_seconds=1) as client:
        core = core_of(client)
        sent = post(client, file=b"taken", wait=0)
        job = core.queue.claim("worker", utc_now(), 100)
        answer = client.get(sent.headers["location"], params={"wait": 60})
        assert answer.status_code == 200
        assert (answer.json()["recommendation"], answer.json()["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
        assert answer.json()["reasons"] == ["TIMEOUT"]
        assert not core.queue.settle(job, answer_factory(id=job.id), utc_now())
        assert client.get(sent.headers["location"]).json() == answer.json()
        assert post(client, file=b"never taken").json()["reasons"] == ["TIMEOUT"]


def test_a_storage_that_can_not_be_written_fails_safe(run_service, post, dicom_zip):
    with run_service(worker=False) as client:
        storage = core_of(client).storage
        shutil.rmtree(storage.root / "studies")
        (storage.root / "studies").write_text("a file in its place")
        response = post(client, file=dicom_zip)
        assert response.status_code == 200
        assert response.json()["recommendation"] == "DCE_RECOMMENDED"
        assert response.json()["reasons"] == ["NOT_STORED"]
        assert client.get(response.headers["location"]).json() == response.json()


def test_an_upload_that_vanishes_before_it_is_read_fails_safe(run_service, post, dicom_zip, thread_host):
    with run_service(worker=False) as client:
        response = post(client, file=dicom_zip, wait=0)
        core = core_of(client)
        shutil.rmtree(core.storage.input_of(response.json()["id"]))
        with thread_host(core):
            answer = client.get(response.headers["location"], params={"wait": 60}).json()
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")


def test_what_waits_is_answered_after_a_restart(run_service, post, dicom_zip, tmp_path):
    with run_service(worker=False, storage=tmp_path / "storage") as client:
        sent = post(client, file=dicom_zip, wait=0)
        assert sent.status_code == 202
        (client.app.state.storage.new_incoming() / "study").write_text("was being received")
        (client.app.state.storage.root / "studies" / ("a" * 32)).mkdir()
    with run_service(storage=tmp_path / "storage") as client:
        answer = client.get(sent.headers["location"], params={"wait": 60})
        assert (answer.status_code, answer.json()["basis"]) == (200, "MODEL")
        assert incoming(client) == []
        assert list(core_of(client).storage.kept()) == [sent.json()["id"]]


def test_parallel_uploads_are_not_mixed_up(run_service, post, study_factory, loaded, tmp_path):
    """20 patients at once: every answer belongs to its study."""
    uploads, expected = [], []
    for number in range(20):
        write_nifti_study(study_factory(number), folder := tmp_path / str(number))
        uploads.append({role: folder / f"{role}.nii.gz" for role in ("t2", "dwi", "adc")})
        expected.append(loaded["never"].score(read_study(folder)).member_logits)
    answers = {}

    def ask(number):
        answers[number] = post(client, wait=120, b_values="50,400,800", **uploads[number]).json()

    with run_service(queue_size=20) as client:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(set(expected)) == 20
    assert [tuple(answers[number]["member_logits"]) for number in range(20)] == expected
    assert len({answer["id"] for answer in answers.values()}) == 20


def test_the_model_is_described_with_its_evidence(idle, loaded):
    description = idle.get("/v1/model").json()
    assert description["model"]["sha256"] == loaded["never"].sha256
    assert description["operating_point"]["name"] == "0-fn"
    assert [point["name"] for point in description["operating_points"]] == ["0-fn", "1-fn", "2-fn"]
    assert description["intended_use"] == "Research use only"


def test_it_is_ready_once_a_worker_is(client):
    eventually(lambda: client.get("/healthz/ready").json() == {"ready": True, "faults": []})


def test_an_unusable_ensemble_or_operating_point_does_not_start(parcels, tmp_path):
    def start(**settings):
        create_app(ServiceSettings(**{"ensemble": parcels["never"], "storage": tmp_path / "s"} | settings))

    with pytest.raises(ArgumentError, match="0-fn, 1-fn"):
        start(operating_point="5-fn")
    with pytest.raises(EnsembleError, match="pinned"):
        start(expect_sha256="0" * 64)
    with pytest.raises(EnsembleError):
        start(ensemble=tmp_path)


@pytest.fixture(scope="module")
def guarded(run_service):
    with run_service(worker=False, token=SecretStr(TOKEN)) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/studies", "/v1/model", "/v1/studies/" + "0" * 32, "/openapi.json", "/"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer rïght"])
def test_without_the_token_every_route_is_closed(guarded, path, given):
    headers = {} if given is None else {"Authorization": given.encode()}
    response = guarded.get(path, headers=headers)
    problem(response, 401, "UNAUTHORIZED")
    assert response.headers["www-authenticate"] == "Bearer"


def test_with_the_token_they_are_open_and_health_always_is(guarded):
    assert guarded.get("/v1/model", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert guarded.get("/healthz/live").status_code == 200


def test_a_closed_route_does_not_read_the_upload(guarded, post):
    problem(post(guarded, file=b"x"), 401, "UNAUTHORIZED")
    assert guarded.get("/v1/studies", headers={"Authorization": f"Bearer {TOKEN}"}).json() == []


@pytest.mark.parametrize("damage", [None, "truncated", "two patients"])
def test_nothing_of_the_patient_is_said_or_kept(
    *, run_service, post, marked_folders, zip_files, tmp_path, caplog, capfd, damage
):
    folders = marked_folders if damage == "two patients" else marked_folders[:1]
    content = zip_files(tmp_path / f"{CANARY}.zip", folders).read_bytes()
    if damage == "truncated":
        content = content[: len(content) // 2]
    with caplog.at_level(logging.DEBUG), run_service() as client:
        storage = core_of(client).storage.root
        answer = post(client, file=content)
        names = [str(path.relative_to(storage)) for path in storage.rglob("*")]
        listed = client.get("/v1/studies")
    assert answer.json()["basis"] == ("FAILSAFE" if damage else "MODEL")
    said = [answer.text, listed.text, caplog.text, *capfd.readouterr(), *names]
    assert names
    assert not [text for text in said if CANARY in text or "19501231" in text]


def test_pixel_data_go_after_their_time_and_the_answer_stays(run_service, post, dicom_zip):
    with run_service() as client:
        core = core_of(client)
        answer = post(client, file=dicom_zip).json()
        sweep = next(one.run for one in client.app.state.periodics if one.name == "retention")
        folder: Path = core.storage.folder_of(answer["id"])
        sweep(utc_now() + timedelta(hours=23.9))
        assert core.storage.image_of(answer["id"]).exists()
        sweep(utc_now() + timedelta(hours=24.1))
        assert not folder.exists()
        assert client.get(f"/v1/studies/{answer['id']}").json() == answer
