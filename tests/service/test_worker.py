"""The worker stores what the model said of each study, keeps what it saw, and never answers what is not its own."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from prostate_alm.errors import Reason
from prostate_alm.readers import read_study
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.report.triage import Recommendation
from prostate_alm.service.clock import utc_now
from prostate_alm.service.heartbeat import Heartbeat
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import JobState
from prostate_alm.service.worker import Worker


@pytest.fixture
def core(parcels, open_service):
    return open_service(ServiceSettings(ensemble=parcels["never"]))


@pytest.fixture
def send_study(core, study_factory):
    """Send a patient's NIfTI files; returns the job's id."""

    def accept(seed=0):
        folder = core.storage.new_incoming()
        write_nifti_study(study_factory(seed), folder)
        given = {"source": "upload", "token": "test", "content_sha256": hashlib.sha256(bytes([seed])).hexdigest()}
        return core.intake.accept(folder, now=utc_now(), **given)

    return accept


@pytest.fixture
def pipeline(loaded):
    return TriagePipeline.at(loaded["never"], "0-fn")


@pytest.fixture
def worker(core, pipeline):
    return Worker(core, Heartbeat("a", core, lost=lambda: None), pipeline=pipeline)


def test_it_stores_the_models_answer_and_what_the_model_saw(core, send_study, worker, pipeline, study_factory):
    job_id = send_study()
    assert worker.work_once()
    assert not worker.work_once()
    found = core.queue.find(job_id)
    prepared = pipeline.ensemble.prepare(read_study(core.storage.input_of(job_id)))
    assert found.shown.recommendation is Recommendation.DCE_NOT_NEEDED
    assert found.shown.member_logits == pipeline.ensemble.score_prepared(prepared).member_logits
    assert list(found.seconds) == ["wait", "read", "prepare", "infer", "decide"]
    with np.load(core.storage.image_of(job_id)) as kept:
        assert np.array_equal(kept["image"], prepared.image.numpy())
        assert (kept["channels"].tolist(), float(kept["high_b"])) == (["t2", "dwi", "adc"], 800.0)
        assert kept["spacing_mm"].tolist() == [2.0, 2.0, 6.0]


def test_without_an_ensemble_every_study_fails_safe_at_once(core, send_study):
    job_id = send_study()
    assert Worker(core, Heartbeat("a", core, lost=lambda: None), pipeline=None).work_once()
    shown = core.queue.find(job_id).shown
    assert (shown.recommendation, shown.reasons) == (Recommendation.DCE_RECOMMENDED, (Reason.ENSEMBLE_INVALID,))


def test_a_study_accepted_for_another_ensemble_fails_safe(core, send_study, loaded):
    job_id = send_study()
    other = TriagePipeline.at(loaded["always"], "0-fn")
    assert Worker(core, Heartbeat("a", core, lost=lambda: None), pipeline=other).work_once()
    assert core.queue.find(job_id).shown.reasons == (Reason.MODEL_DIFFERS,)


def test_the_operating_point_is_the_one_it_was_accepted_for(core, send_study, worker, pipeline):
    job_id = send_study()
    worker._pipeline = replace(pipeline, operating_point=pipeline.operating_points.named("1-fn"))
    assert worker.work_once()
    assert core.queue.find(job_id).shown.operating_point.name == "0-fn"


def test_whose_study_it_is_is_found_in_its_files(core, worker, marked_folders, zip_files):
    folder = core.storage.new_incoming()
    zip_files(folder / "study", marked_folders[:1])
    job_id = core.intake.accept(folder, source="upload", token="test", content_sha256="1" * 64, now=utc_now())
    assert worker.work_once()
    identity = core.queue.find(job_id).identity
    assert (identity.patient_name, identity.patient_id) == ("CANARY^0", "CANARY0")


def test_a_map_is_made_of_what_the_model_saw(core, send_study, worker):
    job_id = send_study()
    worker.work_once()
    wanted = core.intake.explain(job_id, token="test", now=utc_now())
    assert worker.work_once()
    assert (core.queue.find(wanted).state, core.queue.find(wanted).fault) == (JobState.DONE, None)
    with np.load(core.storage.occlusion_of(job_id)) as made, np.load(core.storage.image_of(job_id)) as seen:
        assert made["t2"].shape == made["diffusion"].shape == seen["image"].shape[1:]


def test_a_map_gives_way_to_a_patient(core, send_study, worker, monkeypatch):
    job_id = send_study(0)
    worker.work_once()
    wanted = core.intake.explain(job_id, token="test", now=utc_now())
    claim = core.queue.claim

    def claim_and_a_patient_comes(*arguments):
        job = claim(*arguments)
        send_study(1)
        return job

    monkeypatch.setattr(core.queue, "claim", claim_and_a_patient_comes)
    worker.work_once()
    monkeypatch.undo()
    assert core.queue.find(wanted).state is JobState.QUEUED
    worker.work_once()
    assert core.queue.newest(1)[0].state is JobState.DONE
    worker.work_once()
    assert (core.queue.find(wanted).state, core.queue.find(wanted).fault) == (JobState.DONE, None)


def test_a_map_without_an_image_is_closed_with_a_fault(core, send_study, worker):
    job_id = send_study()
    worker.work_once()
    core.storage.image_of(job_id).unlink()
    wanted = core.intake.explain(job_id, token="test", now=utc_now())
    worker.work_once()
    assert (core.queue.find(wanted).state, core.queue.find(wanted).fault) == (JobState.DONE, "INTERNAL_ERROR")


def test_a_heart_keeps_its_job_and_says_when_it_is_lost(core, send_study):
    send_study()
    lost = []
    heartbeat = Heartbeat("a", core, lost=lambda: lost.append(True))
    core.workers.register("a", 1, utc_now())
    job = core.queue.claim("a", utc_now(), 0.0)
    with heartbeat.holding(job):
        heartbeat.beat()
        assert core.queue.claim("b", utc_now(), 10) is None  # the lease was over and is renewed
        core.queue.expire(job.deadline)
        heartbeat.beat()
        heartbeat.beat()
    assert lost == [True]


def test_a_job_that_was_settled_is_not_lost(core, send_study):
    send_study()
    lost = []
    heartbeat = Heartbeat("a", core, lost=lambda: lost.append(True))
    core.workers.register("a", 1, utc_now())
    job = core.queue.claim("a", utc_now(), 10)
    with heartbeat.holding(job):
        answer = core.queue.failed(job, Reason.T2_MISSING)
        assert heartbeat.settle(lambda: core.queue.settle(job, answer, utc_now()))
        heartbeat.beat()
    assert lost == []
