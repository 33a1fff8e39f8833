"""The tables. Patient data stands in `identities` and nowhere else."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator


class JobKind(StrEnum):
    """What is to be done."""

    TRIAGE = "TRIAGE"
    OCCLUSION = "OCCLUSION"


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"


class WorkerState(StrEnum):
    """Where a worker process stands."""

    STARTING = "STARTING"
    READY = "READY"
    FAULT = "FAULT"


class UTCTime(TypeDecorator[datetime]):
    """A time in UTC: SQLite knows no zones, so it is written without and read with one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time needs its zone")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give it its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Table(DeclarativeBase):
    """Base of all tables."""

    type_annotation_map = {datetime: UTCTime, dict[str, Any]: JSON}  # noqa: RUF012 - SQLAlchemy's own name


class Job(Table):
    """A study on its way to its answer, or a map that was asked for."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_by_state", "state", "received"), Index("jobs_by_content", "content_sha256"))

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    source: Mapped[str] = mapped_column(String(16))
    received: Mapped[datetime] = mapped_column(index=True)
    deadline: Mapped[datetime]
    content_sha256: Mapped[str] = mapped_column(String(64))
    model_sha256: Mapped[str] = mapped_column(String(64))
    operating_point: Mapped[str] = mapped_column(String(32))
    token: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    fence: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    lease_until: Mapped[datetime | None]
    worker: Mapped[str | None] = mapped_column(String(32))
    pixels: Mapped[bool]
    fault: Mapped[str | None] = mapped_column(String(64))
    explains: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    supersedes: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))
    superseded_by: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))


class Answer(Table):
    """What was decided and what is shown; never changed, never deleted."""

    __tablename__ = "answers"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    answered_at: Mapped[datetime] = mapped_column(index=True)
    shown: Mapped[dict[str, Any]]
    recorded: Mapped[dict[str, Any]]
    silent: Mapped[bool]
    audited: Mapped[bool]
    seconds: Mapped[dict[str, Any]]  # by stage: wait, read, prepare, infer, ...


class IdentityRow(Table):
    """Whose study it is; deleted with the pixel data."""

    __tablename__ = "identities"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    patient_name: Mapped[str]
    patient_id: Mapped[str]
    accession_number: Mapped[str]
    study_uid: Mapped[str] = mapped_column(String(64), index=True)
    study_date: Mapped[str]


class IdempotencyKey(Table):
    """Which job a client's key stands for."""

    __tablename__ = "idempotency_keys"

    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"))


class Audit(Table):
    """Who did what; never changed, never deleted."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(index=True)
    event: Mapped[str] = mapped_column(String(64))
    actor: Mapped[str] = mapped_column(String(64))
    job_id: Mapped[str | None] = mapped_column(String(32), index=True)
    outcome: Mapped[str] = mapped_column(String(64))
    detail: Mapped[dict[str, Any]]


class WorkerRow(Table):
    """A worker process and when it was last heard of."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    pid: Mapped[int]
    started: Mapped[datetime]
    beat: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16))
    fault: Mapped[str | None] = mapped_column(String(64))
    backend: Mapped[str | None] = mapped_column(String(64))


class Reception(Table):
    """A study that comes image by image."""

    __tablename__ = "receptions"
    __table_args__ = (Index("receptions_by_study", "study", "token"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    study: Mapped[str] = mapped_column(String(64))  # SHA-256 of its StudyInstanceUID
    token: Mapped[str] = mapped_column(String(64))
    opened: Mapped[datetime]
    last_received: Mapped[datetime]
    state: Mapped[str] = mapped_column(String(16), index=True)
    images: Mapped[int] = mapped_column(default=0)
    fault: Mapped[str | None] = mapped_column(String(64))
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"))


class Delivery(Table):
    """A result that goes to a PACS."""

    __tablename__ = "deliveries"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    destination: Mapped[str] = mapped_column(String(32), primary_key=True)
    state: Mapped[str] = mapped_column(String(16), index=True)
    attempts: Mapped[int] = mapped_column(default=0)
    next_at: Mapped[datetime]
    fault: Mapped[str | None] = mapped_column(String(64))
