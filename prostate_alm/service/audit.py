"""The audit: who did what, when, with which outcome. Entries are added in the transaction of what they tell of.

The table forbids updates and deletions by triggers. An entry names no patient: details are counts, codes and hashes
under names of a fixed list.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from sqlalchemy.orm import Session

from prostate_alm.errors import ArgumentError
from prostate_alm.service.tables import Audit

DETAILS = frozenset(
    {
        *("attempts", "audited", "basis", "bytes", "content_sha256", "destination", "error", "files", "host", "images"),
        *("instances", "kind", "model_sha256", "operating_point", "port", "reasons", "recommendation", "silent"),
        *("source", "status", "studies", "supersedes", "version"),
    }
)
LONGEST = 200


class AuditEvent(StrEnum):
    """What may be told."""

    SERVICE_STARTED = "SERVICE_STARTED"
    SERVICE_STOPPED = "SERVICE_STOPPED"
    ACCEPTED = "ACCEPTED"
    ANSWERED = "ANSWERED"
    READ = "READ"
    RECEIVED = "RECEIVED"  # a part of a study, by STOW-RS
    PULLED = "PULLED"
    SR_READ = "SR_READ"
    SR_SENT = "SR_SENT"
    SR_FAILED = "SR_FAILED"
    PIXELS_DELETED = "PIXELS_DELETED"
    TOKEN_REFUSED = "TOKEN_REFUSED"  # noqa: S105 - the name of an event
    LOGIN = "LOGIN"
    LOGOUT = "LOGOUT"


Detail = str | int | float | bool | None


def record(
    session: Session,
    *,
    event: AuditEvent,
    actor: str,
    outcome: str,
    now: datetime,
    job_id: str | None = None,
    detail: Mapping[str, Detail | list[str]] | None = None,
) -> None:
    """Add an entry to the transaction of `session`.

    Args:
        session: its transaction also holds what the entry tells of.
        event: what happened.
        actor: name of the token, `worker` or `service`.
        outcome: a code; `OK` where nothing can go wrong.
        now: in UTC.
        job_id: whom it is about.
        detail: under names of `DETAILS`.

    Raises:
        ArgumentError: a detail has another name, or is longer than any code.
    """
    detail = dict(detail or {})
    unknown = sorted(detail.keys() - DETAILS)
    if unknown:
        raise ArgumentError(f"`detail` holds {unknown}, which the audit does not keep; it keeps {sorted(DETAILS)}.")
    values = [item for value in detail.values() for item in (value if isinstance(value, list) else [value])]
    if any(len(str(value)) > LONGEST for value in values):
        raise ArgumentError(f"`detail` holds a value of more than {LONGEST} characters; give codes and counts.")
    session.add(Audit(at=now, event=event.value, actor=actor, job_id=job_id, outcome=str(outcome), detail=detail))
