"""A worker's sign of life: beats for the supervisor, and keeps the job at work."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.records import ClaimedJob

logger = structlog.get_logger()

BEAT_SECONDS = 1.0
LEASE_SECONDS = 10.0


class Heartbeat:
    """Beats in a thread of its own, from the first moment on: loading an ensemble takes its time.

    Args:
        worker_id: its name in the database.
        core: the queue and the registry of workers.
        lost: called when the job at work is late or was given to somebody else; a process ends itself there, since
            nothing else stops a computation.
    """

    def __init__(self, worker_id: str, core: Core, *, lost: Callable[[], None]) -> None:
        self.worker_id = worker_id
        self._core = core
        self._lost = lost
        self._held: ClaimedJob | None = None
        self._settling = threading.Lock()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Beat until the block ends."""
        ended = threading.Event()
        thread = threading.Thread(target=self._go, args=(ended,), name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextmanager
    def holding(self, job: ClaimedJob) -> Iterator[None]:
        """Renew the job's lease until the block ends or the job is settled."""
        self._held = job
        try:
            yield
        finally:
            self._held = None

    def settle(self, store: Callable[[], bool]) -> bool:
        """Store the job's end: meanwhile no beat takes it for lost, because it is no longer at work."""
        with self._settling:
            stored = store()
            self._held = None
            return stored

    def beat(self) -> None:
        """Beat once."""
        self._core.workers.beat(self.worker_id, utc_now())
        with self._settling:
            job = self._held
            if job is not None and not self._core.queue.renew(job, utc_now(), LEASE_SECONDS):
                self._held = None
                self._lost()

    def _go(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                self.beat()
            except Exception as error:  # the database may be away for a while
                logger.error("beat failed", worker=self.worker_id, error=describe_error(error))
