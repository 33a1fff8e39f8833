"""Who may do what: tokens, their file, sessions, and the refusal to serve others without one."""

import hashlib
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import yaml
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from prostate_alm.errors import ArgumentError
from prostate_alm.service.authentication import (
    COOKIE,
    SESSION_HOURS,
    Authentication,
    Caller,
    Sessions,
    TokenEntry,
    Tokens,
    TokenScope,
    check_exposure,
    is_loopback,
    new_token,
)
from prostate_alm.service.settings import ServiceSettings

NOW = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
PATHS = ("/", "/v1/studies", "/metrics", "/login", "/healthz/ready", "/static/page.css")


def tokens_for(**scopes):
    """Tokens by name, and what the service knows of them."""
    made = {name: new_token(name, [TokenScope(one) for one in some.split()]) for name, some in scopes.items()}
    entries = [TokenEntry(**yaml.safe_load(line)[0]) for _, line in made.values()]
    return {name: token for name, (token, _) in made.items()}, Tokens(entries)


@pytest.fixture
def guarded():
    """An app behind tokens: says who called; keeps what was refused."""
    known, tokens = tokens_for(scanner="submit read", viewer="read", prometheus="metrics")
    sessions, refused, clock = Sessions(), [], SimpleNamespace(now=NOW)

    async def on_refused(caller, code):
        refused.append((caller.name, str(code)))

    def who(request):
        return JSONResponse({"name": request.state.caller.name})

    app = Starlette(routes=[Route(path, who, methods=["GET", "POST"]) for path in PATHS])
    app.add_middleware(Authentication, tokens=tokens, sessions=sessions, clock=lambda: clock.now, on_refused=on_refused)
    client = TestClient(app, follow_redirects=False)
    return SimpleNamespace(client=client, known=known, tokens=tokens, sessions=sessions, refused=refused, clock=clock)


def ask(guarded, name, method, path, **headers):
    if name:
        headers["Authorization"] = f"Bearer {guarded.known[name]}"
    return guarded.client.request(method, path, headers=headers)


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("scanner", "POST", "/v1/studies", 200),
        ("scanner", "GET", "/v1/studies", 200),
        ("scanner", "GET", "/metrics", 403),
        ("viewer", "GET", "/v1/studies", 200),
        ("viewer", "HEAD", "/v1/studies", 200),
        ("viewer", "POST", "/v1/studies", 403),
        ("viewer", "POST", "/", 403),
        ("viewer", "GET", "/metrics", 403),
        ("prometheus", "GET", "/metrics", 200),
        ("prometheus", "GET", "/v1/studies", 403),
        (None, "GET", "/v1/studies", 401),
        (None, "POST", "/v1/studies", 401),
        (None, "GET", "/metrics", 401),
        (None, "GET", "/no/such/route", 401),
        (None, "GET", "/login", 200),
        (None, "POST", "/login", 200),
        (None, "GET", "/healthz/ready", 200),
        (None, "GET", "/static/page.css", 200),
        (None, "GET", "/healthz", 401),
        (None, "GET", "//healthz/ready", 401),
    ],
)
def test_a_token_does_what_its_scopes_say_and_no_more(guarded, *, name, method, path, status):
    assert ask(guarded, name, method, path).status_code == status


def test_a_refusal_is_a_problem_told_to_the_audit_and_quotes_nothing(guarded):
    response = guarded.client.get("/v1/studies", headers={"Authorization": "Bearer CANARY"})
    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHORIZED")
    assert response.headers["www-authenticate"] == "Bearer"
    assert "CANARY" not in response.text
    assert ask(guarded, "viewer", "POST", "/").json()["code"] == "SCOPE_MISSING"
    assert guarded.refused == [("anonymous", "UNAUTHORIZED"), ("viewer", "SCOPE_MISSING")]


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic {}", "{}", "Bearer {} x", "Bearer x{}", "Bearer {}\xe9"]
)
def test_almost_a_token_is_none(guarded, header):
    value = header.format(guarded.known["scanner"]).encode("latin-1")
    assert guarded.client.get("/v1/studies", headers={"Authorization": value}).status_code == 401


def test_two_tokens_in_one_request_are_none(guarded):
    bearer = f"Bearer {guarded.known['scanner']}"
    headers = [("Authorization", bearer), ("Authorization", bearer)]
    assert guarded.client.get("/v1/studies", headers=headers).status_code == 401


def test_a_session_reads_and_submits_until_it_ends(guarded):
    caller = guarded.tokens.find(guarded.known["scanner"])
    key = guarded.sessions.open(caller, NOW)
    cookie = f"{COOKIE}={key}"
    assert ask(guarded, None, "POST", "/v1/studies", Cookie=cookie).json() == {"name": "scanner"}
    guarded.clock.now = NOW + timedelta(hours=SESSION_HOURS)
    assert ask(guarded, None, "GET", "/v1/studies", Cookie=cookie).status_code == 401
    guarded.clock.now = NOW
    guarded.sessions.close(key)
    assert ask(guarded, None, "GET", "/v1/studies", Cookie=cookie).status_code == 401


