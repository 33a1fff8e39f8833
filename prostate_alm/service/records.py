"""What the database says of a job, as plain values."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from pydantic import ValidationError

from prostate_alm.errors import Reason
from prostate_alm.report.triage import Evidence, TriageAnswer, decide
from prostate_alm.service.tables import Answer, IdentityRow, Job, JobKind, JobState

logger = structlog.get_logger()


@dataclass(frozen=True)
class Identity:
    """Whose study it is; kept as long as the pixel data, shown on the page and written into the SR.

    Attributes:
        patient_name: as DICOM writes it.
        patient_id: of the hospital.
        accession_number: of the order.
        study_uid: StudyInstanceUID.
        study_date: YYYYMMDD.
    """

    patient_name: str = field(repr=False)
    patient_id: str = field(repr=False)
    accession_number: str = field(repr=False)
    study_uid: str = field(repr=False)
    study_date: str = field(repr=False)


@dataclass(frozen=True)
class ClaimedJob:
    """A job in one worker's hands, as long as its lease is renewed.

    Attributes:
        id: of the job.
        kind: what is to be done.
        fence: what the job's fence must still be when the result is stored.
        received: when it was accepted.
        deadline: when it is answered with `Reason.TIMEOUT`.
        content_sha256: of what was sent.
        model_sha256: of the ensemble that was deployed when it was accepted.
        operating_point: name of the one to apply.
        explains: of an occlusion map, the study's job.
    """

    id: str
    kind: JobKind
    fence: int
    received: datetime
    deadline: datetime
    content_sha256: str
    model_sha256: str
    operating_point: str
    explains: str | None


@dataclass(frozen=True)
class JobRecord:
    """A job as readers see it.

    Attributes:
        id: random; names the job, its answer and its folder.
        kind: what was asked for.
        source: upload, stow or pull.
        state: where it stands.
        received: when it was accepted.
        content_sha256: of what was sent.
        model_sha256: of the ensemble that it was accepted for.
        operating_point: name of the one it was accepted for.
        answered_at: when the answer was stored.
        shown: the answer that everybody gets now; what was shown at first stays in the database.
        recorded: the answer that was decided; differs where it is hidden (silent mode, audits).
        silent: whether it is hidden because the service runs silently.
        audited: whether "not needed" is shown as recommended by the draw of audits.
        seconds: how long each stage took.
        identity: whose study it is, while it is kept.
        pixels: whether its files are still there.
        fault: why an occlusion map could not be made.
        explains: of an occlusion map, the study's job.
        supersedes: the job whose study this one completes.
    """

    id: str
    kind: JobKind
    source: str
    state: JobState
    received: datetime
    content_sha256: str
    model_sha256: str
    operating_point: str
    answered_at: datetime | None
    shown: TriageAnswer | None
    recorded: TriageAnswer | None
    silent: bool
    audited: bool
    seconds: dict[str, float]
    identity: Identity | None
    pixels: bool
    fault: str | None
    explains: str | None
    supersedes: str | None


def claimed(job: Job) -> ClaimedJob:
    """What a worker needs of a row."""
    return ClaimedJob(
        job.id, JobKind(job.kind), job.fence, job.received, job.deadline, job.content_sha256, job.model_sha256,
        job.operating_point, job.explains,
    )  # fmt: skip


def record(job: Job, answer: Answer | None, identity: IdentityRow | None) -> JobRecord:
    """What readers get of a row and what hangs on it."""
    return JobRecord(
        id=job.id,
        kind=JobKind(job.kind),
        source=job.source,
        state=JobState(job.state),
        received=job.received,
        content_sha256=job.content_sha256,
        model_sha256=job.model_sha256,
        operating_point=job.operating_point,
        answered_at=None if answer is None else answer.answered_at,
        shown=None if answer is None else _read(job.id, answer.shown),
        recorded=None if answer is None else _read(job.id, answer.recorded),
        silent=answer is not None and answer.silent,
        audited=answer is not None and answer.audited,
        seconds={} if answer is None else dict(answer.seconds),
        identity=None if identity is None else identity_of(identity),
        pixels=job.pixels,
        fault=job.fault,
        explains=job.explains,
        supersedes=job.supersedes,
    )


def _read(job_id: str, stored: dict[str, Any]) -> TriageAnswer:
    """An answer of the database; one of another release that can't be understood any more fails safe."""
    try:
        return TriageAnswer.model_validate(stored)
    except ValidationError:
        logger.error("answer not understood", job=job_id)
        return decide(job_id, Evidence(failures=(Reason.INTERNAL_ERROR,)), operating_point=None, model=None)


def identity_of(row: IdentityRow) -> Identity:
    """The values of a row."""
    return Identity(row.patient_name, row.patient_id, row.accession_number, row.study_uid, row.study_date)


def identity_row(job_id: str, identity: Identity) -> IdentityRow:
    """The row of these values."""
    return IdentityRow(
        job_id=job_id, patient_name=identity.patient_name, patient_id=identity.patient_id,
        accession_number=identity.accession_number, study_uid=identity.study_uid, study_date=identity.study_date,
    )  # fmt: skip
