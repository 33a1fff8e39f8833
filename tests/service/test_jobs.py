"""A job is claimed under a lease, answered once, and answered in time, whatever becomes of its workers."""

import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DatabaseError

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Basis, Evidence, Recommendation, decide
from prostate_alm.service.tables import Answer, Audit, Job, JobKind, JobState, Reception

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE = 10.0


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def take(core, at=0.0, worker="one"):
    return core.queue.claim(worker, after(at), LEASE)


@pytest.fixture
def answered(answer_factory):
    """The model's answer for a claimed job: not needed."""

    def make(job):
        return answer_factory(id=job.id)

    return make


def rows(core, table):
    with core.database.reading() as session:
        return session.scalars(select(table)).all()


def test_jobs_are_taken_in_their_order_and_studies_before_maps(core, send, answered):
    first = send("first")
    core.queue.settle(job := take(core), answered(job), after(1))
    wanted = core.intake.explain(first, token="test", now=after(1))
    second, third = send("second", now=after(2)), send("third", now=after(3))
    assert [take(core, 4).id for _ in range(3)] == [second, third, wanted]
    assert take(core, 4) is None


def test_a_claimed_job_is_nobody_elses_until_its_lease_ends(core, send, core_factory):
    send()
    other = core_factory()
    job = take(core)
    assert take(other, LEASE - 1, "two") is None
    assert core.queue.renew(job, after(LEASE - 1), LEASE)
    assert take(other, LEASE + 1, "two") is None
    again = take(other, 2 * LEASE, "two")
    assert (again.id, again.fence) == (job.id, job.fence + 1)


def test_an_answer_is_stored_whole(core, send, answered):
    job_id = send()
    job = take(core)
    recorded = answered(job)
    assert core.queue.settle(job, recorded, after(2), seconds={"read": 0.5})
    found = core.queue.find(job_id)
    assert (found.state, found.answered_at, found.shown, found.recorded) == (
        JobState.DONE,
        after(2),
        recorded,
        recorded,
    )
    assert found.seconds == {"read": 0.5}
    assert [entry.event for entry in rows(core, Audit)] == ["ACCEPTED", "ANSWERED"]


def test_who_lost_the_job_can_not_answer_it(core, send, answered):
    send()
    slow = take(core)
    quick = take(core, LEASE, "two")
    assert not core.queue.renew(slow, after(LEASE + 1), LEASE)
    assert not core.queue.settle(slow, answered(slow), after(LEASE + 1))
    assert rows(core, Answer) == []
    assert core.queue.settle(quick, answered(quick), after(LEASE + 2))
    assert not core.queue.settle(quick, answered(quick), after(LEASE + 3))
    assert len(rows(core, Answer)) == 1


@pytest.mark.parametrize("claimed", [False, True])
def test_a_late_job_is_answered_fail_safe_and_stays_so(core, send, answered, *, claimed):
    job_id = send()
    job = take(core) if claimed else None
    assert core.queue.expire(after(119.9)) == []
    assert core.queue.expire(after(120)) == [job_id]
    assert core.queue.expire(after(121)) == []
    if job is not None:
        assert not core.queue.settle(job, answered(job), after(119.9))  # the clock was quicker
    assert take(core, 121) is None
    shown = core.queue.find(job_id).shown
    assert (shown.recommendation, shown.basis, shown.reasons) == (
        Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE, (Reason.TIMEOUT,),
    )  # fmt: skip
    assert shown.model == core.model.identity


def test_a_late_answer_is_refused_even_before_the_clock_looks(core, send, answered):
    job_id = send()
    job = take(core)
    assert not core.queue.settle(job, answered(job), after(120))
    core.queue.expire(after(120))
    assert core.queue.find(job_id).shown.reasons == (Reason.TIMEOUT,)


def test_a_job_that_kills_its_workers_is_given_up(core, send):
    job_id = send()
    assert take(core)
    assert core.queue.expire(after(LEASE)) == []
    assert take(core, LEASE, "two")
    assert take(core, 2 * LEASE, "three") is None
    assert core.queue.expire(after(2 * LEASE)) == [job_id]
    shown = core.queue.find(job_id).shown
    assert (shown.recommendation, shown.reasons) == (Recommendation.DCE_RECOMMENDED, (Reason.WORKER_LOST,))


def test_a_map_that_is_late_is_closed_without_an_answer(core, send, answered):
    study = send()
    core.queue.settle(job := take(core), answered(job), after(1))
    wanted = core.intake.explain(study, token="test", now=after(1))
    assert take(core, 2).kind is JobKind.OCCLUSION
    core.queue.expire(after(121))
    found = core.queue.find(wanted)
    assert (found.state, found.fault, found.shown) == (JobState.DONE, "TIMEOUT", None)
    assert core.queue.occlusion_of(study).id == wanted
    assert len(rows(core, Answer)) == 1


@pytest.mark.parametrize("change", ["update answers set silent = true", "delete from answers"])
def test_an_answer_can_not_be_changed(core, send, answered, change):
    send()
    core.queue.settle(job := take(core), answered(job), after(1))
    with pytest.raises(DatabaseError, match="insert-only"), core.database.writing() as session:
        session.execute(text(change))


@pytest.mark.parametrize(
    ("settings", "reason", "silent", "audited"),
    [({"silent": True}, "SILENT_MODE", True, False), ({"audit_share": 1.0}, "RANDOM_AUDIT", False, True)],
)
def test_a_hidden_answer_is_kept_as_it_was_decided(core_factory, send, answered, *, settings, reason, silent, audited):
    hiding = core_factory(**settings)
    job_id = send(through=hiding)
    job = take(hiding)
    assert hiding.queue.settle(job, answered(job), after(1), image_sha256="0" * 64)
    found = hiding.queue.find(job_id)
    assert found.recorded == answered(job)
    assert (found.shown.recommendation, found.shown.reasons) == (Recommendation.DCE_RECOMMENDED, (reason,))
    assert (found.silent, found.audited) == (silent, audited)
    assert found.shown.logit is None


