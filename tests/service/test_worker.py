"""The worker takes as many jobs as may wait, in their order, and says when it can't be relied on."""

import threading
import time

import pytest

from prostate_alm.errors import Reason, StudyRefusedError
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.store import Job
from prostate_alm.service.worker import QueueFullError, Worker


@pytest.fixture
def worker(loaded):
    worker = Worker(TriagePipeline.at(loaded["never"], "0-fn"), queue_size=3, deadline_seconds=30)
    yield worker
    worker.stop()


def recording(folder, order):
    """A job that notes when it was read."""
    job = Job(folder)

    def read():
        order.append(job.id)
        raise StudyRefusedError(Reason.INPUT_EMPTY, "the job holds no study.")

    job.read = read
    return job


def test_jobs_are_taken_in_their_order_and_no_more_than_may_wait(worker, tmp_path):
    order: list[str] = []
    jobs = [recording(tmp_path, order) for _ in range(4)]
    for job in jobs[:3]:
        worker.submit(job)
    assert worker.is_full
    with pytest.raises(QueueFullError):
        worker.submit(jobs[3])
    assert worker.fault == "WORKER_STOPPED"
    worker.start()
    done = threading.Event()
    jobs[2].on_settled(done.set)
    assert done.wait(20)
    assert order == [job.id for job in jobs[:3]]
    assert all(job.answer is not None and job.answer.reasons == (Reason.INPUT_EMPTY,) for job in jobs[:3])
    assert jobs[3].answer is None


def test_a_job_that_ran_out_of_time_while_it_waited_is_not_worked_on(loaded, tmp_path):
    order: list[str] = []
    worker = Worker(TriagePipeline.at(loaded["never"], "0-fn"), queue_size=3, deadline_seconds=0.05)
    late = recording(tmp_path, order)
    timed_out = threading.Event()
    late.on_settled(timed_out.set)
    late.folder.mkdir()
    worker.submit(late)
    assert timed_out.wait(20)
    worker.start()
    while late.folder.exists():  # deleted once the worker is through with it
        time.sleep(0.01)
    worker.stop()
    assert order == []
    assert late.answer is not None
    assert late.answer.reasons == (Reason.TIMEOUT,)
