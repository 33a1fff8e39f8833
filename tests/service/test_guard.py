"""The guards of the whole service: what passes them, what they write down, and that no route escapes them."""

from types import SimpleNamespace

import pytest
from pydantic import SecretStr
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError
from starlette.routing import Route
from starlette.testclient import TestClient

from prostate_alm.errors import Reason
from prostate_alm.service.app import create_app
from prostate_alm.service.authentication import COOKIE, TokenScope, new_token
from prostate_alm.service.clock import utc_now
from prostate_alm.service.guard import REFUSALS_A_MINUTE
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import Audit

OURS = {"Origin": "http://triage.example"}
OPEN = {"/healthz/live", "/healthz/ready", "/login"}


@pytest.fixture
def service(parcels, tmp_path, no_host):
    """A service behind three tokens."""
    names = {"scanner": [TokenScope.SUBMIT, TokenScope.READ], "viewer": [TokenScope.READ], "ops": [TokenScope.METRICS]}
    made = {name: new_token(name, scopes) for name, scopes in names.items()}
    tokens_file = tmp_path / "tokens.yaml"
    tokens_file.write_text("\n".join(line for _, line in made.values()))
    app = create_app(
        ServiceSettings(
            ensemble=parcels["never"], storage=tmp_path / "storage", tokens_file=tokens_file, free_disk_bytes=0
        ),
        host=no_host,
    )
    with TestClient(app, base_url="http://triage.example", follow_redirects=False) as client:
        yield SimpleNamespace(client=client, app=app, tokens={name: token for name, (token, _) in made.items()})


def bearer(service, name):
    return {"Authorization": f"Bearer {service.tokens[name]}"}


def audit(service, *columns):
    with service.app.state.database.reading() as session:
        rows = session.scalars(select(Audit).order_by(Audit.id))
        return [tuple(getattr(row, name) for name in columns) for row in rows]


def log_in(service, name):
    return service.client.post("/login", data={"token": service.tokens[name]}, headers=OURS)


def test_no_route_escapes_the_tokens(service):
    """Every route that the app has, with every method it takes, and some it has not."""
    found = [
        one for part in service.app.routes for one in getattr(getattr(part, "original_router", part), "routes", [part])
    ]
    routes = [(method, one.path) for one in found if isinstance(one, Route) for method in one.methods or ()]
    assert ("POST", "/v1/studies") in routes
    for method, path in [*routes, ("GET", "/none"), ("GET", "/openapi.json"), ("POST", "/login/x"), ("TRACE", "/")]:
        status = service.client.request(method, path.format_map(Any())).status_code
        assert status == 401 or path in OPEN or path.startswith("/static/"), (method, path, status)


class Any(dict):
    """Stands for every parameter of a path."""

    def __missing__(self, key):
        return "0" * 32


def test_a_login_makes_a_session_that_scripts_and_other_pages_can_not_use(service):
    response = log_in(service, "scanner")
    assert (response.status_code, response.headers["location"]) == (303, "/")
    cookie = response.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert service.tokens["scanner"] not in cookie
    assert service.client.get("/v1/studies").status_code == 200
    assert service.client.post("/v1/studies", headers={"Origin": "http://evil.example"}).status_code == 403
    assert service.client.post("/v1/studies").status_code == 403
    assert service.client.post("/v1/studies", headers=OURS).status_code == 415
    assert audit(service, "event", "actor", "outcome")[-1] == ("LOGIN", "scanner", "OK")


def test_a_logout_ends_it(service):
    log_in(service, "viewer")
    key = service.client.cookies[COOKIE]
    assert service.client.post("/logout", headers=OURS).status_code == 303
    assert service.client.get("/v1/studies", headers={"Cookie": f"{COOKIE}={key}"}).status_code == 401
    assert ("LOGOUT", "viewer") in audit(service, "event", "actor")


def test_a_viewer_logs_out_too_and_submits_nothing(service):
    log_in(service, "viewer")
    assert service.client.post("/v1/studies", headers=OURS).json()["code"] == "SCOPE_MISSING"


@pytest.mark.parametrize("form", [{"token": "CANARY"}, {"token": ""}, {}, {"token": "x" * 10_000}])
def test_a_wrong_token_is_told_to_the_audit_and_not_quoted(service, form):
    response = service.client.post("/login", data=form, headers=OURS)
    assert response.status_code == 403
    assert "set-cookie" not in response.headers
    assert "CANARY" not in response.text
    assert audit(service, "event", "actor", "outcome")[-1] == ("TOKEN_REFUSED", "anonymous", "UNAUTHORIZED")


def test_a_flood_of_refused_requests_does_not_fill_the_audit(service):
    for _ in range(REFUSALS_A_MINUTE):
        assert service.client.get("/v1/studies").status_code == 401
        assert service.client.post("/login", data={"token": "wrong"}, headers=OURS).status_code == 403
    assert REFUSALS_A_MINUTE <= audit(service, "event").count(("TOKEN_REFUSED",)) <= REFUSALS_A_MINUTE + 2


@pytest.mark.parametrize("statement", ["delete from audit", "update audit set actor = 'x'"])
def test_what_was_written_down_can_not_be_changed(service, statement):
    service.client.get("/v1/studies")
    before = audit(service, "id", "actor")
    assert before
    with pytest.raises(DatabaseError), service.app.state.database.writing() as session:
        session.execute(text(statement))
    assert audit(service, "id", "actor") == before


def test_who_is_told_an_answer_is_written_down(service):
    state = service.app.state
    job = state.intake.accept(
        state.storage.new_incoming(), source="upload", token="scanner", content_sha256="0" * 64, now=utc_now(),
        failure=Reason.INPUT_EMPTY,
    )  # fmt: skip
    for path, status in ((f"/v1/studies/{job}", 200), (f"/v1/studies/{'f' * 32}", 404)):
        assert service.client.get(path, headers=bearer(service, "viewer")).status_code == status
    reads = [entry for entry in audit(service, "event", "actor", "job_id") if entry[0] == "READ"]
    assert reads == [("READ", "viewer", job)]


def test_metrics_need_their_scope_and_count_by_template(service):
    service.client.get(f"/v1/studies/{'0' * 32}", headers=bearer(service, "viewer"))
    service.client.get("/CANARY", headers=bearer(service, "viewer"))
    assert service.client.get("/metrics", headers=bearer(service, "viewer")).status_code == 403
    figures = service.client.get("/metrics", headers=bearer(service, "ops"))
    assert figures.headers["content-type"].startswith("text/plain")
    counted = 'prostate_alm_http_requests_total{method="GET",route="/v1/studies/{study_id}",status="404"} 1.0'
    assert counted in figures.text
    assert "CANARY" not in figures.text
    assert "prostate_alm_database_up 1.0" in figures.text


def test_a_short_token_or_one_that_is_missing_keeps_the_service_down(parcels, tmp_path, no_host):
    settings = ServiceSettings(ensemble=parcels["never"], storage=tmp_path / "s", token=SecretStr("short"))
    with pytest.raises(ValueError, match="16"):
        create_app(settings, host=no_host)


def test_the_document_names_problems_and_tokens(service):
    document = service.client.get("/openapi.json", headers=bearer(service, "viewer")).json()
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert "HTTPValidationError" not in str(document)
    assert document["paths"]["/healthz/live"]["get"]["security"] == []
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"], path
