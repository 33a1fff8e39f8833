"""Limits on the size of a request and on the time it takes, whether it states its length or not."""

import asyncio
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prostate_alm.service.problems import problem_of, problem_response


class UploadLimit:
    """ASGI middleware that ends a request beyond `max_bytes` with 413, and one that comes too slowly with 408.

    Starlette's own limit answers a stated length with plain text; a client of this service reads problems.

    Args:
        app: what gets the request.
        max_bytes: of the body.
        idle_seconds: between two pieces of it.
        whole_seconds: until all of it is here.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, idle_seconds: float, whole_seconds: float) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._whole_seconds = whole_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a stated length at once, and watch the body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._stated_length(scope) > self._max_bytes:
            problem = problem_of(HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            await problem_response(problem)(scope, receive, send)
        else:
            await self._app(scope, self._watched(receive), send)

    def _watched(self, receive: Receive) -> Receive:
        received, whole = 0, False
        end = asyncio.get_running_loop().time() + self._whole_seconds

        async def receive_watched() -> Message:
            nonlocal received, whole
            if whole:  # what comes now is the client's farewell, and may take as long as it likes
                return await receive()
            patience = min(self._idle_seconds, end - asyncio.get_running_loop().time())
            try:
                message = await asyncio.wait_for(receive(), max(patience, 0.0))
            except TimeoutError:
                raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, headers={"Connection": "close"}) from None
            received += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if received > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        return receive_watched

    @staticmethod
    def _stated_length(scope: Scope) -> int:
        """The Content-Length; 0 without one, since the body is counted anyway."""
        stated = dict(scope["headers"]).get(b"content-length", b"")
        return int(stated) if stated.isdigit() else 0
