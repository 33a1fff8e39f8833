"""Jobs in the database: claimed under a lease, settled once behind a fence, answered in time in any case."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from prostate_alm.errors import Reason
from prostate_alm.report.disclosure import DisclosurePolicy, disclose, still_shown
from prostate_alm.report.triage import Evidence, TriageAnswer, decide
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.database import Database
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.fault_injection import step
from prostate_alm.service.records import ClaimedJob, Identity, JobRecord, claimed, identity_of, record
from prostate_alm.service.supersession import last_of, tell_identity
from prostate_alm.service.tables import Answer, IdentityRow, Job, JobKind, JobState, Reception

MOST_ATTEMPTS = 2


class JobQueue:
    """All that happens to a job after it was accepted. Times come as arguments; they are in UTC.

    A claim gives a worker the job until its lease ends, and raises the job's fence. Who comes back with an older
    fence is refused, so a worker that was taken for dead can't overwrite anything.

    Args:
        database: where the jobs are.
        model: whose name fail-safe answers bear.
        policy: what is shown of an answer.
    """

    def __init__(self, database: Database, *, model: DeployedModel, policy: DisclosurePolicy) -> None:
        self._database = database
        self._model = model
        self._policy = policy

    def claim(self, worker: str, now: datetime, lease_seconds: float) -> ClaimedJob | None:
        """Take the next job: studies before maps, then the oldest; None when nothing waits."""
        if not self._is_claimable(now):  # an idle worker asks often, and reading takes no lock
            return None
        with self._database.writing() as session:
            job = session.scalars(
                select(Job)
                .where(_claimable(now))
                .order_by(Job.kind != JobKind.TRIAGE, Job.received, Job.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if job is None:
                return None
            job.state, job.worker = JobState.RUNNING, worker
            job.lease_until = now + timedelta(seconds=lease_seconds)
            job.fence += 1
            job.attempts += 1
            return claimed(job)

    def renew(self, job: ClaimedJob, now: datetime, lease_seconds: float) -> bool:
        """Keep the job; False when it is no longer this worker's."""
        with self._database.writing() as session:
            lease_until = now + timedelta(seconds=lease_seconds)
            return _changed(session, _held(job), lease_until=lease_until)

    def settle(
        self,
        job: ClaimedJob,
        recorded: TriageAnswer,
        now: datetime,
        *,
        image_sha256: str = "",
        seconds: dict[str, float] | None = None,
        identity: Identity | None = None,
    ) -> bool:
        """Store a study's answer; False, and nothing is stored, when the job is lost, late or answered.

        Args:
            job: as it was claimed.
            recorded: what was decided.
            now: the time.
            image_sha256: of what the model saw; empty when it saw nothing.
            seconds: how long each stage took.
            identity: whose study it is, where the worker found it.
        """
        with self._database.writing() as session:
            held = and_(_held(job), Job.deadline > now)
            if not _changed(session, held, state=JobState.DONE, lease_until=None):
                return False
            known = session.get(IdentityRow, job.id)
            whose = identity if known is None else identity_of(known)
            if whose is not None:
                tell_identity(session, session.get_one(Job, job.id), whose)
            self.add_answer(
                session, job.id, recorded, now=now, actor="worker", image_sha256=image_sha256, seconds=seconds
            )
            session.flush()
            step("worker.settling")
        step("worker.settled")
        return True

    def finish(self, job: ClaimedJob, fault: Reason | None, now: datetime) -> bool:
        """Close an occlusion job whose file lies there, or could not be made."""
        with self._database.writing() as session:
            held = and_(_held(job), Job.deadline > now)
            return _changed(session, held, state=JobState.DONE, lease_until=None, fault=fault)

    def put_back(self, job: ClaimedJob, now: datetime) -> bool:
        """Let a job wait again, as if it had not been taken."""
        with self._database.writing() as session:
            held = and_(_held(job), Job.deadline > now)
            return _changed(session, held, state=JobState.QUEUED, lease_until=None, attempts=Job.attempts - 1)

    def studies_wait(self) -> bool:
        """Whether a patient waits."""
        return self._exists(and_(Job.state == JobState.QUEUED, Job.kind == JobKind.TRIAGE))

    def expire(self, now: datetime) -> list[str]:
        """Answer what is late (TIMEOUT) or was lost too often (WORKER_LOST); returns the ids."""
        if not self._exists(or_(_late(now), _lost(now))):
            return []
        with self._database.writing() as session:
            rows = select(Job).where(or_(_late(now), _lost(now))).with_for_update(skip_locked=True)
            jobs = list(session.scalars(rows))
            for job in jobs:
                self._give_up(session, job, Reason.TIMEOUT if job.deadline <= now else Reason.WORKER_LOST, now)
            return [job.id for job in jobs]

    def find(self, job_id: str) -> JobRecord | None:
        """The job of this id."""
        return next(iter(self._records(Job.id == job_id, 1)), None)

    def newest(self, limit: int) -> list[JobRecord]:
        """The newest studies first."""
        return self._records(Job.kind == JobKind.TRIAGE, limit)

    def occlusion_of(self, study: str) -> JobRecord | None:
        """The newest occlusion job of a study."""
        return next(iter(self._records(and_(Job.kind == JobKind.OCCLUSION, Job.explains == study), 1)), None)

    def successor_of(self, study: str) -> str | None:
        """The job whose answer counts in place of this one's."""
        with self._database.reading() as session:
            last = last_of(session, study)
        return None if last == study else last

    def settled_among(self, job_ids: Iterable[str]) -> set[str]:
        """Which of these jobs are done."""
        with self._database.reading() as session:
            return set(session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.state == JobState.DONE)))

    def waiting(self) -> tuple[int, datetime | None]:
        """How many jobs wait, and since when the oldest does."""
        with self._database.reading() as session:
            found = select(func.count(), func.min(Job.received)).where(Job.state == JobState.QUEUED)
            number, oldest = session.execute(found).one()
            return number, oldest

    def failed(self, job: Job | ClaimedJob, reason: Reason) -> TriageAnswer:
        """The fail-safe answer of a job that was not scored; it names the ensemble only if it is the job's."""
        same = job.model_sha256 == self._model.identity.sha256
        points = {point.name: point for point in self._model.operating_points.points} if same else {}
        return decide(
            job.id,
            Evidence(failures=(reason,)),
            operating_point=points.get(job.operating_point),
            model=self._model.identity if same else None,
        )

    def add_answer(
        self,
        session: Session,
        job_id: str,
        recorded: TriageAnswer,
        *,
        now: datetime,
        actor: str = "service",
        image_sha256: str = "",
        seconds: dict[str, float] | None = None,
    ) -> None:
        """Add the answer, what is shown of it, and the audit entry to a transaction."""
        disclosed = disclose(recorded, self._policy, content=image_sha256)
        shown = disclosed.shown
        session.add(
            Answer(
                job_id=job_id,
                answered_at=now,
                shown=shown.model_dump(mode="json"),
                recorded=recorded.model_dump(mode="json"),
                silent=disclosed.silent,
                audited=disclosed.audited,
                seconds=seconds or {},
            )
        )
        detail = {
            "recommendation": recorded.recommendation,
            "reasons": [reason.value for reason in recorded.reasons],
            "silent": disclosed.silent,
            "audited": disclosed.audited,
        }
        audit.record(
            session,
            event=AuditEvent.ANSWERED,
            actor=actor,
            job_id=job_id,
            outcome=recorded.basis,
            now=now,
            detail=detail,
        )

    def _give_up(self, session: Session, job: Job, reason: Reason, now: datetime) -> None:
        job.state, job.lease_until = JobState.DONE, None
        job.fence += 1
        if job.kind == JobKind.TRIAGE:
            recorded = self.failed(job, reason)
            self.add_answer(session, job.id, recorded, now=now)
        else:
            job.fault = reason

    def _records(self, condition: ColumnElement[bool], limit: int) -> list[JobRecord]:
        rows = (
            select(Job, Answer, IdentityRow, _superseded())
            .outerjoin(Answer, Answer.job_id == Job.id)
            .outerjoin(IdentityRow, IdentityRow.job_id == Job.id)
            .where(condition)
            .order_by(Job.received.desc(), Job.id)
            .limit(limit)
        )
        with self._database.reading() as session:
            found = session.execute(rows)
            return [self._as_it_holds(record(job, answer, who), more_came) for job, answer, who, more_came in found]

    def _as_it_holds(self, job: JobRecord, superseded: bool) -> JobRecord:
        """The record with what of its answer still holds."""
        if job.shown is None:
            return job
        model = self._model
        deployed = (job.model_sha256, job.operating_point) == (model.identity.sha256, model.operating_point.name)
        shown = still_shown(job.shown, superseded=superseded, deployed=deployed, policy=self._policy)
        return replace(job, shown=shown)

    def _is_claimable(self, now: datetime) -> bool:
        return self._exists(_claimable(now))

    def _exists(self, condition: ColumnElement[bool]) -> bool:
        with self._database.reading() as session:
            return session.scalar(select(Job.id).where(condition).limit(1)) is not None


