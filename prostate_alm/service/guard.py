"""Everything that a request passes before a route sees it."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool

from prostate_alm.service.audit import AuditEvent, record
from prostate_alm.service.authentication import Authentication, Caller, Sessions, Tokens
from prostate_alm.service.browser import ResponseHeaders, SameOrigin
from prostate_alm.service.metrics import RequestMetrics, ServiceMetrics
from prostate_alm.service.problems import ProblemCode
from prostate_alm.service.rate_limit import RateLimit, RateLimits
from prostate_alm.service.refused_stores import RefusedStores
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.upload_limit import UploadLimit

REFUSALS_A_MINUTE = 30
"""So many refused requests are written into the audit; whoever floods the service does not fill its disk with it."""


def add_guards(app: FastAPI, settings: ServiceSettings) -> None:
    """Put all middlewares before the routes of `app`.

    From outside to inside: headers of the response, metrics, who asks, from which page, how often, how much.

    Raises:
        ArgumentError: the tokens of `settings` can't be used.
    """
    tokens, sessions, metrics = Tokens.of(settings), Sessions(), ServiceMetrics(datetime.now(UTC))
    app.state.tokens, app.state.sessions, app.state.metrics = tokens, sessions, metrics
    app.state.on_refused = _recorder(app)
    app.add_middleware(
        UploadLimit,
        max_bytes=settings.max_upload_bytes,
        idle_seconds=settings.upload_idle_seconds,
        whole_seconds=settings.upload_seconds,
    )
    app.add_middleware(
        RateLimits,
        requests_per_minute=settings.requests_per_minute,
        concurrent_uploads=settings.concurrent_uploads,
        clock=time.monotonic,
    )
    app.add_middleware(RefusedStores)
    app.add_middleware(SameOrigin)
    app.add_middleware(
        Authentication,
        tokens=tokens,
        sessions=sessions,
        clock=lambda: datetime.now(UTC),
        on_refused=app.state.on_refused,
    )
    app.add_middleware(RequestMetrics, metrics=metrics)
    app.add_middleware(ResponseHeaders)


def _recorder(app: FastAPI) -> Callable[[Caller, ProblemCode], Awaitable[None]]:
    """Writes refused requests into the audit."""
    budget = RateLimit(REFUSALS_A_MINUTE, time.monotonic)

    async def write(caller: Caller, code: ProblemCode) -> None:
        if budget.take("all") == 0:
            await run_in_threadpool(_write, app, caller, code)

    return write


def _write(app: FastAPI, caller: Caller, code: ProblemCode) -> None:
    with app.state.database.writing() as session:
        record(session, event=AuditEvent.TOKEN_REFUSED, actor=caller.name, outcome=code, now=datetime.now(UTC))