@pytest.mark.parametrize("cookie", [f"{COOKIE}=x", f"{COOKIE}=", "a=b", "\x7f;;=", f"{COOKIE}=\xff"])
def test_a_cookie_of_ones_own_is_no_session(guarded, cookie):
    assert guarded.client.get("/", headers={"Cookie": cookie.encode("latin-1")}).status_code == 401


def test_a_wrong_token_beside_a_session_is_refused(guarded):
    key = guarded.sessions.open(Caller("viewer", frozenset({TokenScope.READ})), NOW)
    headers = {"Authorization": "Bearer no", "Cookie": f"{COOKIE}={key}"}
    assert guarded.client.get("/", headers=headers).status_code == 401


def test_a_session_is_never_for_metrics_and_the_oldest_gives_way():
    sessions = Sessions(largest=2)
    everything = Caller("all", frozenset(TokenScope))
    keys = [sessions.open(everything, NOW) for _ in range(3)]
    found = [sessions.find(key, NOW) for key in keys]
    assert found[0] is None
    assert found[2] == Caller("all", frozenset({TokenScope.READ, TokenScope.SUBMIT}), browser=True)


def test_a_browser_without_a_session_is_sent_to_the_login(guarded):
    response = ask(guarded, None, "GET", "/", Accept="text/html,*/*")
    assert (response.status_code, response.headers["location"]) == (303, "/login")
    assert ask(guarded, None, "POST", "/", Accept="text/html").status_code == 401


def test_a_service_without_tokens_lets_everybody_in_as_local(guarded):
    app = Starlette(routes=[Route("/", lambda request: JSONResponse(request.state.caller.name), methods=["POST"])])
    app.add_middleware(Authentication, tokens=Tokens([]), sessions=Sessions(), clock=lambda: NOW)
    assert TestClient(app).post("/").json() == "local"


def settings_of(tmp_path, **changes):
    return ServiceSettings(ensemble=tmp_path, **changes)


def test_the_file_knows_tokens_by_their_hash_alone(tmp_path):
    token, line = new_token("scanner-1", [TokenScope.SUBMIT])
    path = tmp_path / "tokens.yaml"
    path.write_text(line + "\n")
    assert token not in line
    assert hashlib.sha256(token.encode()).hexdigest() in line
    assert len(token) >= 43  # 256 bits in base64
    found = Tokens.of(settings_of(tmp_path, tokens_file=path)).find(token)
    assert found == Caller("scanner-1", frozenset({TokenScope.SUBMIT}))


def test_the_token_of_the_environment_may_do_everything(tmp_path):
    tokens = Tokens.of(settings_of(tmp_path, token=SecretStr("a-long-random-token")))
    assert tokens.find("a-long-random-token") == Caller("token", frozenset(TokenScope))
    with pytest.raises(ArgumentError, match="16"):
        Tokens.of(settings_of(tmp_path, token=SecretStr("short")))


GOOD = {"name": "a", "sha256": "0" * 64, "scopes": ["read"]}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "a: b",
        "- CANARY",
        yaml.safe_dump([{**GOOD, "sha256": "CANARY"}]),
        yaml.safe_dump([{**GOOD, "scopes": []}]),
        yaml.safe_dump([{**GOOD, "scopes": ["CANARY"]}]),
        yaml.safe_dump([{**GOOD, "name": "a b"}]),
        yaml.safe_dump([{**GOOD, "token": "CANARY"}]),
        yaml.safe_dump([GOOD, {**GOOD, "sha256": "1" * 64}]),
        yaml.safe_dump([GOOD, {**GOOD, "name": "b"}]),
        "!!python/object/apply:os.system [false]",
    ],
)
def test_a_file_that_is_wrong_is_refused_without_quoting_it(tmp_path, content):
    path = tmp_path / "tokens.yaml"
    path.write_text(content)
    with pytest.raises(ArgumentError) as caught:
        Tokens.of(settings_of(tmp_path, tokens_file=path))
    assert "CANARY" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ArgumentError, match="tokens_file"):
        Tokens.of(settings_of(tmp_path, tokens_file=tmp_path / "none"))


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "a\nb"])
def test_a_token_has_a_plain_name(name):
    with pytest.raises(ArgumentError, match="name"):
        new_token(name, [TokenScope.READ])
    with pytest.raises(ArgumentError, match="scope"):
        new_token("a", [])


def test_other_machines_are_served_with_a_token_alone(tmp_path):
    empty = tmp_path / "tokens.yaml"
    empty.write_text("")
    check_exposure(settings_of(tmp_path, host="127.0.0.1"))
    check_exposure(settings_of(tmp_path, host="0.0.0.0", token=SecretStr("a-long-random-token")))
    for host in ("0.0.0.0", "::", "10.0.0.1", "hospital.example"):
        with pytest.raises(ArgumentError, match="PROSTATE_ALM_TOKEN"):
            check_exposure(settings_of(tmp_path, host=host))
        with pytest.raises(ArgumentError, match="PROSTATE_ALM_TOKEN"):
            check_exposure(settings_of(tmp_path, host=host, tokens_file=empty))


def test_what_reaches_only_this_machine():
    assert [host for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost") if not is_loopback(host)] == []
    assert [host for host in ("0.0.0.0", "192.168.0.1", "", "localhost.evil.example") if is_loopback(host)] == []
