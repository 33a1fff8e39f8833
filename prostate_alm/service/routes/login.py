"""From a token to a browser's session, and out again."""

from datetime import UTC, datetime
from http import HTTPStatus
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from prostate_alm.service.audit import AuditEvent, record
from prostate_alm.service.authentication import ANONYMOUS, COOKIE, LOGIN, LOGOUT, SESSION_HOURS, Caller, session_key
from prostate_alm.service.page.rendering import SECURITY_HEADERS, login_page
from prostate_alm.service.problems import ProblemCode

router = APIRouter(include_in_schema=False)
LARGEST_FORM = 4096


@router.get(LOGIN)
async def show_login() -> Response:
    """Ask for a token."""
    return _page(failed=False)


@router.post(LOGIN)
async def log_in(request: Request) -> Response:
    """Turn the form's `token` into a session."""
    state, now = request.app.state, datetime.now(UTC)
    caller = state.tokens.find(await _token_of(request)) if len(state.tokens) else None
    if caller is None:
        await state.on_refused(ANONYMOUS, ProblemCode.UNAUTHORIZED)
        return _page(failed=True)
    await run_in_threadpool(_record, request, AuditEvent.LOGIN, caller)
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE,
        state.sessions.open(caller, now),
        max_age=SESSION_HOURS * 3600,
        httponly=True,
        samesite="strict",
        secure=state.settings.secure_cookies,
    )
    return response


@router.post(LOGOUT)
async def log_out(request: Request) -> Response:
    """End the session."""
    request.app.state.sessions.close(session_key(request.headers) or "")
    await run_in_threadpool(_record, request, AuditEvent.LOGOUT, request.state.caller)
    response = RedirectResponse(LOGIN, HTTPStatus.SEE_OTHER)
    response.delete_cookie(COOKIE)
    return response


def _page(*, failed: bool) -> Response:
    status = HTTPStatus.FORBIDDEN if failed else HTTPStatus.OK
    return HTMLResponse(login_page(failed=failed), status, SECURITY_HEADERS)


async def _token_of(request: Request) -> str:
    """The form is small and plain: it needs no parser of uploads."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            return ""
    return parse_qs(body.decode("latin-1")).get("token", [""])[0].strip()


def _record(request: Request, event: AuditEvent, caller: Caller) -> None:
    with request.app.state.database.writing() as session:
        record(session, event=event, actor=caller.name, outcome="OK", now=datetime.now(UTC))
