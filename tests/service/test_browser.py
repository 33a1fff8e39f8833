"""Other web pages can neither send nor read through a browser that is logged in, or runs on the same machine."""

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from prostate_alm.service.authentication import LOCAL, Caller, TokenScope
from prostate_alm.service.browser import ResponseHeaders, SameOrigin

SCANNER = Caller("scanner", frozenset(TokenScope))
BROWSER = Caller("viewer", frozenset(TokenScope), browser=True)


class As:
    """Stands for the authentication."""

    def __init__(self, app, caller):
        self.app, self.caller = app, caller

    async def __call__(self, scope, receive, send):
        scope.setdefault("state", {})["caller"] = self.caller
        await self.app(scope, receive, send)


def answer(caller, method, path="/", host="triage.hospital.example", **headers):
    def page(request):
        return PlainTextResponse("ok", headers={"Cache-Control": "max-age=60"} if request.url.path == "/kept" else {})

    app = Starlette(routes=[Route(one, page, methods=["GET", "POST"]) for one in ("/", "/login", "/kept")])
    app.add_middleware(SameOrigin)
    app.add_middleware(As, caller=caller)
    app.add_middleware(ResponseHeaders)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return TestClient(app).request(method, path, headers={"Host": host, **headers})


OURS, FOREIGN = "https://triage.hospital.example", "https://evil.example"


@pytest.mark.parametrize(
    ("caller", "headers", "status"),
    [
        (BROWSER, {"Origin": OURS}, 200),
        (BROWSER, {"Origin": FOREIGN}, 403),
        (BROWSER, {"Origin": "null"}, 403),
        (BROWSER, {"Origin": ""}, 403),
        (BROWSER, {"Origin": "http://[", "Sec_Fetch_Site": "same-origin"}, 403),
        (BROWSER, {"Origin": OURS + ".evil.example"}, 403),
        (BROWSER, {"Origin": "https://evil.example/" + OURS}, 403),
        (BROWSER, {"Sec_Fetch_Site": "same-origin"}, 200),
        (BROWSER, {"Sec_Fetch_Site": "cross-site"}, 403),
        (BROWSER, {"Sec_Fetch_Site": "same-site"}, 403),
        (BROWSER, {}, 403),
        (SCANNER, {}, 200),
        (SCANNER, {"Origin": FOREIGN}, 403),
    ],
)
def test_what_changes_something_comes_from_our_own_page(caller, headers, status):
    assert answer(caller, "POST", **headers).status_code == status
    assert answer(caller, "GET", **headers).status_code == 200  # a foreign page can't read what it gets


def test_a_login_comes_from_our_own_page():
    assert answer(SCANNER, "POST", "/login").status_code == 403
    assert answer(SCANNER, "POST", "/login", Origin=OURS).status_code == 200


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "127.0.0.1"])
def test_without_a_token_this_machine_is_called_by_its_own_name(host):
    assert answer(LOCAL, "GET", host=host).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example:8000", "", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1"]
)
def test_without_a_token_a_foreign_name_that_points_here_reads_nothing(host):
    response = answer(LOCAL, "GET", host=host)
    assert (response.status_code, response.json()["code"]) == (421, "HOST_UNKNOWN")


def test_every_response_is_for_this_reader_alone_unless_its_route_says_otherwise():
    headers = answer(SCANNER, "GET").headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert answer(SCANNER, "GET", "/kept").headers["cache-control"] == "max-age=60"
    assert answer(BROWSER, "POST", Origin=FOREIGN).headers["cache-control"] == "no-store"
