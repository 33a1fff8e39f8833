"""How much one token may ask for at a time; beyond it 429 says when to come back."""

import math
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prostate_alm.service.authentication import ANONYMOUS, OPEN, SAFE_METHODS, Caller
from prostate_alm.service.problems import Problem, ProblemCode, problem_response
from prostate_alm.service.refused_stores import ROOT as STORES

READS = 10
"""Reading is this much cheaper than submitting: a page asks often, and scrolls through slices."""
UPLOAD_RETRY_SECONDS = 5


class RateLimit:
    """A bucket for each name: it holds what a minute allows and fills evenly.

    Args:
        per_minute: requests.
        clock: monotonic seconds.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._per_second = per_minute / 60
        self._size = per_minute
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, name: str) -> float:
        """Take one request out; 0 when there was one, else the seconds until there is."""
        now = self._clock()
        left, at = self._buckets.get(name, (self._size, now))
        left = min(self._size, left + (now - at) * self._per_second)
        allowed = left >= 1
        self._buckets[name] = (left - 1 if allowed else left, now)
        if len(self._buckets) > 10_000:
            self._forget_full(now)
        return 0.0 if allowed else (1 - left) / self._per_second

    def _forget_full(self, now: float) -> None:
        self._buckets = {
            name: (left, at)
            for name, (left, at) in self._buckets.items()
            if left + (now - at) * self._per_second < self._size
        }


class RateLimits:
    """ASGI middleware: requests a minute and bodies at a time, for each token.

    Args:
        app: what gets the request.
        requests_per_minute: that change something; ten times as many may read.
        concurrent_uploads: bodies that may be under way at a time. One that has come whole no longer counts, however
            long its answer is waited for.
        clock: monotonic seconds.
    """

    def __init__(
        self, app: ASGIApp, *, requests_per_minute: int, concurrent_uploads: int, clock: Callable[[], float]
    ) -> None:
        self._app = app
        self._submits = RateLimit(requests_per_minute, clock)
        self._reads = RateLimit(READS * requests_per_minute, clock)
        self._concurrent_uploads = concurrent_uploads
        self._uploads: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 429."""
        if scope["type"] != "http" or scope["path"].startswith(OPEN):
            await self._app(scope, receive, send)
            return
        name = _name(scope)
        reads = scope["method"] in SAFE_METHODS
        # a sender of single images meets any rate, and a study whose slices are refused must fail safe: bytes limit it
        free = scope["path"].startswith(STORES)
        wait = 0.0 if free else (self._reads if reads else self._submits).take(name)
        if wait:
            detail = "this token sent more requests than it may in a minute; come back later"
            await _too_many(ProblemCode.RATE_EXCEEDED, detail, wait)(scope, receive, send)
        elif reads:
            await self._app(scope, receive, send)
        elif self._uploads[name] >= self._concurrent_uploads:
            detail = "this token has too many uploads under way; send this one again when one is done"
            await _too_many(ProblemCode.TOO_MANY_UPLOADS, detail, UPLOAD_RETRY_SECONDS)(scope, receive, send)
        else:
            await self._counted(name, scope, receive, send)

    async def _counted(self, name: str, scope: Scope, receive: Receive, send: Send) -> None:
        under_way = True
        self._uploads[name] += 1

        def done() -> None:
            nonlocal under_way
            if under_way:
                under_way = False
                self._uploads[name] -= 1

        async def receive_counted() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect" or not message.get("more_body", False):
                done()
            return message

        try:
            await self._app(scope, receive_counted, send)
        finally:
            done()


def _name(scope: Scope) -> str:
    caller = scope.get("state", {}).get("caller", ANONYMOUS)
    assert isinstance(caller, Caller)
    client = scope.get("client") or ("unknown", 0)
    return f"token {caller.name}" if caller is not ANONYMOUS else f"address {client[0]}"


def _too_many(code: ProblemCode, detail: str, seconds: float) -> ASGIApp:
    status = HTTPStatus.TOO_MANY_REQUESTS
    problem = Problem(title=status.phrase, status=status, code=code, detail=detail)
    return problem_response(problem, {"Retry-After": str(max(1, math.ceil(seconds)))})
