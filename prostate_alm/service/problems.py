"""Errors of the transport as RFC 9457 problems with stable codes; they quote nothing of the request.

A problem says that the service gave no answer for the patient. A client must read it as "DCE recommended".
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, Field
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from prostate_alm.service.page import rendering
from prostate_alm.service.storage import is_full

MEDIA_TYPE = "application/problem+json"
FOR_PROGRAMS = ("/v1/", "/dicomweb/", "/healthz/", "/metrics", "/openapi.json")


class ProblemCode(StrEnum):
    """What went wrong, for programs. The values are part of the API."""

    # the request
    NO_FILE = "NO_FILE"
    TWO_KINDS_OF_FILES = "TWO_KINDS_OF_FILES"
    REQUEST_INVALID = "REQUEST_INVALID"
    BODY_INVALID = "BODY_INVALID"
    MEDIA_TYPE_UNSUPPORTED = "MEDIA_TYPE_UNSUPPORTED"
    NOT_ACCEPTABLE = "NOT_ACCEPTABLE"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    KEY_REUSED = "KEY_REUSED"
    NOT_ANSWERED = "NOT_ANSWERED"
    PIXELS_GONE = "PIXELS_GONE"
    SR_NOT_AVAILABLE = "SR_NOT_AVAILABLE"
    PACS_UNKNOWN = "PACS_UNKNOWN"
    # who asks
    UNAUTHORIZED = "UNAUTHORIZED"
    SCOPE_MISSING = "SCOPE_MISSING"
    FOREIGN_ORIGIN = "FOREIGN_ORIGIN"
    HOST_UNKNOWN = "HOST_UNKNOWN"
    # limits
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"
    TOO_MANY_PARTS = "TOO_MANY_PARTS"
    UPLOAD_TOO_SLOW = "UPLOAD_TOO_SLOW"
    RATE_EXCEEDED = "RATE_EXCEEDED"
    TOO_MANY_UPLOADS = "TOO_MANY_UPLOADS"
    QUEUE_FULL = "QUEUE_FULL"
    # the service
    STORAGE_FULL = "STORAGE_FULL"
    PACS_FAILED = "PACS_FAILED"
    PACS_TIMEOUT = "PACS_TIMEOUT"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class Problem(BaseModel):
    """RFC 9457, with our stable `code`."""

    type: str = "about:blank"
    title: str
    status: int
    code: ProblemCode
    detail: str = Field(description="a sentence for people: what was expected, what to do")


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, status: HTTPStatus, code: ProblemCode, *, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(title=status.phrase, status=status, code=code, detail=detail)
        self.headers = headers


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's `responses` say of these statuses in the OpenAPI document."""
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The response that carries a problem: JSON, or a page that says "DCE recommended" where a browser shows it."""
    return _ProblemResponse(problem, headers)


class _ProblemResponse(JSONResponse):
    """Finds out who reads it when it is sent, so that middlewares need not know."""

    def __init__(self, problem: Problem, headers: Mapping[str, str] | None) -> None:
        super().__init__(problem.model_dump(mode="json"), problem.status, headers, media_type=MEDIA_TYPE)
        self._problem, self._given = problem, headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if _is_shown(scope):
            problem = self._problem
            html = rendering.problem_page(problem.status, problem.title, problem.detail)
            headers = {**(self._given or {}), **rendering.SECURITY_HEADERS}
            await HTMLResponse(html, problem.status, headers)(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


def _is_shown(scope: Scope) -> bool:
    """Whether a browser shows the response as a page."""
    return "text/html" in Headers(scope=scope).get("accept", "") and not scope["path"].startswith(FOR_PROGRAMS)


def storage_full() -> ProblemError:
    """Say that no room is left, for a study or for a row of the database."""
    return ProblemError(
        HTTPStatus.INSUFFICIENT_STORAGE,
        ProblemCode.STORAGE_FULL,
        detail="the service has no space for this; treat the patient as DCE recommended and tell its operator",
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(ProblemError, _own)
    app.add_exception_handler(HTTPException, _transport)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(Exception, _unforeseen)


_TRANSPORT = {
    HTTPStatus.NOT_FOUND: (ProblemCode.NOT_FOUND, "there is no such route; see /openapi.json"),
    HTTPStatus.METHOD_NOT_ALLOWED: (ProblemCode.METHOD_NOT_ALLOWED, "the route has other methods; see /openapi.json"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        ProblemCode.UPLOAD_TOO_LARGE,
        "the request is larger than this service takes; send one study alone, without series that are not needed",
    ),
    HTTPStatus.REQUEST_TIMEOUT: (
        ProblemCode.UPLOAD_TOO_SLOW,
        "the request came too slowly; send it again over a faster connection",
    ),
}
_OTHER = (ProblemCode.REQUEST_INVALID, "the request can't be read; see /openapi.json")


def _own(_: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(error.problem, error.headers)


def problem_of(error: HTTPException) -> Problem:
    """What starlette raises: unknown route, wrong method, too large, too slow."""
    status = HTTPStatus(error.status_code)
    code, detail = _TRANSPORT.get(status, _OTHER)
    return Problem(title=status.phrase, status=status, code=code, detail=detail)


def _transport(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(problem_of(error), error.headers)


def _validation(_: Request, error: Exception) -> Response:
    """Fields and what is expected of them, without what came."""
    assert isinstance(error, RequestValidationError)
    # a place that the client named, an unknown key of its JSON, is not repeated
    fields = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors())
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    problem = Problem(title=status.phrase, status=status, code=ProblemCode.REQUEST_INVALID, detail=fields)
    return problem_response(problem)


def _disk(_: Request, error: Exception) -> Response:
    """A full disk, wherever it was met; another fault of it stays unforeseen."""
    if not is_full(error):
        raise error
    return problem_response(storage_full().problem)


def _unforeseen(_: Request, __: Exception) -> Response:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "the service failed; treat the patient as DCE recommended and see the service's log"
    return problem_response(Problem(title=status.phrase, status=status, code=ProblemCode.INTERNAL_ERROR, detail=detail))
