"""Deletes pixel data and identities after their time; jobs, answers and the audit stay."""

from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.database import Database
from prostate_alm.service.storage import Storage
from prostate_alm.service.tables import IdempotencyKey, IdentityRow, Job, JobState


class Retention:
    """Deletes what is older than it may be.

    Args:
        database: rows are marked first, so that nobody reads files that are going.
        storage: whose files go.
        hours: from the reception of a study.
    """

    def __init__(self, database: Database, storage: Storage, *, hours: float) -> None:
        self._database = database
        self._storage = storage
        self._kept = timedelta(hours=hours)

    def sweep(self, now: datetime) -> list[str]:
        """Delete what is old, and files that an interrupted sweep left; returns the ids of the studies."""
        with self._database.writing() as session:
            old = select(Job.id).where(Job.state == JobState.DONE, Job.pixels, Job.received <= now - self._kept)
            job_ids = list(session.scalars(old))
            session.execute(update(Job).where(Job.id.in_(job_ids)).values(pixels=False))
            for table in (IdentityRow, IdempotencyKey):
                session.execute(delete(table).where(table.job_id.in_(job_ids)))
            for job_id in job_ids:
                audit.record(
                    session, event=AuditEvent.PIXELS_DELETED, actor="service", job_id=job_id, outcome="OK", now=now
                )
        for job_id in self._without_row(pixels=False):
            self._storage.discard(job_id)
        if job_ids:
            self._database.forget_deleted()
        return job_ids

    def clear_strays(self) -> None:
        """Delete folders that no job knows; only before studies are taken, since a new one's row comes last."""
        kept = set(self._storage.kept())
        with self._database.reading() as session:
            known = set(session.scalars(select(Job.id).where(Job.id.in_(kept))))
        for job_id in kept - known:
            self._storage.discard(job_id)

    def _without_row(self, *, pixels: bool) -> set[str]:
        with self._database.reading() as session:
            return set(
                session.scalars(select(Job.id).where(Job.id.in_(set(self._storage.kept())), Job.pixels == pixels))
            )
