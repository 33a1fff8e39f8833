"""A bearer token before every route but the health probes."""

import hmac
from http import HTTPStatus

from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from prostate_alm.service.problems import Problem, ProblemCode, problem_response

OPEN_PREFIX = "/healthz/"


class BearerToken:
    """ASGI middleware that lets pass who knows the token; it looks before the body is read."""

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        self._app = app
        self._expected = f"Bearer {token.get_secret_value()}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] == "lifespan" or scope["path"].startswith(OPEN_PREFIX) or self._knows_token(scope):
            await self._app(scope, receive, send)
            return
        status = HTTPStatus.UNAUTHORIZED
        detail = "send the header `Authorization: Bearer TOKEN` with the token of this service"
        problem = Problem(title=status.phrase, status=status, code=ProblemCode.UNAUTHORIZED, detail=detail)
        await problem_response(problem, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    def _knows_token(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)
