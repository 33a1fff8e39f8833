"""The first tables; answers and audit entries can only be added."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

INSERT_ONLY = ("answers", "audit")


def upgrade() -> None:
    """Make all tables."""
    _jobs()
    _answers_and_identities()
    _audit_and_workers()
    _dicomweb()
    for table in INSERT_ONLY:
        _forbid_changes(table)


def _time(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _text(name: str, length: int | None = None, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length), nullable=nullable)


def _job_id(*, primary_key: bool = False, nullable: bool = False) -> sa.Column[str]:
    return sa.Column("job_id", sa.String(32), sa.ForeignKey("jobs.id"), primary_key=primary_key, nullable=nullable)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        _text("kind", 16),
        _text("source", 16),
        _time("received"),
        _time("deadline"),
        _text("content_sha256", 64),
        _text("model_sha256", 64),
        _text("operating_point", 32),
        _text("token", 64),
        _text("state", 16),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("lease_until", nullable=True),
        _text("worker", 32, nullable=True),
        sa.Column("pixels", sa.Boolean, nullable=False),
        _text("fault", 64, nullable=True),
        sa.Column("explains", sa.String(32), sa.ForeignKey("jobs.id"), nullable=True, index=True),
        sa.Column("supersedes", sa.String(32), sa.ForeignKey("jobs.id"), nullable=True),
        sa.Column("superseded_by", sa.String(32), sa.ForeignKey("jobs.id"), nullable=True),
    )
    op.create_index("ix_jobs_received", "jobs", ["received"])
    op.create_index("jobs_by_state", "jobs", ["state", "received"])
    op.create_index("jobs_by_content", "jobs", ["content_sha256"])
    op.create_table(
        "idempotency_keys",
        sa.Column("token", sa.String(64), primary_key=True),
        sa.Column("key", sa.String(255), primary_key=True),
        _text("content_sha256", 64),
        _job_id(),
    )


def _answers_and_identities() -> None:
    op.create_table(
        "answers",
        _job_id(primary_key=True),
        _time("answered_at"),
        sa.Column("shown", sa.JSON, nullable=False),
        sa.Column("recorded", sa.JSON, nullable=False),
        sa.Column("silent", sa.Boolean, nullable=False),
        sa.Column("audited", sa.Boolean, nullable=False),
        sa.Column("seconds", sa.JSON, nullable=False),
    )
    op.create_index("ix_answers_answered_at", "answers", ["answered_at"])
    op.create_table(
        "identities",
        _job_id(primary_key=True),
        _text("patient_name"),
        _text("patient_id"),
        _text("accession_number"),
        _text("study_uid", 64),
        _text("study_date"),
    )
    op.create_index("ix_identities_study_uid", "identities", ["study_uid"])


def _audit_and_workers() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        _time("at"),
        _text("event", 64),
        _text("actor", 64),
        _text("job_id", 32, nullable=True),
        _text("outcome", 64),
        sa.Column("detail", sa.JSON, nullable=False),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_index("ix_audit_job_id", "audit", ["job_id"])
    op.create_table(
        "workers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("pid", sa.Integer, nullable=False),
        _time("started"),
        _time("beat"),
        _text("state", 16),
        _text("fault", 64, nullable=True),
        _text("backend", 64, nullable=True),
    )


def _dicomweb() -> None:
    op.create_table(
        "receptions",
        sa.Column("id", sa.String(32), primary_key=True),
        _text("study", 64),
        _text("token", 64),
        _time("opened"),
        _time("last_received"),
        _text("state", 16),
        sa.Column("images", sa.Integer, nullable=False),
        _text("fault", 64, nullable=True),
        _job_id(nullable=True),
    )
    op.create_index("receptions_by_study", "receptions", ["study", "token"])
    op.create_index("ix_receptions_state", "receptions", ["state"])
    op.create_table(
        "deliveries",
        _job_id(primary_key=True),
        sa.Column("destination", sa.String(32), primary_key=True),
        _text("state", 16),
        sa.Column("attempts", sa.Integer, nullable=False),
        _time("next_at"),
        _text("fault", 64, nullable=True),
    )
    op.create_index("ix_deliveries_state", "deliveries", ["state"])


def _forbid_changes(table: str) -> None:
    """Let the database itself refuse to change or delete a row."""
    if op.get_bind().dialect.name == "sqlite":
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is insert-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_insert_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} is insert-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {table}_no_change BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION {table}_insert_only()"
    )