def _superseded() -> ColumnElement[bool]:
    """Whether more of the study became a job, or is arriving and will."""
    arriving = exists().where(Reception.job_id == Job.id, Reception.state == "OPEN")
    return or_(Job.superseded_by.is_not(None), arriving).label("superseded")


def _claimable(now: datetime) -> ColumnElement[bool]:
    """In time, and free: never taken, or taken by a worker that is gone and not yet tried twice."""
    abandoned = and_(Job.state == JobState.RUNNING, Job.lease_until <= now, Job.attempts < MOST_ATTEMPTS)
    return and_(Job.deadline > now, or_(Job.state == JobState.QUEUED, abandoned))


def _late(now: datetime) -> ColumnElement[bool]:
    return and_(Job.state != JobState.DONE, Job.deadline <= now)


def _lost(now: datetime) -> ColumnElement[bool]:
    return and_(Job.state == JobState.RUNNING, Job.lease_until <= now, Job.attempts >= MOST_ATTEMPTS)


def _held(job: ClaimedJob) -> ColumnElement[bool]:
    return and_(Job.id == job.id, Job.fence == job.fence, Job.state == JobState.RUNNING)


def _changed(session: Session, condition: ColumnElement[bool], **values: object) -> bool:
    """Change the one row that meets the condition; False when none does."""
    result = session.execute(update(Job).where(condition).values(**values).returning(Job.id))
    return result.first() is not None
