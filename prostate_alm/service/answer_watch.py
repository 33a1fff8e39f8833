"""Lets requests wait for answers: one query for all of them, ten times a second, and no blocked thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog
from fastapi.concurrency import run_in_threadpool

from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.jobs import JobQueue

logger = structlog.get_logger()
POLL_SECONDS = 0.1


class AnswerWatch:
    """Wakes who waits for a job when it is done.

    Args:
        queue: is asked.
    """

    def __init__(self, queue: JobQueue) -> None:
        self._queue = queue
        self._waiting: dict[str, list[asyncio.Event]] = {}
        self._closing = asyncio.Event()

    async def wait(self, job_id: str, seconds: float) -> None:
        """Return when the job is done, after `seconds`, or when the service stops."""
        if seconds <= 0 or self._closing.is_set():
            return
        done = asyncio.Event()
        self._waiting.setdefault(job_id, []).append(done)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), seconds)
        finally:
            self._waiting[job_id].remove(done)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    def release(self) -> None:
        """Let everybody go: the service stops."""
        self._closing.set()
        for job_id in list(self._waiting):
            self._wake(job_id)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch until the block ends."""
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self.release()
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _watch(self) -> None:
        while True:
            if self._waiting:
                try:
                    for job_id in await run_in_threadpool(self._queue.settled_among, list(self._waiting)):
                        self._wake(job_id)
                except Exception as error:  # the database may be away for a while; who waits gets 202 in the end
                    logger.error("answers not looked up", error=describe_error(error))
            await asyncio.sleep(POLL_SECONDS)

    def _wake(self, job_id: str) -> None:
        for done in self._waiting.get(job_id, []):
            done.set()
