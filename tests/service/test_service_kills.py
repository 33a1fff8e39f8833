"""What `benchmarks/service_kills.py` holds against a service after its kills: it sees every kind of fault."""

import importlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from prostate_alm.errors import Reason
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.tables import IdempotencyKey, Job

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def kills(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("service_kills")


@pytest.fixture
def core(parcels, open_service):
    return open_service(ServiceSettings(ensemble=parcels["never"]))


@pytest.fixture
def settle(core):
    """Answer the next job by its logits, or by a reason."""

    def settle_next(make):
        job = core.queue.claim("worker", NOON, 10)
        assert core.queue.settle(job, make(job), NOON)

    return settle_next


@pytest.fixture
def right(answer_factory):
    """The right answer of one patient, as a client gets it."""
    return [answer_factory().model_dump(mode="json")]


@pytest.fixture
def two(core, send, settle, answer_factory, kills):
    """Two studies of that patient, both answered rightly."""
    sent = [kills.Sent(0, send(f"study {number}", idempotency_key=f"{number}")) for number in range(2)]
    for _ in sent:
        settle(lambda job: answer_factory(id=job.id))
    return sent


def test_what_went_well_has_no_fault(kills, core, two, right):
    assert kills.faults(core.database, two, right) == []
    assert kills.outcomes(core.database) == {"MODEL": 2}


def test_an_answer_with_other_logits_is_wrong(kills, core, two, right, answer_factory):
    other = answer_factory(member_logits=(-2.0, -1.0, -3.00001)).model_dump(mode="json")
    assert kills.faults(core.database, two, [other]) == ["other logits"] * 2
    other = right[0] | {"recommendation": "DCE_RECOMMENDED"}
    assert kills.faults(core.database, two, [other]) == ["another recommendation"] * 2


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(Reason.WORKER_LOST, []), (Reason.TIMEOUT, []), (Reason.T2_MISSING, ["fail-safe: T2_MISSING"])],
)
def test_only_what_kills_explain_may_fail_safe(*, kills, core, two, right, send, settle, reason, expected):
    sent = [*two, kills.Sent(0, send("study 3"))]
    settle(lambda job: core.queue.failed(job, reason))
    assert kills.faults(core.database, sent, right) == expected


def test_a_study_that_is_gone_or_was_never_sent_is_a_fault(kills, core, two, right):
    gone = kills.Sent(0, "0" * 32)
    assert kills.faults(core.database, [*two, gone], right) == ["an acknowledged study without a job"]
    assert kills.faults(core.database, [*two, two[0]], right) == ["two studies with one job"]
    assert kills.faults(core.database, two[:1], right) == ["1 jobs that nobody asked for"]


def test_a_job_that_did_not_end_is_a_fault(kills, core, two, right, send):
    found = kills.faults(core.database, [*two, kills.Sent(0, send("study 3"))], right)
    assert found == ["0 rows of ANSWERED", "a job that did not end: QUEUED", "a job without an answer"]


def test_a_row_of_the_audit_too_many_is_a_fault(kills, core, two, right):
    with core.database.writing() as session:
        audit.record(
            session, event=AuditEvent.ANSWERED, actor="w", job_id=two[0].job_id, outcome="MODEL", now=NOON, detail={}
        )  # fmt: skip
    assert kills.faults(core.database, two, right) == ["2 rows of ANSWERED"]


def test_two_jobs_of_one_study_are_a_fault_unless_the_first_said_nothing(*, kills, core, two, right, send, settle):
    first = send("study 3")
    settle(lambda job: core.queue.failed(job, Reason.WORKER_LOST))
    second = send("study 3", now=NOON + timedelta(seconds=1))
    assert second != first
    settle(lambda job: core.queue.failed(job, Reason.WORKER_LOST))
    assert kills.faults(core.database, [*two, kills.Sent(0, second)], right) == []
    with core.database.writing() as session:
        session.execute(delete(IdempotencyKey))
        same = session.get_one(Job, two[0].job_id).content_sha256
        session.execute(update(Job).where(Job.id == two[1].job_id).values(content_sha256=same))
    assert "two jobs for one study" in kills.faults(core.database, [*two, kills.Sent(0, second)], right)
