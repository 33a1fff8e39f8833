"""The page's routes on a running service: what a browser gets, and what it never gets."""

import io
import time

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import func, select

from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.authentication import TokenScope, new_token
from prostate_alm.service.clock import utc_now
from prostate_alm.service.slices import read_image
from prostate_alm.service.tables import Audit

HTML = {"Accept": "text/html"}
UNKNOWN = "0" * 32


def settled(client, study):
    """The state of a study's page once nothing is pending."""
    deadline = time.monotonic() + 60
    while "pending" in (state := client.get(f"/studies/{study}/state").json()["state"]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return state


@pytest.fixture(scope="module")
def answered(client, post, dicom_zip):
    """The id of a study that was answered by the model."""
    answer = post(client, file=dicom_zip).json()
    assert answer["basis"] == "MODEL"
    return answer["id"]


def send(client, **files):
    return client.post("/studies", files=files, headers=HTML, follow_redirects=False)


def test_the_worklist_shows_the_study_and_its_answer(client, answered):
    for address in ("/", "/worklist"):
        html = client.get(address).text
        assert f'href="/studies/{answered}"' in html
        assert "DCE not needed" in html


def test_the_form_leads_to_the_study_that_was_sent(client, dicom_zip, answered):
    response = send(client, file=dicom_zip.read_bytes())
    assert (response.status_code, response.headers["location"]) == (303, f"/studies/{answered}")


def test_a_form_without_a_study_is_answered_by_a_page(client):
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename=""\r\n\r\n\r\n--b--\r\n'  # as a browser does
    headers = {"Content-Type": "multipart/form-data; boundary=b", **HTML}
    response = client.post("/studies", content=part, headers=headers)
    assert response.status_code == 422
    assert '<h1 id="verdict">DCE recommended</h1>' in response.text


@pytest.mark.parametrize(
    "address",
    [f"/studies/{UNKNOWN}", "/studies/nonsense", "/nowhere", f"/studies/{UNKNOWN}/slices/t2.png", "/static/../app.py"],
)
def test_what_is_not_there_reads_as_recommended_in_a_browser(client, address):
    response = client.get(address, headers=HTML)
    assert response.status_code in {404, 422}
    assert "DCE recommended</h1>" in response.text
    assert "script-src 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize("address", [f"/v1/studies/{UNKNOWN}", "/v1/nowhere", f"/studies/{UNKNOWN}"])
def test_programs_get_problems_as_json(client, address):
    headers = HTML if address.startswith("/v1") else {"Accept": "application/json"}
    assert client.get(address, headers=headers).headers["content-type"] == "application/problem+json"


def test_pages_are_kept_nowhere_and_load_only_what_is_ours(client, answered):
    for address in ("/", "/worklist", f"/studies/{answered}", f"/studies/{answered}/slices/t2.png"):
        headers = client.get(address).headers
        assert headers["cache-control"] == "no-store", address
        assert headers["content-security-policy"].startswith("default-src 'none'"), address


def test_slices_are_what_the_model_saw(client, answered):
    image = read_image(client.app.state.storage.image_of(answered))
    for channel in ("t2", "dwi", "adc"):
        response = client.get(f"/studies/{answered}/slices/{channel}.png")
        pixels = np.asarray(Image.open(io.BytesIO(response.content)), np.float64)
        columns, rows, slices = image.channel(channel).shape
        seen = image.channel(channel)[:, :, slices - 1].T  # the highest slice comes last
        drawn = pixels[-rows:]
        assert pixels.shape == (rows * slices, columns)
        np.testing.assert_allclose(np.corrcoef(drawn.ravel(), seen.ravel())[0, 1], 1.0, atol=1e-4)


@pytest.mark.parametrize("page", ["study", "worklist"])
def test_who_looked_is_in_the_audit(client, answered, page):
    address, seen, again = {
        "study": (f"/studies/{answered}", Audit.job_id == answered, f"/studies/{answered}/state"),
        "worklist": ("/", Audit.job_id.is_(None), "/worklist"),
    }[page]

    def looks():
        with client.app.state.database.reading() as session:
            found = select(func.count()).where(Audit.event == AuditEvent.READ, Audit.actor == "local", seen)
            return session.scalar(found)

    before = looks()
    client.get(address)
    client.get(again)  # an open page asks for it again and again
    assert looks() == before + 1


def test_the_study_begins_with_the_slice_that_is_asked_for(client, answered):
    assert 'value="2"' in client.get(f"/studies/{answered}", params={"slice": 2}).text
    assert client.get(f"/studies/{answered}", params={"slice": 0}).status_code == 422


def test_the_map_is_made_on_demand_and_drawn_over_the_same_voxels(client, answered):
    before = client.get(f"/studies/{answered}/occlusion/t2.png")
    assert before.status_code == 404
    asked = client.post(f"/studies/{answered}/occlusion", follow_redirects=False)
    assert (asked.status_code, asked.headers["location"]) == (303, f"/studies/{answered}")
    assert settled(client, answered).endswith("ready")
    html = client.get(f"/studies/{answered}").text
    for path, channel in (("t2", "t2"), ("diffusion", "adc")):
        assert f'/studies/{answered}/occlusion/{path}.png"' in html
        overlay, grey = (
            Image.open(io.BytesIO(client.get(f"/studies/{answered}/{address}.png").content))
            for address in (f"occlusion/{path}", f"slices/{channel}")
        )
        assert overlay.size == grey.size
        assert overlay.mode == "RGBA"
    assert np.asarray(overlay)[..., 3].max() > 0


def test_a_silent_service_shows_no_score_and_makes_no_map(run_service, post, dicom_zip):
    with run_service("never", silent=True) as client:
        study = post(client, file=dicom_zip).json()["id"]
        html = client.get(f"/studies/{study}").text
        assert "DCE recommended" in html
        assert "Score" not in html
        assert "not needed" not in html
        assert f"/studies/{study}/slices/t2.png" in html, "the images tell nothing of the score"
        assert client.post(f"/studies/{study}/occlusion").status_code == 409
        assert client.get(f"/studies/{study}/occlusion/t2.png").status_code == 404


def test_a_refused_study_says_why_and_offers_nothing_to_explain(client, post):
    study = post(client, file=b"no zip").json()["id"]
    html = client.get(f"/studies/{study}").text
    assert "Files not readable." in html
    assert "did not get as far as the model" in html
    assert client.post(f"/studies/{study}/occlusion").status_code == 409


def test_a_study_that_waits_says_so(run_service, post, dicom_zip):
    with run_service(worker=False) as client:
        study = post(client, wait=0, file=dicom_zip).json()["id"]
        assert "Until there is an answer, DCE is recommended." in client.get(f"/studies/{study}").text
        assert client.get(f"/studies/{study}/state").json()["state"].startswith("QUEUED")
        assert "until then DCE is recommended" in client.get("/worklist").text
        assert client.post(f"/studies/{study}/occlusion").status_code == 409


def test_a_service_that_cannot_score_says_so(run_service):
    with run_service(worker=False) as client:
        client.app.state.readiness.check(utc_now())
        assert "DCE recommended for every study sent now." in client.get("/worklist").text


def test_a_reader_is_offered_no_form(run_service, tmp_path):
    token, line = new_token("looks", [TokenScope.READ])
    (tmp_path / "tokens").write_text(f"{line}\n")
    with run_service(worker=False, tokens_file=tmp_path / "tokens") as client:
        assert client.get("/", headers=HTML, follow_redirects=False).headers["location"] == "/login"
        for name in ("page.css", "page.js", "icon.svg"):
            assert client.get(f"/static/{name}").status_code == 200, "the login needs it"
        client.post("/login", data={"token": token}, headers={"Origin": "http://localhost"})
        html = client.get("/", headers=HTML).text
        assert "Send a study" not in html
        assert "Log out" in html
        assert client.post("/studies", headers={"Origin": "http://localhost", **HTML}).status_code == 403
