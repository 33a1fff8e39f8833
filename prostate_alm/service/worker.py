"""The worker process: loads the ensemble, then takes jobs from the database until it is told to stop.

`python -m prostate_alm.service.worker` is started by `supervisor`. Its standard input carries the settings in one
line, and ends when the API dies; then the worker ends too.
"""

import hashlib
import json
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import structlog
import torch

from prostate_alm.errors import Reason
from prostate_alm.files import replacing
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.inference.occlusion import occlusion_map
from prostate_alm.preprocessing.prepare import SPACING_MM
from prostate_alm.readers import read_study
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core, open_core
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.fault_injection import step
from prostate_alm.service.heartbeat import LEASE_SECONDS, Heartbeat
from prostate_alm.service.identities import identity_of, refuse_nameless
from prostate_alm.service.logs import configure_logs
from prostate_alm.service.pipeline import SeenImage, TriagePipeline
from prostate_alm.service.records import ClaimedJob
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.storage import study_in
from prostate_alm.service.tables import JobKind, WorkerState
from prostate_alm.study import Study

logger = structlog.get_logger()

IDLE_SECONDS = 0.1
CHANNELS = ("t2", "dwi", "adc")
LOST_EXIT, ORPHAN_EXIT = 3, 4
NICENESS = 5  # so that the API goes first: it needs little, and a health check may not wait for a whole study


class PatientWaitsError(Exception):
    """A map is put back, because a study came."""


class Worker:
    """Does one job after the other.

    Args:
        core: the queue and the storage.
        heartbeat: keeps the job at work.
        pipeline: answers studies; None when no ensemble could be loaded, and every study fails safe.
    """

    def __init__(self, core: Core, heartbeat: Heartbeat, *, pipeline: TriagePipeline | None) -> None:
        self._core = core
        self._heartbeat = heartbeat
        self._pipeline = pipeline

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; the job at work is finished."""
        while not stop.is_set():
            try:
                worked = self.work_once()
            except Exception as error:  # the database may be away for a while; the lease runs out by itself
                logger.error("job failed", error=describe_error(error))
                worked = False
            if not worked:
                stop.wait(IDLE_SECONDS)

    def work_once(self) -> bool:
        """Do the next job; False when nothing waits."""
        job = self._core.queue.claim(self._heartbeat.worker_id, utc_now(), LEASE_SECONDS)
        if job is None:
            return False
        with self._heartbeat.holding(job):
            step("worker.claimed")
            store = self._triage(job) if job.kind is JobKind.TRIAGE else self._explain(job)
            stored = self._heartbeat.settle(lambda: store(now=utc_now()))
        logger.info("job stored" if stored else "job late or lost", job=job.id, kind=job.kind)
        return True

    def _triage(self, job: ClaimedJob) -> Callable[..., bool]:
        """Answer a study; returns what stores the answer."""
        settle = self._core.queue.settle
        waited = {"wait": (utc_now() - job.received).total_seconds()}
        pipeline = self._pipeline
        if pipeline is None or pipeline.ensemble.sha256 != job.model_sha256:
            reason = Reason.ENSEMBLE_INVALID if pipeline is None else Reason.MODEL_DIFFERS
            return partial(settle, job, self._core.queue.failed(job, reason), seconds=waited)
        at_point = replace(pipeline, operating_point=pipeline.operating_points.named(job.operating_point))
        sent = study_in(self._core.storage.input_of(job.id))
        outcome = at_point.examine(job.id, partial(_read, sent), complete=True, accepted_for=job.model_sha256)
        image_sha256 = "" if outcome.image is None else self._keep_image(job, outcome.image)
        return partial(
            settle, job, outcome.answer, image_sha256=image_sha256, seconds=waited | outcome.seconds,
            identity=identity_of(sent),
        )  # fmt: skip

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

    def _explain(self, job: ClaimedJob) -> Callable[..., bool]:
        """Make a map; returns what closes its job, or puts it back behind a study."""
        if self._pipeline is None or self._pipeline.ensemble.sha256 != job.model_sha256:
            return partial(self._core.queue.finish, job, Reason.MODEL_DIFFERS)
        try:
            self._make_map(job)
        except PatientWaitsError:
            return partial(self._core.queue.put_back, job)
        except Exception as error:
            logger.error("map failed", job=job.id, error=describe_error(error))
            return partial(self._core.queue.finish, job, Reason.INTERNAL_ERROR)
        return partial(self._core.queue.finish, job, None)

    def _make_map(self, job: ClaimedJob) -> None:
        assert self._pipeline is not None
        assert job.explains is not None
        with np.load(self._core.storage.image_of(job.explains)) as kept:
            image = torch.from_numpy(kept["image"])
        made = occlusion_map(self._pipeline.ensemble, image, between=self._let_patients_pass)
        write_arrays(self._core.storage.occlusion_of(job.explains), {"t2": made.t2, "diffusion": made.diffusion})

    def _let_patients_pass(self) -> None:
        if self._core.queue.studies_wait():
            raise PatientWaitsError


def _read(sent: Path) -> Study:
    """The study that was sent.

    Raises:
        StudyRefusedError: as `read_study`, or it bears no name that an answer could refer to.
    """
    refuse_nameless(sent)
    return read_study(sent)


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write arrays so that `path` holds all of them or is not there."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def serve_jobs(worker_id: str, settings: ServiceSettings, model: DeployedModel, stop: threading.Event) -> None:
    """Register, load, warm up and work; an ensemble that can't be used makes every study fail safe."""
    core = open_core(settings, model)
    core.workers.register(worker_id, os.getpid(), utc_now())
    heartbeat = Heartbeat(worker_id, core, lost=_end_lost)
    with heartbeat.beating():
        pipeline = _load(settings)
        if pipeline is None or pipeline.ensemble.sha256 != model.identity.sha256:
            fault = Reason.ENSEMBLE_INVALID if pipeline is None else Reason.MODEL_DIFFERS
            core.workers.become(worker_id, WorkerState.FAULT, now=utc_now(), fault=fault)
        else:
            core.workers.become(worker_id, WorkerState.READY, now=utc_now(), backend=pipeline.ensemble.backend)
        Worker(core, heartbeat, pipeline=pipeline).run(stop)
    core.workers.remove(worker_id)
    core.database.close()


def _load(settings: ServiceSettings) -> TriagePipeline | None:
    """The ensemble, verified, with its golden logits computed on this machine; None when it can't be used."""
    try:
        ensemble = load_ensemble(
            settings.ensemble, expect_sha256=settings.expect_sha256, device=settings.device, backend=settings.backend
        )
        logger.info("ensemble loaded", backend=ensemble.backend, reason=ensemble.backend_note)
        return TriagePipeline.at(ensemble, settings.operating_point)
    except Exception as error:
        logger.error("ensemble not loaded", error=describe_error(error))
        return None


def _end_lost() -> NoReturn:
    logger.error("job lost and process ended", pid=os.getpid())
    os._exit(LOST_EXIT)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(ORPHAN_EXIT)


def main() -> None:
    """Read the settings from standard input and work."""
    os.umask(0o077)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
