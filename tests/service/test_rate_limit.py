"""So many requests a minute and so many bodies at a time, for each token alone."""

import asyncio
from types import SimpleNamespace

import pytest

from prostate_alm.service.authentication import ANONYMOUS, Caller, TokenScope
from prostate_alm.service.rate_limit import RateLimit, RateLimits

ONE, OTHER = (Caller(name, frozenset(TokenScope)) for name in ("one", "other"))


def test_a_bucket_gives_a_minutes_worth_and_fills_evenly():
    clock = SimpleNamespace(now=0.0)
    limit = RateLimit(6, lambda: clock.now)
    assert [limit.take("a") for _ in range(6)] == [0.0] * 6
    assert limit.take("a") == pytest.approx(10.0)
    assert limit.take("b") == 0.0
    clock.now = 4.0
    assert limit.take("a") == pytest.approx(6.0)
    clock.now = 10.0
    assert limit.take("a") == 0.0
    assert limit.take("a") == pytest.approx(10.0)
    clock.now = 1e6
    assert [limit.take("a") == 0.0 for _ in range(7)] == [True] * 6 + [False]


def test_a_flood_of_names_does_not_fill_the_memory():
    clock = SimpleNamespace(now=0.0)
    limit = RateLimit(60, lambda: clock.now)
    for number in range(30_000):
        clock.now += 0.01
        limit.take(str(number))
    assert len(limit._buckets) <= 10_001


class Client:
    """Sends a request in pieces, and gets its status."""

    def __init__(self, app, caller=ONE, method="POST", address="10.0.0.1", path="/v1/studies"):
        self.pieces = asyncio.Queue()
        self.begun = asyncio.Event()
        self.status, self.headers = None, {}
        scope = {"type": "http", "method": method, "path": path, "client": (address, 1), "headers": [],
                 "state": {"caller": caller}}  # fmt: skip
        self.task = asyncio.create_task(app(scope, self.pieces.get, self.send))

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])

    async def end(self):
        await self.pieces.put({"type": "http.request", "body": b"", "more_body": False})
        await self.task
        return self.status


def limits(route, *, per_minute=1000, uploads=2):
    return RateLimits(route, requests_per_minute=per_minute, concurrent_uploads=uploads, clock=lambda: 0.0)


async def takes_all(scope, receive, send):
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})


def test_too_many_bodies_at_a_time_are_refused_until_one_is_whole():
    async def run():
        app = limits(takes_all)
        first, second = Client(app), Client(app)
        await asyncio.sleep(0)
        refused = Client(app)
        await refused.task
        assert refused.status == 429
        assert int(refused.headers[b"retry-after"]) > 0
        other = Client(app, OTHER)
        assert await other.end() == 200
        assert await first.end() == 200
        assert await Client(app).end() == 200
        assert await second.end() == 200

    asyncio.run(run())


def test_waiting_for_an_answer_takes_no_place():
    async def run():
        answered = asyncio.Event()

        async def waits(scope, receive, send):
            await receive()
            await answered.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})

        app = limits(waits, uploads=1)
        clients = []
        for _ in range(3):
            clients.append(Client(app))
            await clients[-1].pieces.put({"type": "http.request", "body": b"x", "more_body": False})
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        answered.set()
        assert [await client.end() for client in clients] == [200] * 3

    asyncio.run(run())


@pytest.mark.parametrize("how", ["raises", "goes"])
def test_a_place_is_given_back_whatever_happens(how):
    async def run():
        async def fails(scope, receive, send):
            await receive()
            raise ConnectionError

        app = limits(fails if how == "raises" else takes_all, uploads=1)
        for _ in range(3):
            client = Client(app)
            await client.pieces.put({"type": "http.disconnect"})
            await asyncio.gather(client.task, return_exceptions=True)
            assert client.status != 429

    asyncio.run(run())


def test_reading_is_cheaper_than_submitting_and_probes_are_free():
    async def run():
        app = limits(takes_all, per_minute=2)
        assert [await Client(app).end() for _ in range(3)] == [200, 200, 429]
        assert [await Client(app, method="GET").end() for _ in range(21)] == [200] * 20 + [429]
        assert {await Client(app, method="GET", path="/healthz/live").end() for _ in range(50)} == {200}
        assert await Client(app, OTHER).end() == 200

    asyncio.run(run())


def test_before_the_login_addresses_are_told_apart():
    async def run():
        app = limits(takes_all, per_minute=1)
        assert [await Client(app, ANONYMOUS, address="a").end() for _ in range(2)] == [200, 429]
        assert await Client(app, ANONYMOUS, address="b").end() == 200

    asyncio.run(run())
