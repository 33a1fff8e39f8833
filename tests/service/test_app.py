"""The transport: what is a problem, what waits, who may ask, and that nothing of a patient stays."""

import logging
import threading
import time

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from prostate_alm.errors import ArgumentError, Reason, StudyRefusedError
from prostate_alm.service.app import create_app
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.store import Job

CANARY = "CANARY"


class Blocker:
    """A job that holds the worker until it is released."""

    def __init__(self, client, folder):
        self.began, self.released = threading.Event(), threading.Event()
        self.job = Job(folder)
        self.job.read = self.read
        client.app.state.service.worker.submit(self.job)
        assert self.began.wait(20)

    def read(self):
        self.began.set()
        self.released.wait(30)
        raise StudyRefusedError(Reason.INPUT_EMPTY, "the job that held the worker holds no study.")


@pytest.fixture
def hold(tmp_path):
    """Hold the worker of a client; all are released in the end."""
    blockers = []

    def hold_worker(client):
        blockers.append(Blocker(client, tmp_path))
        return blockers[-1]

    yield hold_worker
    for blocker in blockers:
        blocker.released.set()


def problem(response, status, code):
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert response.json()["code"] == code
    assert "recommendation" not in response.json()


def eventually(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def test_a_request_without_a_file_is_a_problem(client):
    problem(client.post("/v1/studies", data={"b_values": "50,800"}), 422, "NO_FILE")
    problem(client.post("/v1/studies"), 422, "NO_FILE")


def test_a_zip_beside_nifti_is_a_problem(client, post):
    problem(post(client, file=b"x", t2=b"y"), 422, "TWO_KINDS_OF_FILES")


@pytest.mark.parametrize("wait", ["-1", "301", "soon", "nan"])
def test_a_wait_out_of_range_is_a_problem(client, post, wait):
    problem(post(client, file=b"x", wait=wait), 422, "REQUEST_INVALID")


def test_a_problem_quotes_nothing_of_the_request(client):
    response = client.post("/v1/studies", data={"file": f"{CANARY}^NAME"}, params={"wait": CANARY})
    problem(response, 422, "REQUEST_INVALID")
    assert CANARY not in response.text


def test_a_form_that_is_none_is_a_problem(client):
    response = client.post("/v1/studies", content=b"xx", headers={"content-type": "multipart/form-data; boundary=a"})
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
def test_other_requests_are_problems(client, *, method, path, status, code):
    problem(client.request(method, path), status, code)


@pytest.mark.parametrize("chunked", [False, True])
def test_an_upload_beyond_the_limit_is_a_problem_and_leaves_nothing(loaded, run_service, tmp_path, *, chunked):
    head = b'--a\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
    body = [head, *[b"\0" * 50_000] * 10, b"\r\n--a--\r\n"]
    with run_service(loaded["never"], max_upload_bytes=100_000, storage=tmp_path / "uploads") as client:
        response = client.post(
            "/v1/studies",
            content=iter(body) if chunked else b"".join(body),
            headers={"content-type": "multipart/form-data; boundary=a"},
        )
        problem(response, 413, "UPLOAD_TOO_LARGE")
        assert client.get("/v1/studies").json() == []
        assert list((tmp_path / "uploads").iterdir()) == []


def test_a_stated_length_beyond_the_limit_is_refused_unread(client):
    headers = {"content-type": "multipart/form-data; boundary=a", "content-length": str(2**30 + 1)}
    problem(client.post("/v1/studies", content=b"--a--", headers=headers), 413, "UPLOAD_TOO_LARGE")


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


def test_a_pending_study_has_no_recommendation(client, post, hold):
    blocker = hold(client)
    response = post(client, file=b"no study", wait=0.1)
    assert response.status_code == 202
    assert (response.json()["status"], response.json()["recommendation"]) == ("QUEUED", None)
    assert blocker.job.status == "RUNNING"
    blocker.released.set()
    done = client.get(response.headers["location"], params={"wait": 20})
    assert (done.status_code, done.json()["basis"]) == (200, "FAILSAFE")


def test_a_full_queue_is_a_problem_that_says_when_to_come_back(loaded, run_service, post, hold, tmp_path):
    storage = tmp_path / "uploads"
    with run_service(loaded["never"], queue_size=2, storage=storage) as client:
        blocker = hold(client)
        waiting = [post(client, file=b"no study", wait=0) for _ in range(2)]
        assert [response.status_code for response in waiting] == [202, 202]
        refused = post(client, file=b"no study", wait=0)
        problem(refused, 429, "QUEUE_FULL")
        assert int(refused.headers["retry-after"]) > 0
        assert len(list(storage.iterdir())) == 2
        assert client.get("/healthz/live").status_code == 200
        blocker.released.set()
        for response in waiting:
            assert client.get(response.headers["location"], params={"wait": 20}).json()["basis"] == "FAILSAFE"
        assert post(client, file=b"no study").status_code == 200


def test_a_study_past_its_deadline_fails_safe_and_stays_so(loaded, run_service, post, hold, dicom_zip):
    with run_service(loaded["never"], deadline_seconds=0.3) as client:
        blocker = hold(client)
        response = post(client, file=dicom_zip)
        assert response.status_code == 200
        answer = response.json()
        assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")
        assert answer["reasons"] == ["TIMEOUT"]
        eventually(lambda: blocker.job.answer is not None)
        assert client.get("/healthz/ready").json() == {"ready": False, "faults": ["WORKER_LATE"]}
        blocker.released.set()
        eventually(lambda: client.get("/healthz/ready").status_code == 200)
        assert client.get(response.headers["location"]).json() == answer
        assert blocker.job.answer.reasons == (Reason.TIMEOUT,)  # what the worker found out later was dropped


def test_a_late_score_is_dropped(loaded, run_service, tmp_path, study_factory):
    """The worker reads past the deadline and then scores "not needed": the answer stays fail-safe."""
    with run_service(loaded["never"], deadline_seconds=0.2) as client:
        job = Job(tmp_path)
        reads = threading.Event()

        def read():
            reads.wait(20)
            return study_factory(0)

        job.read = read
        worker = client.app.state.service.worker
        worker.submit(job)
        eventually(lambda: job.answer is not None)
        reads.set()
        eventually(lambda: worker.fault is None)
        assert job.answer is not None
        assert job.answer.reasons == (Reason.TIMEOUT,)


@pytest.mark.parametrize("damage", ["removed", "a file in its place"])
def test_a_storage_that_can_not_be_written_fails_safe(loaded, run_service, post, dicom_zip, tmp_path, *, damage):
    storage = tmp_path / "uploads"
    with run_service(loaded["never"], storage=storage) as client:
        eventually(lambda: client.get("/healthz/ready").status_code == 200)
        storage.rmdir()
        if damage != "removed":
            storage.write_text("")
        response = post(client, file=dicom_zip)
        assert response.status_code == 200
        assert response.json()["recommendation"] == "DCE_RECOMMENDED"
        assert response.json()["reasons"] == ["INTERNAL_ERROR"]
        assert client.get(response.headers["location"]).json() == response.json()
        assert client.get("/healthz/ready").json() == {"ready": False, "faults": ["STORAGE_UNWRITABLE"]}


def test_an_upload_that_vanishes_before_it_is_read_fails_safe(client, post, hold, dicom_zip):
    blocker = hold(client)
    response = post(client, file=dicom_zip, wait=0)
    client.app.state.service.store.get(response.json()["id"]).discard_upload()
    blocker.released.set()
    answer = client.get(response.headers["location"], params={"wait": 30}).json()
    assert (answer["recommendation"], answer["basis"]) == ("DCE_RECOMMENDED", "FAILSAFE")


def test_uploads_are_deleted_once_scored_and_at_start(loaded, run_service, post, dicom_zip, tmp_path):
    storage = tmp_path / "uploads"
    (storage / ("a" * 32)).mkdir(parents=True)
    (storage / ("a" * 32) / "study").write_text("left by a run that was killed")
    (storage / "kept.txt").write_text("not ours")
    with run_service(loaded["never"], storage=storage) as client:
        assert [path.name for path in storage.iterdir()] == ["kept.txt"]
        assert post(client, file=dicom_zip).json()["basis"] == "MODEL"
        eventually(lambda: [path.name for path in storage.iterdir()] == ["kept.txt"])


def test_stopping_answers_what_waits(loaded, run_service, hold, tmp_path, post):
    with run_service(loaded["never"], storage=tmp_path / "uploads") as client:
        blocker = hold(client)
        response = post(client, file=b"no study", wait=0)
        job = client.app.state.service.store.get(response.json()["id"])
        threading.Timer(0.3, blocker.released.set).start()
    assert job.answer.reasons == (Reason.INTERNAL_ERROR,)
    assert blocker.job.answer.reasons == (Reason.INPUT_EMPTY,)
    assert list((tmp_path / "uploads").iterdir()) == []


def test_old_answers_are_forgotten_and_waiting_studies_are_not(loaded, run_service, post, hold):
    with run_service(loaded["never"], kept_answers=2) as client:
        answered = [post(client, file=b"no study").json()["id"] for _ in range(4)]
        blocker = hold(client)
        waiting = post(client, file=b"no study", wait=0).json()["id"]
        known = [study["id"] for study in client.get("/v1/studies").json()]
        assert known == [waiting, answered[3], answered[2]]
        assert client.get(f"/v1/studies/{answered[0]}").status_code == 404
        blocker.released.set()


def test_parallel_uploads_are_not_mixed_up(
    *, loaded, run_service, post, dicom_folders, nifti_folder, zip_files, tmp_path
):
    parts = {role: nifti_folder / f"{role}.nii.gz" for role in ("t2", "dwi", "adc")}
    uploads = [
        {"file": zip_files(tmp_path / "0.zip", dicom_folders[:1])},
        {"file": zip_files(tmp_path / "1.zip", dicom_folders[1:])},
        {**parts, "b_values": "50,400,800"},
    ]
    with run_service(loaded["never"], queue_size=20) as client:
        alone = [post(client, **upload).json()["member_logits"] for upload in uploads]
        answers = {}

        def ask(number):
            answers[number] = post(client, **uploads[number % 3]).json()["member_logits"]

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len({tuple(logits) for logits in alone}) == 3
    assert [answers[number] for number in range(9)] == alone * 3


def test_the_model_is_described_with_its_evidence(client, loaded):
    description = client.get("/v1/model").json()
    assert description["model"]["sha256"] == loaded["never"].sha256
    assert description["operating_point"]["name"] == "0-fn"
    assert [point["name"] for point in description["operating_points"]] == ["0-fn", "1-fn", "2-fn"]
    assert description["intended_use"] == "Research use only"


def test_it_is_ready_once_warm(client):
    eventually(lambda: client.get("/healthz/ready").json() == {"ready": True, "faults": []})


def test_an_unknown_operating_point_does_not_start(loaded):
    with pytest.raises(ArgumentError, match="0-fn, 1-fn"):
        create_app(loaded["never"], ServiceSettings(operating_point="5-fn"))


@pytest.fixture(scope="module")
def guarded(loaded):
    with TestClient(create_app(loaded["never"], ServiceSettings(token=SecretStr("right")))) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/studies", "/v1/model", "/v1/studies/" + "0" * 32, "/docs", "/openapi.json", "/"])
@pytest.mark.parametrize("given", [None, "Bearer wrong", "Bearer right ", "bearer right", "right", "Bearer rïght"])
def test_without_the_token_every_route_is_closed(guarded, path, given):
    headers = {} if given is None else {"Authorization": given.encode()}
    response = guarded.get(path, headers=headers)
    problem(response, 401, "UNAUTHORIZED")
    assert response.headers["www-authenticate"] == "Bearer"


def test_with_the_token_they_are_open_and_health_always_is(guarded):
    assert guarded.get("/v1/model", headers={"Authorization": "Bearer right"}).status_code == 200
    assert guarded.get("/healthz/live").status_code == 200
    eventually(lambda: guarded.get("/healthz/ready").status_code == 200)


def test_a_closed_route_does_not_read_the_upload(guarded, post):
    problem(post(guarded, file=b"x"), 401, "UNAUTHORIZED")
    assert guarded.get("/v1/studies", headers={"Authorization": "Bearer right"}).json() == []


def test_the_token_is_in_no_representation():
    settings = ServiceSettings(token=SecretStr("right"))
    assert "right" not in repr(settings)
    assert "right" not in settings.model_dump_json()


@pytest.mark.parametrize("damage", [None, "truncated", "two patients"])
def test_nothing_of_the_patient_is_said_or_kept(
    *, loaded, run_service, post, hold, marked_folders, zip_files, tmp_path, caplog, capfd, damage
):
    storage = tmp_path / "uploads"
    folders = marked_folders if damage == "two patients" else marked_folders[:1]
    content = zip_files(tmp_path / f"{CANARY}.zip", folders).read_bytes()
    if damage == "truncated":
        content = content[: len(content) // 2]
    with caplog.at_level(logging.DEBUG), run_service(loaded["never"], storage=storage) as client:
        blocker = hold(client)
        response = post(client, file=content, wait=0)
        names = [str(path.relative_to(storage)) for path in storage.rglob("*")]
        blocker.released.set()
        answer = client.get(response.headers["location"], params={"wait": 30})
        listed = client.get("/v1/studies")
    assert answer.json()["basis"] == ("FAILSAFE" if damage else "MODEL")
    said = [answer.text, listed.text, caplog.text, *capfd.readouterr(), *names]
    assert names
    assert not [text for text in said if CANARY in text or "19501231" in text]
