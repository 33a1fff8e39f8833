"""Errors of the transport as RFC 9457 problems with stable codes; they quote nothing of the request.

A problem says that the service gave no answer for the patient. A client must read it as "DCE recommended".
"""

from collections.abc import Mapping
from enum import StrEnum
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"


class ProblemCode(StrEnum):
    """What went wrong, for programs. The values are part of the API."""

    NO_FILE = "NO_FILE"
    TWO_KINDS_OF_FILES = "TWO_KINDS_OF_FILES"
    REQUEST_INVALID = "REQUEST_INVALID"
    UPLOAD_TOO_LARGE = "UPLOAD_TOO_LARGE"
    QUEUE_FULL = "QUEUE_FULL"
    UNAUTHORIZED = "UNAUTHORIZED"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
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


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """The response that carries a problem."""
    return JSONResponse(problem.model_dump(mode="json"), problem.status, headers, media_type=MEDIA_TYPE)


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of the app with a problem."""
    app.add_exception_handler(ProblemError, _own)
    app.add_exception_handler(HTTPException, _transport)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(Exception, _unforeseen)


_TRANSPORT = {
    HTTPStatus.NOT_FOUND: (ProblemCode.NOT_FOUND, "there is no such route; see /docs"),
    HTTPStatus.METHOD_NOT_ALLOWED: (ProblemCode.METHOD_NOT_ALLOWED, "the route has other methods; see /docs"),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (
        ProblemCode.UPLOAD_TOO_LARGE,
        "the request is larger than this service takes; send one study alone, without series that are not needed",
    ),
}
_NO_FORM = (ProblemCode.REQUEST_INVALID, "the request can't be read as multipart/form-data; see /docs")


def _own(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ProblemError)
    return problem_response(error.problem, error.headers)


def problem_of(error: HTTPException) -> Problem:
    """What starlette raises: unknown route, wrong method, too large, no form."""
    status = HTTPStatus(error.status_code)
    code, detail = _TRANSPORT.get(status, _NO_FORM)
    return Problem(title=status.phrase, status=status, code=code, detail=detail)


def _transport(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return problem_response(problem_of(error), error.headers)


def _validation(_: Request, error: Exception) -> JSONResponse:
    """Fields and what is expected of them, without what came."""
    assert isinstance(error, RequestValidationError)
    fields = "; ".join(f"{'.'.join(str(part) for part in item['loc'])}: {item['msg']}" for item in error.errors())
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    problem = Problem(title=status.phrase, status=status, code=ProblemCode.REQUEST_INVALID, detail=fields)
    return problem_response(problem)


def _unforeseen(_: Request, __: Exception) -> JSONResponse:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    detail = "the service failed; treat the patient as DCE recommended and see the service's log"
    return problem_response(Problem(title=status.phrase, status=status, code=ProblemCode.INTERNAL_ERROR, detail=detail))
