"""The worker process: loads the ensemble, then takes jobs from the database until it is told to stop.

`python -m prostate_alm.service.worker` is started by `supervisor`. Its standard input carries the settings in one
line, and ends when the API dies; then the worker ends too.
"""

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import structlog
import torch

from prostate_alm.errors import Reason
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.preprocessing.prepare import SPACING_MM
from prostate_alm.readers import read_study
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core, open_core
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.fault_injection import step
from prostate_alm.service.logs import configure_logs
from prostate_alm.service.pipeline import SeenImage, TriagePipeline
from prostate_alm.service.records import ClaimedJob
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.storage import study_in
from prostate_alm.service.tables import JobKind, WorkerState

logger = structlog.get_logger()

LEASE_SECONDS = 10.0
BEAT_SECONDS = 1.0
IDLE_SECONDS = 0.1
CHANNELS = ("t2", "dwi", "adc")
LOST_EXIT, ORPHAN_EXIT = 3, 4


class Worker:
    """Does one job after the other.

    Args:
        worker_id: its name in the database.
        core: the queue and the storage.
        pipeline: answers studies; None when no ensemble could be loaded, and every study fails safe.
        lost: called when the job at work was given to somebody else or is late; a process ends itself there, since
            nothing else stops a computation.
    """

    def __init__(
        self, worker_id: str, core: Core, *, pipeline: TriagePipeline | None, lost: Callable[[], None]
    ) -> None:
        self.id = worker_id
        self._core = core
        self._pipeline = pipeline
        self._lost = lost
        self._current: ClaimedJob | None = None
        self._settling = threading.Lock()

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; the job at work is finished."""
        with self._beating():
            while not stop.is_set():
                try:
                    worked = self._next()
                except Exception as error:  # the database may be away for a while; the lease runs out by itself
                    logger.error("job failed", worker=self.id, error=describe_error(error))
                    worked = False
                if not worked:
                    stop.wait(IDLE_SECONDS)

    def _next(self) -> bool:
        job = self._core.queue.claim(self.id, utc_now(), LEASE_SECONDS)
        if job is None:
            return False
        self._current = job
        step("worker.claimed")
        try:
            self._triage(job) if job.kind is JobKind.TRIAGE else self._explain(job)
        finally:
            self._current = None
        return True

    def _triage(self, job: ClaimedJob) -> None:
        began = utc_now()
        waited = {"wait": (began - job.received).total_seconds()}
        pipeline = self._pipeline
        if pipeline is None or pipeline.ensemble.sha256 != job.model_sha256:
            reason = Reason.ENSEMBLE_INVALID if pipeline is None else Reason.MODEL_DIFFERS
            self._settle(
                job, partial(self._core.queue.settle, job, self._core.queue.failed(job, reason), seconds=waited)
            )
            return
        at_point = replace(pipeline, operating_point=pipeline.operating_points.named(job.operating_point))
        read = partial(read_study, study_in(self._core.storage.input_of(job.id)))
        outcome = at_point.examine(job.id, read, complete=True, accepted_for=job.model_sha256)
        image_sha256 = "" if outcome.image is None else self._keep_image(job, outcome.image)
        settle = partial(
            self._core.queue.settle, job, outcome.answer, image_sha256=image_sha256, seconds=waited | outcome.seconds
        )
        self._settle(job, settle)

    def _keep_image(self, job: ClaimedJob, seen: SeenImage) -> str:
        """Write what the model saw for the page; returns the SHA-256 of its voxels."""
        assert self._pipeline is not None
        image = seen.prepared.image.numpy()
        arrays = {
            "image": image,
            "channels": np.array(CHANNELS),
            "spacing_mm": np.array(SPACING_MM[self._pipeline.ensemble.preprocessing.profile], np.float64),
            "high_b": np.array(seen.high_b, np.float64),
        }
        try:
            write_arrays(self._core.storage.image_of(job.id), arrays)
        except OSError as error:  # the answer does not hang on it; the page says that there is no image
            logger.error("image not kept", job=job.id, error=describe_error(error))
        step("worker.image")
        return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()

    def _explain(self, job: ClaimedJob) -> None:
        fault = None
        try:
            self._make_map(job)
        except Exception as error:
            logger.error("map failed", job=job.id, error=describe_error(error))
            fault = Reason.INTERNAL_ERROR
        self._settle(job, partial(self._core.queue.finish, job, fault))

    def _make_map(self, job: ClaimedJob) -> None:
        from prostate_alm.inference.occlusion import occlusion_map  # noqa: PLC0415

        assert self._pipeline is not None
        assert job.explains is not None
        with np.load(self._core.storage.image_of(job.explains)) as kept:
            image = torch.from_numpy(kept["image"])
        made = occlusion_map(self._pipeline.ensemble, image)
        write_arrays(self._core.storage.occlusion_of(job.explains), {"t2": made.t2, "diffusion": made.diffusion})

    def _settle(self, job: ClaimedJob, settle: Callable[..., bool]) -> None:
        """Store the result; the beat must not take a job for lost that was stored this moment."""
        with self._settling:
            stored = settle(now=utc_now())
            self._current = None
        logger.info("job stored" if stored else "job late or lost", job=job.id, kind=job.kind)

    @contextmanager
    def _beating(self) -> Iterator[None]:
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), name="beat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(BEAT_SECONDS):
            try:
                self._core.workers.beat(self.id, utc_now())
                with self._settling:
                    job = self._current
                    if job is not None and not self._core.queue.renew(job, utc_now(), LEASE_SECONDS):
                        self._current = None
                        self._lost()
            except Exception as error:
                logger.error("beat failed", worker=self.id, error=describe_error(error))


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays so that `path` holds all of them or is not there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    temporary.replace(path)


def serve_jobs(worker_id: str, settings: ServiceSettings, model: DeployedModel, stop: threading.Event) -> None:
    """Register, load, warm up and work; an ensemble that can't be used makes every study fail safe."""
    core = open_core(settings, model)
    core.workers.register(worker_id, os.getpid(), utc_now())
    pipeline, fault = _load(settings)
    state = WorkerState.READY if fault is None else WorkerState.FAULT
    worker = Worker(worker_id, core, pipeline=pipeline, lost=_end_lost)
    backend = None if pipeline is None else pipeline.ensemble.backend
    core.workers.become(worker_id, state, now=utc_now(), fault=fault, backend=backend)
    worker.run(stop)
    core.workers.remove(worker_id)
    core.database.close()


def _load(settings: ServiceSettings) -> tuple[TriagePipeline | None, str | None]:
    try:
        ensemble = load_ensemble(
            settings.ensemble,
            expect_sha256=settings.expect_sha256,
            device=settings.device,
            backend=settings.backend,
        )
        pipeline = TriagePipeline.at(ensemble, settings.operating_point)
    except Exception as error:
        logger.error("ensemble not loaded", error=describe_error(error))
        return None, "ENSEMBLE_INVALID"
    try:
        ensemble.verify_golden()
    except Exception as error:
        logger.error("golden logits differ", error=describe_error(error))
        return None, "GOLDEN_LOGITS_DIFFER"
    return pipeline, None


def _end_lost() -> NoReturn:
    logger.error("job lost and process ended", pid=os.getpid())
    os._exit(LOST_EXIT)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(ORPHAN_EXIT)


def main() -> None:
    """Read the settings from standard input and work."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the API tells us when to stop
    configure_logs()
    start = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    settings, model = ServiceSettings.model_validate(start["settings"]), DeployedModel.model_validate(start["model"])
    serve_jobs(start["worker_id"], settings, model, stop)


if __name__ == "__main__":
    main()
