"""Which answer of a study counts: the one for what was received last, whatever way it came."""

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from prostate_alm.service.records import Identity, identity_row
from prostate_alm.service.tables import IdentityRow, Job, JobKind


def tell_identity(session: Session, job: Job, identity: Identity) -> None:
    """Write down whose study a job is, and let the newest job of each study supersede the others.

    It reaches as far back as identities are kept.
    """
    if session.get(IdentityRow, job.id) is None:
        session.add(identity_row(job.id, identity))
        session.flush()
    same_study = (
        select(Job.id)
        .join(IdentityRow, IdentityRow.job_id == Job.id)
        .where(IdentityRow.study_uid == identity.study_uid, Job.kind == JobKind.TRIAGE)
        .order_by(Job.received, Job.id)
    )
    job_ids = list(session.scalars(same_study)) if identity.study_uid else [job.id]
    older = update(Job).where(Job.id.in_(job_ids[:-1]), Job.superseded_by.is_(None))
    session.execute(older.values(superseded_by=job_ids[-1]))


def supersede(session: Session, old: str, new: str) -> None:
    """Let a job's answer count no more."""
    if old != new:
        session.execute(update(Job).where(Job.id == old).values(superseded_by=new))


def last_of(session: Session, job_id: str) -> str:
    """The job whose answer counts in place of this one; the job itself when it counts."""
    seen = {job_id}
    while (later := session.scalar(select(Job.superseded_by).where(Job.id == job_id))) not in {None, *seen}:
        assert later is not None
        seen.add(later)
        job_id = later
    return job_id
