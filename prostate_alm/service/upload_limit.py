"""A limit on the size of a request, whether it states its length or not."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prostate_alm.service.problems import problem_of, problem_response


class UploadLimit:
    """ASGI middleware that ends a request beyond `max_bytes` with 413.

    Starlette's own limit answers a stated length with plain text; a client of this service reads problems.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a stated length at once, and count the bytes of a body that comes without one."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif self._stated_length(scope) > self._max_bytes:
            problem = problem_of(HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            await problem_response(problem)(scope, receive, send)
        else:
            await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return message

        return receive_counted

    @staticmethod
    def _stated_length(scope: Scope) -> int:
        """The Content-Length; 0 without one, since the body is counted anyway."""
        stated = dict(scope["headers"]).get(b"content-length", b"")
        return int(stated) if stated.isdigit() else 0
