"""One thread that scores one study after the other, and a clock that answers for it when it is late."""

import logging
import queue
import threading

from prostate_alm.errors import Reason
from prostate_alm.service.pipeline import TriagePipeline, describe_error
from prostate_alm.service.store import Job

logger = logging.getLogger(__name__)


class QueueFullError(Exception):
    """As many studies wait as may wait."""


class Worker:
    """Scores jobs in the order they came.

    Args:
        pipeline: answers a study.
        queue_size: jobs that may wait beside the one at work.
        deadline_seconds: from submission; then the job is settled with `Reason.TIMEOUT`, and whatever the
            thread finds out later about it is dropped.
    """

    def __init__(self, pipeline: TriagePipeline, *, queue_size: int, deadline_seconds: float) -> None:
        self._pipeline = pipeline
        self._deadline_seconds = deadline_seconds
        self._queue_size = queue_size
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._submitting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="triage-worker", daemon=True)
        self._warm = False
        self._current: Job | None = None

    @property
    def is_full(self) -> bool:
        """Whether the next job would be refused."""
        return self._queue.qsize() >= self._queue_size

    @property
    def fault(self) -> str | None:
        """Why it can't be relied on now, as a stable code; None when it can."""
        current = self._current
        if not self._thread.is_alive():
            return "WORKER_STOPPED"
        if not self._warm:
            return "NOT_WARM"
        if current is not None and current.answer is not None:
            return "WORKER_LATE"
        return None

    def start(self) -> None:
        """Warm up and begin to take jobs."""
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job and start its clock.

        Raises:
            QueueFullError: too many wait.
        """
        with self._submitting:
            if self.is_full:
                raise QueueFullError
            late = self._pipeline.failed(job.id, Reason.TIMEOUT)
            clock = threading.Timer(self._deadline_seconds, job.settle, args=(late,))
            clock.daemon = True
            clock.start()
            job.on_settled(clock.cancel)
            self._queue.put(job)

    def stop(self, patience_seconds: float = 10.0) -> None:
        """Answer what waits fail-safe, let the job at work finish, end the thread."""
        while not self._queue.empty():
            job = self._queue.get()
            if job is not None:
                job.settle(self._pipeline.failed(job.id, Reason.INTERNAL_ERROR))
                job.discard_upload()
        self._queue.put(None)
        self._thread.join(patience_seconds)

    def _run(self) -> None:
        self._warm_up()
        while (job := self._queue.get()) is not None:
            self._current = job
            try:
                self._work(job)
            except Exception as error:  # the next patient needs this thread
                logger.error("study %s failed: %s", job.id, describe_error(error))
                job.settle(self._pipeline.failed(job.id, Reason.INTERNAL_ERROR))
            finally:
                job.discard_upload()
                self._current = None

    def _warm_up(self) -> None:
        try:
            self._pipeline.ensemble.warm_up()
            self._warm = True
        except Exception as error:  # studies are still taken and answered fail-safe; /healthz/ready says NOT_WARM
            logger.error("the ensemble did not warm up: %s", describe_error(error))

    def _work(self, job: Job) -> None:
        """Score it, unless its clock ran out while it waited."""
        if job.answer is not None or job.read is None:
            return
        job.begin()
        answer = self._pipeline.answer(job.id, job.read)
        if job.settle(answer):
            logger.info("study %s answered: %s %s", job.id, answer.recommendation, answer.basis)
