"""One study is one job, however often it is sent; whatever goes wrong, what was received is a job's or gone."""

import shutil
import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Recommendation
from prostate_alm.service.intake import PASSING, KeyReusedError, NothingToExplainError, QueueFullError
from prostate_alm.service.records import Identity
from prostate_alm.service.tables import Audit, Job, JobState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(seconds=5)


def jobs(core):
    with core.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Job))


def answer(core, recorded):
    job = core.queue.claim("worker", LATER, 10)
    assert core.queue.settle(job, recorded(job), LATER)


def incoming(core):
    return list((core.storage.root / "incoming").iterdir())


def test_what_was_received_becomes_the_jobs_input(core, send):
    job_id = send("a study")
    assert (core.storage.input_of(job_id) / "study").read_text() == "a study"
    assert core.storage.input_of(job_id).stat().st_mode & 0o077 == 0
    assert incoming(core) == []
    found = core.queue.find(job_id)
    assert (found.state, found.source, found.received, found.pixels) == (JobState.QUEUED, "upload", NOON, True)


def test_the_same_study_is_the_same_job(core, send, answer_factory):
    first = send("a study")
    assert send("a study") == first
    answer(core, lambda job: answer_factory(id=job.id))
    assert send("a study", token="another") == first
    assert send("another study") != first
    assert jobs(core) == 2
    assert incoming(core) == []


def test_a_fault_that_says_nothing_of_the_study_is_tried_again(core, send):
    known = [send("a study")]
    for reason in sorted(PASSING):
        answer(core, lambda job, reason=reason: core.queue.failed(job, reason))
        known.append(send("a study", now=LATER))
        assert send("a study", now=LATER) == known[-1]
    assert len(set(known)) == len(PASSING) + 1


def test_a_refusal_of_the_study_itself_holds(core, send):
    first = send("a study")
    answer(core, lambda job: core.queue.failed(job, Reason.T2_MISSING))
    assert send("a study", now=LATER) == first


@pytest.mark.parametrize("changes", [{"parcel": "always"}, {"operating_point": "1-fn"}])
def test_for_another_ensemble_or_threshold_it_is_another_job(core, core_factory, send, changes):
    assert send("a study") != send("a study", through=core_factory(**changes))


def test_a_key_stands_for_one_study_of_one_client(core, send):
    first = send("a study")
    assert send("a study", idempotency_key="k") == first
    with pytest.raises(KeyReusedError):
        send("another study", idempotency_key="k")
    assert incoming(core) == []
    assert send("another study", idempotency_key="k", token="another") != first


def test_a_key_is_not_stuck_with_an_answer_that_counts_no_more(core, core_factory, send):
    first = send("a study", idempotency_key="k")
    answer(core, lambda job: core.queue.failed(job, Reason.TIMEOUT))
    second = send("a study", idempotency_key="k", now=LATER)
    assert second != first
    other = core_factory(parcel="always")
    third = send("a study", idempotency_key="k", through=other, now=LATER)
    assert third not in {first, second}
    assert send("a study", idempotency_key="k", through=other, now=LATER) == third
    with pytest.raises(KeyReusedError):
        send("another study", idempotency_key="k", through=other)


def test_no_more_wait_than_may(core_factory, send):
    small = core_factory(queue_size=2)
    sent = [send(f"study {number}", through=small) for number in range(2)]
    with pytest.raises(QueueFullError):
        send("study 2", through=small)
    assert send("study 1", through=small) == sent[1]
    assert incoming(small) == []
    assert sorted(small.storage.kept()) == sorted(sent)
    small.queue.claim("worker", NOON, 10)
    assert send("study 2", through=small)


def test_the_same_study_sent_at_once_is_one_job(core, core_factory, send):
    number = 20
    cores = [core_factory() for _ in range(2)]
    found, faults = [], []

    def ask(through):
        try:
            found.append(send("a study", through=through))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=ask, args=(cores[n % 2],)) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert (len(found), len(set(found)), jobs(core)) == (number, 1, 1)
    assert incoming(core) == []


def test_a_study_that_can_not_be_scored_is_answered_at_once(core_factory, send):
    full = core_factory(queue_size=1)
    send("another study", through=full)
    job_id = send("a study", through=full, failure=Reason.STUDY_INCOMPLETE)
    found = full.queue.find(job_id)
    assert (found.state, found.shown.reasons) == (JobState.DONE, (Reason.STUDY_INCOMPLETE,))
    assert full.queue.claim("worker", NOON, 10).id != job_id


