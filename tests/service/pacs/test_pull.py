"""Pulling a study: from configured PACS only, whole or fail-safe, and never anywhere else."""

import gzip
import io

import pydicom
import pytest
from starlette.responses import RedirectResponse, Response

JSON = "application/dicom+json"


@pytest.fixture
def service(run_service, peer, tmp_path):
    """A service that knows the PACS as `main`; its ensemble finds that nobody needs DCE."""
    (tmp_path / "token").write_text("secret-of-the-pacs\n")
    pacs = {"name": "main", "url": peer.url, "token_file": tmp_path / "token", "timeout_seconds": 5}
    with run_service("never", pacs=[pacs], complete={"quiet_seconds": 0.1}) as client:
        yield client


def pulled(client, study, *, pacs="main", wait=60):
    return client.post(f"/v1/studies/{study}:pull", params={"pacs": pacs, "wait": wait})


def problem_of(response):
    assert response.headers["content-type"] == "application/problem+json", response.text
    return response.status_code, response.json()["code"]


def test_a_study_is_fetched_with_the_pacs_own_token_and_answered(service, peer, study_uid):
    response = pulled(service, study_uid)
    answer = response.json()
    assert (response.status_code, answer["recommendation"], answer["basis"]) == (200, "DCE_NOT_NEEDED", "MODEL")
    assert {headers["authorization"] for _, _, headers in peer.asked} == {"Bearer secret-of-the-pacs"}
    (listed,) = service.get("/v1/studies").json()
    assert listed["source"] == "pull"
    kept = list((service.app.state.storage.input_of(answer["id"]) / "dicom").iterdir())
    assert sorted(path.read_bytes() for path in kept) == sorted(peer.images)


def test_pulling_again_gives_the_same_answer(service, study_uid):
    assert pulled(service, study_uid).json()["id"] == pulled(service, study_uid).json()["id"]


def changed(image, **values):
    header = pydicom.dcmread(io.BytesIO(image))
    for keyword, value in values.items():
        setattr(header, keyword, value)
    file = io.BytesIO()
    header.save_as(file)
    return file.getvalue()


def test_only_mr_series_are_fetched(service, peer, study_uid):
    peer.images.append(changed(peer.images[0], Modality="CT", SeriesInstanceUID="1.2.3.4", SOPInstanceUID="1.2.3.5"))
    assert pulled(service, study_uid).json()["basis"] == "MODEL"
    assert not [path for _, path, _ in peer.asked if path.endswith("/series/1.2.3.4")]


def truncated(peer, _):
    peer.images[0] = peer.images[0][:-100]


def announced_more(peer, _):
    peer.announced = 10_000


def growing(peer, _):
    peer.grows = True


def uncounted(peer, _):
    peer.announced = "many"


def other_study(peer, multipart):
    peer.wrong["series"] = multipart([changed(image, StudyInstanceUID="1.2.3") for image in peer.images])


def two_versions(peer, _):
    other = bytearray(peer.images[0])
    other[-1] ^= 1
    peer.images.append(bytes(other))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (truncated, "INPUT_UNREADABLE"),
        (announced_more, "STUDY_INCOMPLETE"),
        (growing, "STUDY_INCOMPLETE"),
        (uncounted, "STUDY_INCOMPLETE"),
        (other_study, "INPUT_EMPTY"),
        (two_versions, "SLICE_DUPLICATE"),
    ],
)
def test_a_study_that_does_not_come_as_announced_is_answered_fail_safe(
    service, peer, study_uid, multipart, *, spoil, reason
):
    spoil(peer, multipart)
    answer = pulled(service, study_uid).json()
    assert (answer["recommendation"], answer["basis"], answer["reasons"]) == ("DCE_RECOMMENDED", "FAILSAFE", [reason])


BOMB = gzip.compress(b"[" + b" " * 2**23 + b"]")


@pytest.mark.parametrize(
    ("route", "wrong", "problem"),
    [
        ("query", Response(status_code=204), (404, "NOT_FOUND")),
        ("query", Response("[]", media_type=JSON), (404, "NOT_FOUND")),
        ("query", Response(status_code=500), (502, "PACS_FAILED")),
        ("query", Response("<html>", media_type=JSON), (502, "PACS_FAILED")),
        ("query", Response('[{"00080060": 3}, 7]', media_type=JSON), (502, "PACS_FAILED")),
        ("query", Response(b" " * 5 * 2**20, media_type=JSON), (502, "PACS_FAILED")),
        ("query", Response(BOMB, headers={"Content-Encoding": "gzip"}, media_type=JSON), (502, "PACS_FAILED")),
        ("query", Response('[{"00080060": {"Value": ["MR"]}, "0020000E": {"Value": ["../x"]}}]'), (502, "PACS_FAILED")),
        ("series", Response(status_code=404), (502, "PACS_FAILED")),
        ("series", Response("no multipart"), (502, "PACS_FAILED")),
    ],
)  # fmt: skip
def test_a_pacs_that_answers_wrongly_is_a_problem_and_no_job(service, peer, study_uid, *, route, wrong, problem):
    peer.wrong[route] = wrong
    assert problem_of(pulled(service, study_uid)) == problem
    assert service.get("/v1/studies").json() == []
    assert list((service.app.state.storage.root / "incoming").iterdir()) == []


def test_a_redirection_is_not_followed(service, peer, study_uid):
    peer.wrong["query"] = RedirectResponse(f"{peer.url}/studies/1.2.3/series")
    assert problem_of(pulled(service, study_uid)) == (502, "PACS_FAILED")
    assert len(peer.asked) == 1


def test_a_pacs_that_is_not_named_is_not_asked(service, peer, study_uid):
    assert problem_of(pulled(service, study_uid, pacs="other")) == (404, "PACS_UNKNOWN")
    assert problem_of(pulled(service, study_uid, pacs=peer.url[:32])) == (404, "PACS_UNKNOWN")
    assert peer.asked == []


@pytest.mark.parametrize("study", ["..", "1.2..3", "x", "1.2.3%2F..%2F..", "1" * 65, "1." * 40 + "1"])
def test_what_is_no_uid_is_not_asked_for(service, peer, study):
    assert pulled(service, study).status_code in {404, 405, 422}
    assert peer.asked == []


def test_a_pacs_that_is_away_or_slow_is_a_problem(run_service, peer, study_uid):
    pacs = [
        {"name": "away", "url": "http://127.0.0.1:1/dicom-web"},
        {"name": "slow", "url": peer.url, "timeout_seconds": 0.2},
    ]
    peer.stalls = True
    with run_service(worker=False, pacs=pacs) as client:
        assert problem_of(pulled(client, study_uid, pacs="away")) == (502, "PACS_FAILED")
        assert problem_of(pulled(client, study_uid, pacs="slow")) == (504, "PACS_TIMEOUT")


def test_a_study_larger_than_the_limit_is_not_taken(run_service, peer, study_uid):
    with run_service(worker=False, pacs=[{"name": "main", "url": peer.url}], max_upload_bytes=100_000) as client:
        assert problem_of(pulled(client, study_uid)) == (413, "UPLOAD_TOO_LARGE")
        assert list((client.app.state.storage.root / "incoming").iterdir()) == []


def test_a_password_that_cannot_be_read_is_a_problem(run_service, peer, study_uid, tmp_path):
    pacs = {"name": "main", "url": peer.url, "user": "triage", "password_file": tmp_path / "gone"}
    with run_service(worker=False, pacs=[pacs]) as client:
        assert problem_of(pulled(client, study_uid)) == (502, "PACS_FAILED")
    assert peer.asked == []
