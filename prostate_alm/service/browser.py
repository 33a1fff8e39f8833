"""What keeps other web pages away from this service, and its answers out of caches."""

import re
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prostate_alm.service.authentication import ANONYMOUS, LOCAL, LOGIN, SAFE_METHODS, Caller, is_loopback
from prostate_alm.service.problems import Problem, ProblemCode, problem_response

PORT = re.compile(r":\d{1,5}$")
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with `no-referrer` a form of our own would come from the origin "null"
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}


class ResponseHeaders:
    """ASGI middleware that gives every response the strictest headers, unless its route chose others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add them when the response begins."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers if scope["type"] == "http" else send)


class SameOrigin:
    """ASGI middleware, inside `Authentication`, that refuses what another web page sends through a browser.

    A request that changes something must come from a page of this service when a browser sends it: browsers say so in
    `Origin` or `Sec-Fetch-Site`, and what came by a session's cookie must have one of them. A service without a token
    listens to its own machine alone; it wants to be called by a name of this machine, lest a foreign name that points
    here (DNS rebinding) lets a web page read it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 403 or 421."""
        problem = _objection(scope) if scope["type"] == "http" else None
        if problem is None:
            await self._app(scope, receive, send)
        else:
            await problem_response(problem)(scope, receive, send)


def _objection(scope: Scope) -> Problem | None:
    headers = Headers(scope=scope)
    caller = scope.get("state", {}).get("caller", ANONYMOUS)
    assert isinstance(caller, Caller)
    if caller is LOCAL and not _names_this_machine(headers.get("host", "")):
        return _problem(
            HTTPStatus.MISDIRECTED_REQUEST,
            ProblemCode.HOST_UNKNOWN,
            "without a token this service answers to localhost alone; call it by that name",
        )
    if scope["method"] not in SAFE_METHODS and not _is_ours(headers, caller, scope["path"]):
        return _problem(
            HTTPStatus.FORBIDDEN,
            ProblemCode.FOREIGN_ORIGIN,
            "another web page sent this; use the page of this service, or a client that is no browser",
        )
    return None


def _names_this_machine(host: str) -> bool:
    return is_loopback(PORT.sub("", host).strip("[]").lower())


def _is_ours(headers: Headers, caller: Caller, path: str) -> bool:
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin is not None:
        return origin.lower().partition("://")[2] == headers.get("host", "").lower() != ""
    if site is not None:
        return site in {"same-origin", "none"}
    return not caller.browser and path != LOGIN


def _problem(status: HTTPStatus, code: ProblemCode, detail: str) -> Problem:
    return Problem(title=status.phrase, status=status, code=code, detail=detail)
