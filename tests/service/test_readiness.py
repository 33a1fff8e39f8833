"""Ready means that a study sent now would be scored; nothing is believed that is old."""

from datetime import UTC, datetime, timedelta

import pytest

from prostate_alm.service.readiness import STALE, Fault, Readiness
from prostate_alm.service.tables import WorkerState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


@pytest.fixture
def ready_core(core_factory):
    """A service with a worker that beat at noon."""
    core = core_factory(free_disk_bytes=0)
    core.workers.register("one", 1, NOON)
    core.workers.become("one", WorkerState.READY, now=NOON)
    return core


def faults(core, seconds=1.0):
    readiness = Readiness(core)
    readiness.check(after(seconds))
    return readiness.faults(after(seconds))


def test_a_worker_that_beats_makes_it_ready_and_silence_ends_it(ready_core):
    assert faults(ready_core) == []
    assert faults(ready_core, 60) == [Fault.WORKER_SILENT]
    ready_core.workers.beat("one", after(60))
    assert faults(ready_core, 61) == []


def test_what_was_never_looked_at_or_long_ago_is_not_ready(ready_core):
    readiness = Readiness(ready_core)
    assert readiness.faults(NOON) == [Fault.NOT_CHECKED]
    readiness.check(NOON)
    assert readiness.faults(NOON + STALE) == []
    assert readiness.faults(NOON + 1.01 * STALE) == [Fault.NOT_CHECKED]


@pytest.mark.parametrize(
    ("state", "said", "fault"),
    [
        (WorkerState.STARTING, None, Fault.WORKER_STARTING),
        (WorkerState.FAULT, "ENSEMBLE_INVALID", Fault.ENSEMBLE_INVALID),
        (WorkerState.FAULT, "something new", Fault.ENSEMBLE_INVALID),
    ],
)
def test_a_worker_that_can_not_score_is_a_fault(ready_core, state, said, fault):
    ready_core.workers.become("one", state, now=NOON, fault=said)
    assert faults(ready_core) == [fault]


def test_no_worker_is_a_fault(ready_core):
    ready_core.workers.remove("one")
    assert faults(ready_core) == [Fault.WORKER_ABSENT]


def test_a_full_disk_and_a_lost_folder_are_faults(core_factory, ready_core):
    full = core_factory(free_disk_bytes=2**62)
    assert Fault.STORAGE_LOW in faults(full)
    ready_core.storage.clear_incoming()
    (ready_core.storage.root / "incoming").rmdir()
    assert faults(ready_core) == [Fault.STORAGE_UNWRITABLE]


def test_a_database_that_can_not_be_written_is_a_fault(ready_core):
    with ready_core.database.engine.begin() as connection:
        connection.exec_driver_sql("drop table workers")
    assert faults(ready_core) == [Fault.DATABASE_UNREACHABLE]