def test_an_answer_with_every_reason_is_stored(core, send):
    job_id = send()
    job = take(core)
    evidence = Evidence(failures=tuple(Reason), complete=True, accepted_for=job.model_sha256)
    point, model = core.model.operating_point, core.model.identity
    assert core.queue.settle(job, decide(job.id, evidence, operating_point=point, model=model), after(1))
    assert set(core.queue.find(job_id).shown.reasons) >= set(Reason)


@pytest.fixture
def not_needed(core, send, answered):
    """A study that was answered "not needed"."""
    job_id = send()
    job = take(core)
    assert core.queue.settle(job, answered(job), after(1))
    assert core.queue.find(job_id).shown.recommendation is Recommendation.DCE_NOT_NEEDED
    return job_id


def counts_no_more(core, job_id, reason):
    """Nobody reads "not needed" or a score any more; the record stays."""
    for found in (core.queue.find(job_id), next(job for job in core.queue.newest(9) if job.id == job_id)):
        assert (found.shown.recommendation, found.shown.basis, found.shown.reasons, found.shown.logit) == (
            Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE, (reason,), None,
        )  # fmt: skip
        assert found.recorded.recommendation is Recommendation.DCE_NOT_NEEDED


def test_an_answer_counts_no_more_once_more_of_its_study_came(core, send, not_needed):
    send("a whole study", supersedes=not_needed)
    counts_no_more(core, not_needed, Reason.SUPERSEDED)


def test_an_answer_counts_no_more_while_more_of_its_study_arrives(core, not_needed):
    row = Reception(
        id="1" * 32, study="2" * 64, token="test", opened=NOON, last_received=NOON, state="OPEN", job_id=not_needed
    )
    with core.database.writing() as session:
        session.add(row)
    counts_no_more(core, not_needed, Reason.SUPERSEDED)
    with core.database.writing() as session:
        session.get_one(Reception, row.id).state = "CLOSED"
    assert core.queue.find(not_needed).shown.recommendation is Recommendation.DCE_NOT_NEEDED


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"silent": True}, Reason.SILENT_MODE),
        ({"operating_point": "1-fn"}, Reason.MODEL_DIFFERS),
        ({"parcel": "always"}, Reason.MODEL_DIFFERS),
    ],
)
def test_an_answer_counts_no_more_when_the_service_is_changed(core_factory, not_needed, *, settings, reason):
    """Whoever stops a model after a miss stops what it said before, too."""
    counts_no_more(core_factory(**settings), not_needed, reason)


def test_an_answer_of_another_release_fails_safe_and_hides_no_other(core, send):
    job_id, other = send(), send("another", now=after(1))
    with core.database.writing() as session:
        foreign = {"id": job_id, "recommendation": "DCE_NOT_NEEDED", "reasons": ["A_CODE_OF_ANOTHER_RELEASE"]}
        values = {"silent": False, "audited": False, "seconds": {}}
        session.add(Answer(job_id=job_id, answered_at=NOON, shown=foreign, recorded=foreign, **values))
    assert [job.id for job in core.queue.newest(9)] == [other, job_id]
    shown = core.queue.find(job_id).shown
    assert (shown.recommendation, shown.reasons) == (Recommendation.DCE_RECOMMENDED, (Reason.INTERNAL_ERROR,))


def test_the_newest_studies_come_first(core, send):
    sent = [send(f"study {number}", now=after(number)) for number in range(4)]
    assert [job.id for job in core.queue.newest(3)] == sent[:0:-1]
    assert core.queue.waiting() == (4, NOON)
    assert core.queue.find("0" * 32) is None
    assert core.queue.settled_among(sent) == set()


def test_many_workers_take_each_job_once(core, send, core_factory):
    sent = {send(f"study {number}") for number in range(12)}
    taken, faults = [], []

    def work(name):
        try:
            mine = core_factory()
            while (job := take(mine, worker=name)) is not None:
                taken.append(job.id)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(f"worker {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert sorted(taken) == sorted(sent)


@pytest.mark.parametrize("seed", range(5))
def test_whatever_workers_do_each_job_ends_once(core, send, answered, seed):
    """A seeded play of workers that claim, renew, answer, fall silent and come back, until the deadline is over."""
    draw = random.Random(seed)
    sent = [send(f"study {number}", now=after(draw.uniform(0, 30))) for number in range(6)]
    held, stored, at = [], [], 30.0
    while at < 160:
        at += draw.uniform(0, 8)
        move = draw.choice(["claim", "claim", "renew", "settle", "expire"])
        if move == "claim":
            held += [job] if (job := take(core, at, f"worker {draw.random()}")) else []
        elif move == "expire":
            stored += core.queue.expire(after(at))
        elif held:
            job = held.pop(draw.randrange(len(held)))
            if move == "renew" and core.queue.renew(job, after(at), LEASE):
                held.append(job)
            elif move == "settle" and core.queue.settle(job, answered(job), after(at)):
                stored.append(job.id)
    stored += core.queue.expire(after(200))
    assert sorted(stored) == sorted(sent)
    assert sorted(answer.job_id for answer in rows(core, Answer)) == sorted(sent)
    assert {job.state for job in rows(core, Job)} == {JobState.DONE}
