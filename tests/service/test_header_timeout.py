"""A connection that does not come to the point is closed; one that does is served, however often."""

import asyncio
import contextlib

import pytest
import uvicorn

from prostate_alm.service.header_timeout import ImpatientH11

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def app(scope, receive, send):
    if scope["type"] == "http":
        await asyncio.sleep(0.4)  # an answer may take longer than a head
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})


class Impatient(ImpatientH11):
    head_seconds = 0.2


@contextlib.asynccontextmanager
async def connection():
    config = uvicorn.Config(app, port=0, http=Impatient, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    reader, writer = await asyncio.open_connection(*server.servers[0].sockets[0].getsockname())
    yield reader, writer
    writer.close()
    server.should_exit = True
    await serving


async def answer(reader):
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n"])
def test_a_head_that_does_not_come_closes_the_connection(begun):
    async def run():
        async with connection() as (reader, writer):
            writer.write(begun)
            assert await asyncio.wait_for(reader.read(), 5) == b""

    asyncio.run(run())


def test_one_that_trickles_does_too():
    async def run():
        async with connection() as (reader, writer):
            closed = asyncio.create_task(reader.read())
            for byte in REQUEST * 4:
                if closed.done():
                    break
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)
            assert await asyncio.wait_for(closed, 5) == b""

    asyncio.run(run())


def test_a_whole_head_is_answered_and_the_next_one_too():
    async def run():
        async with connection() as (reader, writer):
            for _ in range(2):
                writer.write(REQUEST)
                assert b"204" in await answer(reader)

    asyncio.run(run())


def test_the_second_head_may_not_trickle_either():
    async def run():
        async with connection() as (reader, writer):
            writer.write(REQUEST)
            assert b"204" in await answer(reader)
            writer.write(REQUEST[:10])
            assert await asyncio.wait_for(reader.read(), 2) == b""

    asyncio.run(run())
