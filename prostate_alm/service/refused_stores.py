"""A STOW request that is refused before any of it is read may have held slices of a study: that study is not whole."""

from http import HTTPStatus

import anyio
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ROOT = "/dicomweb/"
STUDIES = f"{ROOT}studies/"
NOTED = "store_noted"
"""Attribute of `request.state`: true where the route knew which studies a request was for, and noted how it ended."""


class RefusedStores:
    """ASGI middleware behind the authentication and before every limit, so that no refusal goes unseen."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; where it did not end with all instances taken, break the studies it may have been for."""
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(ROOT):
            await self._app(scope, receive, send)
            return
        answered = False

        async def watched(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                if message["status"] != HTTPStatus.OK:
                    await _break(scope)  # before the sender knows and goes on
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            if not answered:
                await _break(scope)


async def _break(scope: Scope) -> None:
    state = scope["state"]
    if state.get(NOTED):
        return
    study = scope["path"].removeprefix(STUDIES) if scope["path"].startswith(STUDIES) else None
    receptions = scope["app"].state.receptions
    with anyio.CancelScope(shield=True):
        await run_in_threadpool(receptions.break_open, state["caller"].name, study)
