"""The one door for studies: what was received becomes a job, or the job that it is already."""

import secrets
import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from prostate_alm.errors import ProstateALMError, Reason
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.database import Database
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.fault_injection import step
from prostate_alm.service.jobs import JobQueue
from prostate_alm.service.records import Identity
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.storage import Storage
from prostate_alm.service.supersession import supersede, tell_identity
from prostate_alm.service.tables import Answer, IdempotencyKey, Job, JobKind, JobState

PASSING = frozenset(
    {Reason.TIMEOUT, Reason.INTERNAL_ERROR, Reason.WORKER_LOST, Reason.NOT_STORED, Reason.ENSEMBLE_INVALID}
)
"""Reasons that say nothing of the study: sent again, it is tried again."""


class QueueFullError(ProstateALMError):
    """As many studies wait as may wait."""


class KeyReusedError(ProstateALMError):
    """The client's idempotency key stands for another study."""


class NothingToExplainError(ProstateALMError):
    """The study has no answer yet, or its pixel data are gone."""


class Intake:
    """Takes studies.

    Args:
        database: where the jobs are.
        storage: where the files are.
        queue: makes answers for what can't be scored.
        model: the ensemble that is to answer.
        settings: what the deployment chose.
    """

    def __init__(
        self, database: Database, *, storage: Storage, queue: JobQueue, model: DeployedModel, settings: ServiceSettings
    ) -> None:
        self._database = database
        self._storage = storage
        self._queue = queue
        self._model = model
        self._settings = settings

    def accept(
        self,
        folder: Path,
        *,
        source: str,
        token: str,
        content_sha256: str,
        now: datetime,
        idempotency_key: str | None = None,
        identity: Identity | None = None,
        failure: Reason | None = None,
        supersedes: str | None = None,
    ) -> str:
        """Take over a received folder; afterwards it is a job's input or deleted, whatever happens.

        The same content for the same ensemble and operating point is the same job, unless that one ended in a fault
        that says nothing of the study.

        Args:
            folder: in `incoming`.
            source: upload, stow or pull.
            token: name of the sender.
            content_sha256: of what was received.
            now: the time; the job's deadline counts from it.
            idempotency_key: the client's name for this request.
            identity: whose study it is, where the way it came says so.
            failure: why it can't be scored; it is answered fail-safe at once.
            supersedes: the job whose study this one completes.

        Returns:
            The job's id.

        Raises:
            QueueFullError: too many studies wait.
            KeyReusedError: `idempotency_key` was sent with other content.
            OSError: the database has no room left.
        """
        step("intake.received")
        came = _Received(folder, source, token, content_sha256, now, idempotency_key, identity, failure, supersedes)
        job_id = secrets.token_hex(16)
        try:
            with self._database.writing() as session:
                self._one_at_a_time(session)
                known = self._again(session, came)
                if known is not None:
                    return known
                self._take(session, came, job_id)
                step("intake.inserted")
            step("intake.committed")
            return job_id
        except BaseException:
            self._storage.discard(job_id)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _again(self, session: Session, came: "_Received") -> str | None:
        """The job that this study is already; what asked for it is noted."""
        known = self._known(session, came.content_sha256, came.token, came.idempotency_key)
        if known is not None:
            came.remember(session, known)
            if came.supersedes is not None:
                supersede(session, came.supersedes, known)
        return known

    def _take(self, session: Session, came: "_Received", job_id: str) -> None:
        """Make a new job of what came, with its files."""
        if came.failure is None:
            self._refuse_if_full(session)
        job = self._add(
            session, job_id, came.now, kind=JobKind.TRIAGE, content_sha256=came.content_sha256, source=came.source,
            token=came.token, supersedes=came.supersedes,
        )  # fmt: skip
        came.remember(session, job_id)
        self._tell(session, job, came.identity)
        self._take_files(session, job, came)

    def explain(self, job_id: str, *, token: str, now: datetime) -> str:
        """Ask for the occlusion map of an answered study; one that is pending or made is not asked for again.

        Raises:
            NothingToExplainError: the study is unknown, has no answer yet, or its pixel data are gone.
        """
        with self._database.writing() as session:
            self._one_at_a_time(session)
            study = session.get(Job, job_id)
            if study is None or not self._can_explain(study):
                raise NothingToExplainError(
                    "a map needs a study that this ensemble answered, and whose pixel data are still kept."
                )
            made = select(Job.id).where(Job.explains == job_id, Job.fault.is_(None)).limit(1)
            known = session.scalar(made)
            if known is not None:
                return known
            return self._add(
                session, secrets.token_hex(16), now, kind=JobKind.OCCLUSION, content_sha256=study.content_sha256,
                source=study.source, token=token, explains=job_id,
            ).id  # fmt: skip

    def _can_explain(self, study: Job) -> bool:
        return (
            study.kind == JobKind.TRIAGE
            and study.state == JobState.DONE
            and study.pixels
            and study.model_sha256 == self._model.identity.sha256
        )

    def _one_at_a_time(self, session: Session) -> None:
        """Two requests with the same content must not both find it new; SQLite writes one at a time anyway."""
        if not self._database.is_sqlite:
            session.execute(text("lock table jobs in share row exclusive mode"))

    def _known(self, session: Session, content_sha256: str, token: str, key: str | None) -> str | None:
        """The job that this study is already, with an answer that still counts."""
        row = None if key is None else session.get(IdempotencyKey, (token, key))
        if row is not None and row.content_sha256 != content_sha256:
            raise KeyReusedError("the `Idempotency-Key` was sent with another study; take a new one for each.")
        rows = (
            select(Job.id, Answer.recorded)
            .outerjoin(Answer, Answer.job_id == Job.id)
            .where(
                Job.content_sha256 == content_sha256,
                Job.model_sha256 == self._model.identity.sha256,
                Job.operating_point == self._model.operating_point.name,
                Job.kind == JobKind.TRIAGE,
                Job.pixels,
            )
            .order_by(Job.received.desc())
        )
        for job_id, recorded in session.execute(rows):
            counting = _counting(session, job_id)
            if counting is not None and (recorded is None or PASSING.isdisjoint(recorded["reasons"])):
                return counting
        return None

    def _refuse_if_full(self, session: Session) -> None:
        waiting = session.scalar(select(func.count()).where(Job.state == JobState.QUEUED, Job.kind == JobKind.TRIAGE))
        if (waiting or 0) >= self._settings.queue_size:
            raise QueueFullError("too many studies wait; send this one again later.")

    def _add(self, session: Session, job_id: str, now: datetime, *, kind: JobKind, **values: str | None) -> Job:
        job = Job(
            id=job_id, kind=kind, received=now, deadline=now + timedelta(seconds=self._settings.deadline_seconds),
            state=JobState.QUEUED, fence=0, attempts=0, pixels=kind is JobKind.TRIAGE,
            model_sha256=self._model.identity.sha256, operating_point=self._model.operating_point.name, **values,
        )  # fmt: skip
        session.add(job)
        session.flush()
        return job

    def _tell(self, session: Session, job: Job, identity: Identity | None) -> None:
        """What is written beside a new job."""
        if job.supersedes is not None:
            supersede(session, job.supersedes, job.id)
        if identity is not None:
            tell_identity(session, job, identity)
        detail = {"source": job.source, "content_sha256": job.content_sha256, "supersedes": job.supersedes}
        audit.record(
            session, event=AuditEvent.ACCEPTED, actor=job.token, job_id=job.id, outcome="OK", now=job.received,
            detail=detail,
        )  # fmt: skip

    def _take_files(self, session: Session, job: Job, came: "_Received") -> None:
        """Move the files to the job, for the SR also where it can't be scored; that one is answered at once."""
        failure = came.failure
        try:
            self._storage.adopt(came.folder, job.id)
        except OSError:
            self._storage.discard(job.id)
            job.pixels, failure = False, failure or Reason.NOT_STORED
        step("intake.moved")
        if failure is not None:
            job.state = JobState.DONE
            self._queue.add_answer(session, job.id, self._queue.failed(job, failure), now=came.now)


def _counting(session: Session, job_id: str) -> str | None:
    """The job itself, or the last of those that were made to complete it; None when another of its study counts.

    Then what was sent is the newest again, and is answered anew.
    """
    job = session.get_one(Job, job_id)
    while job.superseded_by is not None:
        later = session.get_one(Job, job.superseded_by)
        if later.supersedes != job.id:
            return None
        job = later
    return job.id


@dataclass(frozen=True)
class _Received:
    """What `Intake.accept` was given."""

    folder: Path
    source: str
    token: str
    content_sha256: str
    now: datetime
    idempotency_key: str | None
    identity: Identity | None
    failure: Reason | None
    supersedes: str | None

    def remember(self, session: Session, job_id: str) -> None:
        """Let a client's key stand for a job; it stood for none, or for one that counts no more."""
        key = self.idempotency_key
        if key is not None:
            session.merge(IdempotencyKey(token=self.token, key=key, content_sha256=self.content_sha256, job_id=job_id))
