"""What stands behind the routes: takes uploads, hands them to the worker, knows the answers."""

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from prostate_alm.errors import Reason
from prostate_alm.readers import read_study
from prostate_alm.service.pipeline import TriagePipeline, describe_error
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.store import Job, JobStore
from prostate_alm.service.uploads import Upload, save_upload
from prostate_alm.service.worker import QueueFullError, Worker

logger = logging.getLogger(__name__)
JOB_FOLDER = re.compile(r"[0-9a-f]{32}")


class TriageService:
    """One pipeline, one worker, one folder for uploads.

    Attributes:
        pipeline: the ensemble and its operating point.
        settings: what the deployment chose.
        store: jobs and answers.
        worker: scores what was taken.
    """

    def __init__(self, pipeline: TriagePipeline, settings: ServiceSettings) -> None:
        self.pipeline = pipeline
        self.settings = settings
        self.store = JobStore(settings.kept_answers)
        self.worker = Worker(pipeline, queue_size=settings.queue_size, deadline_seconds=settings.deadline_seconds)
        self._storage = Path()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Open the folder for uploads and run the worker."""
        with tempfile.TemporaryDirectory(prefix="prostate-alm-", ignore_cleanup_errors=True) as temporary:
            self._storage = self.settings.storage or Path(temporary)
            self._storage.mkdir(mode=0o700, parents=True, exist_ok=True)
            for left in self._storage.iterdir():
                if JOB_FOLDER.fullmatch(left.name):
                    shutil.rmtree(left, ignore_errors=True)
            self.worker.start()
            try:
                yield
            finally:
                self.worker.stop()

    def accept(self, upload: Upload) -> Job:
        """Take a study; one that can't be kept on disk is answered fail-safe at once.

        Raises:
            QueueFullError: too many studies wait.
        """
        if self.worker.is_full:
            raise QueueFullError
        job = Job(self._storage)
        try:
            job.read = partial(read_study, save_upload(upload, job.folder))
            self.worker.submit(job)
        except QueueFullError:
            job.discard_upload()
            raise
        except OSError as error:
            logger.error("study %s not kept: %s", job.id, describe_error(error))
            job.discard_upload()
            job.settle(self.pipeline.failed(job.id, Reason.INTERNAL_ERROR))
        self.store.add(job)
        return job

    def faults(self) -> list[str]:
        """Why no study should be sent now, as stable codes."""
        faults = [self.worker.fault]
        try:
            with tempfile.TemporaryFile(dir=self._storage) as probe:
                probe.write(b"0")
        except OSError:
            faults.append("STORAGE_UNWRITABLE")
        return [fault for fault in faults if fault is not None]
