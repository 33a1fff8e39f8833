"""Pixel data and identities go after their time; jobs, answers and the audit stay."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from prostate_alm.errors import Reason
from prostate_alm.service.records import Identity
from prostate_alm.service.retention import Retention
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import Audit, IdempotencyKey, IdentityRow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDENTITY = Identity("CANARY^NAME", "1", "2", "1.2.3", "20260101")


def hours(number):
    return NOON + timedelta(hours=number)


@pytest.fixture
def retention(core):
    return Retention(core.database, core.storage, hours=24)


@pytest.fixture
def answered(core, send):
    """An answered study with everything that can be kept of it."""
    job_id = send("old", identity=IDENTITY, idempotency_key="k")
    job = core.queue.claim("worker", NOON, 10)
    core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), NOON)
    return job_id


def test_what_is_old_goes_and_the_record_stays(core, send, retention, answered):
    young = send("young", now=hours(10), identity=IDENTITY)
    assert retention.sweep(hours(23.9)) == []
    assert retention.sweep(hours(24)) == [answered]
    assert list(core.storage.kept()) == [young]
    found = core.queue.find(answered)
    assert (found.identity, found.pixels, found.shown.reasons) == (None, False, (Reason.T2_MISSING,))
    assert core.queue.find(young).identity == IDENTITY
    with core.database.reading() as session:
        assert [row.job_id for row in session.scalars(select(IdentityRow))] == [young]
        assert session.scalars(select(IdempotencyKey)).all() == []
        events = [row.event for row in session.scalars(select(Audit).where(Audit.job_id == answered))]
    assert events == ["ACCEPTED", "ANSWERED", "PIXELS_DELETED"]
    assert retention.sweep(hours(25)) == []


def test_what_has_no_answer_yet_is_kept(core, send, retention):
    waiting = send("waiting")
    assert retention.sweep(hours(100)) == []
    assert list(core.storage.kept()) == [waiting]
    core.queue.expire(hours(100))
    assert retention.sweep(hours(100)) == [waiting]


def test_files_that_an_interrupted_sweep_left_go_in_the_next(core, retention, answered):
    retention.sweep(hours(24))
    core.storage.folder_of(answered).mkdir()
    retention.sweep(hours(25))
    assert list(core.storage.kept()) == []


def test_a_study_sent_again_after_its_time_is_answered_again(core, send, retention, answered):
    assert send("old") == answered
    retention.sweep(hours(24))
    assert send("old", now=hours(25)) != answered


def test_folders_that_no_job_knows_go_at_start(core, send, retention):
    known = send("known")
    core.storage.folder_of("a" * 32).mkdir()
    (core.storage.root / "studies" / "kept.txt").write_text("not ours")
    retention.sweep(NOON)
    assert sorted(core.storage.kept()) == sorted([known, "a" * 32])
    retention.clear_strays()
    assert list(core.storage.kept()) == [known]
    assert (core.storage.root / "studies" / "kept.txt").exists()


def test_nothing_of_the_patient_stays_in_the_databases_files(open_service, parcels, send):
    core = open_service(ServiceSettings(ensemble=parcels["never"]))
    send("old", identity=IDENTITY, failure=Reason.STUDY_INCOMPLETE, through=core)

    def files():
        return b"".join(path.read_bytes() for path in core.storage.root.glob("triage.db*"))

    assert b"CANARY^NAME" in files()
    Retention(core.database, core.storage, hours=24).sweep(hours(24))
    assert b"CANARY^NAME" not in files()