def test_a_study_that_can_not_be_kept_fails_safe(core, send):
    shutil.rmtree(core.storage.root / "studies")
    (core.storage.root / "studies").write_text("a file in its place")
    found = core.queue.find(send("a study"))
    assert (found.shown.recommendation, found.shown.reasons) == (Recommendation.DCE_RECOMMENDED, (Reason.NOT_STORED,))
    assert not found.pixels
    assert incoming(core) == []


def test_a_database_that_fails_leaves_no_file(core, send, monkeypatch):
    monkeypatch.setattr(core.queue, "_policy", None)  # the transaction fails after the files were moved
    with pytest.raises(AttributeError):
        send("a study", failure=Reason.STUDY_INCOMPLETE)
    assert (incoming(core), list(core.storage.kept()), jobs(core)) == ([], [], 0)


def test_whose_study_it_is_stands_beside_the_job_alone(core, send):
    identity = Identity("CANARY^NAME", "CANARY1", "CANARY2", "1.2.3", "20260101")
    found = core.queue.find(send("a study", identity=identity))
    assert found.identity == identity
    assert "CANARY" not in repr(found)
    with core.database.reading() as session:
        assert "CANARY" not in str([vars(entry) for entry in session.scalars(select(Audit))])


def test_a_completed_study_supersedes_the_earlier_one(core, send):
    first = send("half a study")
    second = send("a whole study", supersedes=first, now=LATER)
    assert core.queue.find(second).supersedes == first
    assert (core.queue.successor_of(first), core.queue.successor_of(second)) == (second, None)
    assert send("half a study", now=LATER) == second


OTHER = Identity("CANARY^NAME", "CANARY1", "CANARY2", "1.2.4", "20260101")


def test_the_newest_of_a_study_counts_whatever_way_it_came(core, send):
    whose = Identity("CANARY^NAME", "CANARY1", "CANARY2", "1.2.3", "20260101")
    first = send("pulled too early", identity=whose, source="pull")
    job = core.queue.claim("worker", NOON, 10)
    core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), NOON)
    other = send("another patient", identity=OTHER)
    second = send("pulled again", identity=whose, source="pull", token="another", now=LATER)
    assert [core.queue.successor_of(job_id) for job_id in (first, other, second)] == [second, None, None]
    third = send("a zip of it", now=LATER + timedelta(seconds=1))
    while (job := core.queue.claim("worker", LATER, 10)).id != third:
        pass
    core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), LATER, identity=whose)  # found in its files
    assert [core.queue.successor_of(job_id) for job_id in (first, second, third)] == [third, third, None]
    assert send("pulled again", now=LATER + timedelta(seconds=2)) not in {first, second, third}


def test_an_earlier_study_that_is_answered_later_does_not_count(core, send):
    whose = Identity("CANARY^NAME", "CANARY1", "CANARY2", "1.2.3", "20260101")
    first, second = send("early"), send("late", now=LATER, identity=whose)
    job = core.queue.claim("worker", LATER, 10)
    assert job.id == first
    core.queue.settle(job, core.queue.failed(job, Reason.T2_MISSING), LATER, identity=whose)
    assert (core.queue.successor_of(first), core.queue.successor_of(second)) == (second, None)


def test_a_map_is_not_made_by_another_ensemble(core, core_factory, send, answer_factory):
    study = send("a study")
    answer(core, lambda job: answer_factory(id=job.id))
    with pytest.raises(NothingToExplainError):
        core_factory(parcel="always").intake.explain(study, token="test", now=LATER)


def test_a_map_is_made_once_for_an_answered_study(core, send, answer_factory):
    study = send("a study")
    with pytest.raises(NothingToExplainError):
        core.intake.explain(study, token="test", now=NOON)
    answer(core, lambda job: answer_factory(id=job.id))
    wanted = core.intake.explain(study, token="test", now=LATER)
    assert core.intake.explain(study, token="another", now=LATER) == wanted
    job = core.queue.claim("worker", LATER, 10)
    assert core.queue.finish(job, Reason.INTERNAL_ERROR, LATER)
    assert core.intake.explain(study, token="test", now=LATER) != wanted
    for unknown in ("0" * 32, wanted):
        with pytest.raises(NothingToExplainError):
            core.intake.explain(unknown, token="test", now=LATER)
