"""A body is not too large and does not take too long, whether it states its length or not."""

import asyncio

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from prostate_alm.service.upload_limit import UploadLimit


def run(pieces, *, delays=(), max_bytes=100, idle=30.0, whole=60.0, headers=()):
    """Send pieces, each after its delay; returns the status of the limit's own answer or what the body's reader saw."""
    statuses, read = [], []
    queue = list(zip(pieces, [*delays, *[0.0] * len(pieces)], strict=False))

    async def receive():
        if not queue:
            await asyncio.Event().wait()
        piece, delay = queue.pop(0)
        await asyncio.sleep(delay)
        return {"type": "http.request", "body": piece, "more_body": bool(queue)}

    async def send(message):
        statuses.append(message.get("status"))

    async def app(scope, receive, send):
        read.append(len(await Request(scope, receive).body()))

    async def main():
        limit = UploadLimit(app, max_bytes=max_bytes, idle_seconds=idle, whole_seconds=whole)
        scope = {"type": "http", "method": "POST", "path": "/", "headers": list(headers)}
        await asyncio.wait_for(limit(scope, receive, send), 10)

    try:
        asyncio.run(main())
    except HTTPException as error:
        return error.status_code
    return statuses[0] if statuses else read[0]


def test_a_body_at_the_limit_passes_and_one_beyond_it_does_not():
    assert run([b"x" * 50, b"x" * 50]) == 100
    assert run([b"x" * 50, b"x" * 51]) == 413


@pytest.mark.parametrize(("stated", "seen"), [(b"101", 413), (b"9" * 40, 413), (b"100", 3), (b"-1", 3), (b"x", 3)])
def test_a_stated_length_is_refused_unread(stated, seen):
    assert run([b"abc"], headers=[(b"content-length", stated)]) == seen


def test_a_body_that_stops_is_given_up():
    assert run([b"x", b"y"], delays=[0.0, 5.0], idle=0.05) == 408


def test_a_body_that_trickles_is_given_up():
    assert run([b"x"] * 1000, delays=[0.01] * 1000, max_bytes=10_000, idle=5.0, whole=0.3) == 408


def test_a_client_that_waits_for_its_answer_may_wait_long():
    async def main():
        gone = asyncio.Event()
        messages = [{"type": "http.request", "body": b"x", "more_body": False}]

        async def receive():
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def app(scope, receive, send):
            await receive()
            farewell = asyncio.create_task(receive())
            await asyncio.sleep(0.2)  # four times as long as a body may pause
            assert not farewell.done()
            gone.set()
            assert (await farewell)["type"] == "http.disconnect"

        async def nobody(message):
            pass

        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        await UploadLimit(app, max_bytes=9, idle_seconds=0.05, whole_seconds=0.05)(scope, receive, nobody)

    asyncio.run(main())
