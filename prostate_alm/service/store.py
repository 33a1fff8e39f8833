"""Jobs and their answers, in memory: they are gone when the service stops.

Everything that outlives a request passes through here, so that a database can take this place.
"""

import asyncio
import secrets
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from prostate_alm.report.triage import TriageAnswer
from prostate_alm.study import Study


class JobStatus(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"


class Job:
    """One study on its way to its answer, which is settled once and never changes.

    Attributes:
        id: random; names the job, its answer and its folder.
        received: when it was accepted.
        folder: where its upload lies until it was scored.
        read: makes the study from the upload.
    """

    def __init__(self, storage: Path) -> None:
        self.id = secrets.token_hex(16)
        self.received = datetime.now(UTC)
        self.folder = storage / self.id
        self.read: Callable[[], Study] | None = None
        self._answer: Future[TriageAnswer] = Future()
        self._answer.set_running_or_notify_cancel()  # so that no waiting client can cancel it
        self._running = False

    @property
    def answer(self) -> TriageAnswer | None:
        """The answer, or None while it is pending."""
        return self._answer.result() if self._answer.done() else None

    @property
    def status(self) -> JobStatus:
        """Done is done, even while a late worker still runs."""
        if self._answer.done():
            return JobStatus.DONE
        return JobStatus.RUNNING if self._running else JobStatus.QUEUED

    def begin(self) -> None:
        """Mark it as being worked on."""
        self._running = True

    def settle(self, answer: TriageAnswer) -> bool:
        """Give the answer; False when there was one already, which stays."""
        try:
            self._answer.set_result(answer)
        except InvalidStateError:
            return False
        return True

    def on_settled(self, call: Callable[[], None]) -> None:
        """Call when the answer is there."""
        self._answer.add_done_callback(lambda _: call())

    async def wait(self, seconds: float) -> TriageAnswer | None:
        """Wait for the answer for at most `seconds`."""
        if seconds > 0:
            waiting = asyncio.wrap_future(self._answer)
            try:
                await asyncio.wait([waiting], timeout=seconds)
            finally:
                waiting.cancel()
        return self.answer

    def discard_upload(self) -> None:
        """Delete the study's files."""
        shutil.rmtree(self.folder, ignore_errors=True)


class JobStore:
    """The newest jobs, pending ones and at most `kept` finished ones."""

    def __init__(self, kept: int) -> None:
        self._kept = kept
        self._jobs: dict[str, Job] = {}
        self._lock = threading.Lock()

    def add(self, job: Job) -> None:
        """Keep a job; the oldest finished ones beyond the number kept are forgotten."""
        with self._lock:
            self._jobs[job.id] = job
            finished = [job_id for job_id, known in self._jobs.items() if known.status is JobStatus.DONE]
            for job_id in finished[: max(0, len(finished) - self._kept)]:
                del self._jobs[job_id]

    def get(self, job_id: str) -> Job | None:
        """The job of this id, if it is still known."""
        with self._lock:
            return self._jobs.get(job_id)

    def newest(self, limit: int) -> list[Job]:
        """The newest jobs first."""
        with self._lock:
            return list(reversed(self._jobs.values()))[:limit]
