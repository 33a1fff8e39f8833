"""SIGKILL at each step: a job ends once, none is lost, none is answered twice or without its row."""

import os
import shutil
import signal
import sqlite3

import pytest
from sqlalchemy import select

from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.readers.nifti import write_nifti_study
from prostate_alm.service import worker as worker_module
from prostate_alm.service.clock import utc_now
from prostate_alm.service.fault_injection import STEPS, VARIABLE, step
from prostate_alm.service.heartbeat import Heartbeat
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.retention import Retention
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import Answer, Audit, JobState
from prostate_alm.service.worker import Worker

CONTENT = "0" * 64


@pytest.fixture(scope="module")
def pipeline(parcels):
    # torch alone: a process that is forked may not use the threads of another runtime
    return TriagePipeline.at(load_ensemble(parcels["never"], backend="torch"), "0-fn")


@pytest.fixture
def open_core(parcels, open_service):
    """The service as a new process sees it."""
    return lambda: open_service(ServiceSettings(ensemble=parcels["never"]))


def received(core, study_factory):
    folder = core.storage.new_incoming()
    write_nifti_study(study_factory(0), folder)
    return folder


def accept(core, folder):
    return core.intake.accept(folder, source="upload", token="test", content_sha256=CONTENT, now=utc_now())


def killed_at(name, act):
    """Run in a process of its own, which dies at the step."""
    child = os.fork()
    if child == 0:
        os.environ[VARIABLE] = name
        try:
            act()
        finally:
            os._exit(99)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), f"it did not come to {name}"
    assert os.WTERMSIG(status) == signal.SIGKILL


def work(core, pipeline):
    return Worker(core, Heartbeat("a", core, lost=lambda: None), pipeline=pipeline).work_once()


def check_answered_once(core, job_id, pipeline):
    with core.database.reading() as session:
        assert session.scalars(select(Answer.job_id)).all() == [job_id]
        events = session.scalars(select(Audit.event).where(Audit.job_id == job_id)).all()
    assert events == ["ACCEPTED", "ANSWERED"]
    found = core.queue.find(job_id)
    assert found.state is JobState.DONE
    assert found.shown.basis == "MODEL"
    assert found.shown.model.sha256 == pipeline.ensemble.sha256


@pytest.mark.parametrize("name", [name for name in STEPS if name.startswith("worker.")])
def test_a_worker_that_dies_is_followed_by_another(open_core, study_factory, pipeline, monkeypatch, tmp_path, *, name):
    core = open_core()
    job_id = accept(core, received(core, study_factory))
    core.database.close()
    monkeypatch.setattr(worker_module, "LEASE_SECONDS", 0.0)  # so that the next need not wait for its end
    killed_at(name, lambda: work(open_core(), pipeline))
    shutil.copytree(core.storage.root, tmp_path / "power cut")
    with sqlite3.connect(tmp_path / "power cut" / "triage.db") as copy:
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        stored = copy.execute("select count(*) from answers").fetchone()[0]
    assert stored == (name == "worker.settled")
    assert core.queue.find(job_id).state is (JobState.DONE if stored else JobState.RUNNING)
    assert work(core, pipeline) is not bool(stored)
    assert not work(core, pipeline)
    check_answered_once(core, job_id, pipeline)


@pytest.mark.parametrize("name", [name for name in STEPS if name.startswith("intake.")])
def test_a_study_that_came_while_the_service_died_is_a_job_or_gone(open_core, study_factory, pipeline, *, name):
    core = open_core()
    folder = received(core, study_factory)
    core.database.close()
    killed_at(name, lambda: accept(open_core(), folder))
    core.storage.clear_incoming()  # as at start
    Retention(core.database, core.storage, hours=24).clear_strays()
    known = [job.id for job in core.queue.newest(10)]
    assert len(known) == (name == "intake.committed")
    assert list(core.storage.kept()) == known
    job_id = accept(core, received(core, study_factory))  # the client, who heard nothing, sends it again
    assert known in ([], [job_id])
    assert work(core, pipeline)
    assert not work(core, pipeline)
    check_answered_once(core, job_id, pipeline)


def test_a_step_kills_once_where_a_file_says_so(monkeypatch, tmp_path):
    marker = tmp_path / "killed"
    killed_at(f"worker.read@{marker}", lambda: step("worker.read"))
    monkeypatch.setenv(VARIABLE, f"worker.read@{marker}")
    step("worker.read")
    monkeypatch.setenv(VARIABLE, "worker.read")
    step("worker.infer")
