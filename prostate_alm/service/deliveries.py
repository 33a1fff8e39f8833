"""Results go to the PACS: each answer's SR by STOW-RS to every PACS with `store_sr`, tried until it is taken.

A document has one UID for ever, and before it is sent again the PACS is asked whether it is there already. What a PACS
does or fails to do never changes an answer.
"""

import secrets
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx2
import structlog
from sqlalchemy import Select, select

from prostate_alm.errors import ProstateALMError, Reason
from prostate_alm.report.structured_report import report_uid
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.core import Core
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.instances import PART_TYPE, is_uid
from prostate_alm.service.pacs_client import PacsError, connection, pacs_error
from prostate_alm.service.problems import ProblemCode
from prostate_alm.service.records import JobRecord
from prostate_alm.service.settings import Pacs
from prostate_alm.service.stow import FAILED
from prostate_alm.service.structured_reports import NoReportError, report_content
from prostate_alm.service.tables import Answer, Delivery, Job, JobKind

logger = structlog.get_logger()

PENDING, DELIVERED, ABANDONED = "PENDING", "DELIVERED", "ABANDONED"
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0


class SupersededError(ProstateALMError):
    """An answer is not sent any more, since a later one of its study is."""


class Deliveries:
    """Sends what is due.

    Args:
        core: the service's parts.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._pacs = {pacs.name: pacs for pacs in core.settings.pacs if pacs.store_sr}

    def deliver_due(self, now: datetime) -> None:
        """Note what new answers have to go where, and try what is due."""
        if not self._pacs:
            return
        self._note_new(now)
        silent: set[str] = set()
        for job_id, destination in self._due(now):
            if destination not in silent and not self._try(job_id, self._pacs[destination], now):
                silent.add(destination)  # one that is away delays the others once a round, not once a document

    def _note_new(self, now: datetime) -> None:
        """A row for each answer whose images are still kept, and each PACS."""
        with self._core.database.reading() as session:
            wanted = [(job, name) for name in self._pacs for job in session.scalars(_unnoted(name))]
        if wanted:
            with self._core.database.writing() as session:
                session.add_all(
                    Delivery(job_id=job, destination=name, state=PENDING, attempts=0, next_at=now)
                    for job, name in wanted
                )

    def _due(self, now: datetime) -> Iterator[tuple[str, str]]:
        due = (
            select(Delivery.job_id, Delivery.destination)
            .where(Delivery.state == PENDING, Delivery.next_at <= now, Delivery.destination.in_(self._pacs))
            .order_by(Delivery.next_at)
        )
        with self._core.database.reading() as session:
            rows = list(session.execute(due))
        return ((job_id, destination) for job_id, destination in rows)

    def _try(self, job_id: str, pacs: Pacs, now: datetime) -> bool:
        """Send one document; returns False where it has to be tried again."""
        with self._core.database.reading() as session:
            attempts = session.get_one(Delivery, (job_id, pacs.name)).attempts
        state, fault = DELIVERED, None
        try:
            self._send(job_id, pacs, again=attempts > 0)
        except NoReportError as error:
            state, fault = ABANDONED, error.code
        except SupersededError:
            state, fault = ABANDONED, Reason.SUPERSEDED
        except PacsError as error:
            state, fault = PENDING, error.code
        except Exception as error:  # whatever is wrong with one document or answer must hold up no other
            logger.error("a document could not be sent", job=job_id, pacs=pacs.name, error=describe_error(error))
            state, fault = PENDING, ProblemCode.INTERNAL_ERROR
        self._settle(job_id, pacs, now, state=state, fault=fault)
        return state != PENDING

    def _send(self, job_id: str, pacs: Pacs, *, again: bool) -> None:
        record = self._core.queue.find(job_id)
        assert record is not None
        if self._core.queue.successor_of(job_id) is not None:
            raise SupersededError("more of the study came; the later answer is sent.")
        send_report(record, report_content(record, self._core.storage), pacs, again=again)

    def _settle(
        self, job_id: str, pacs: Pacs, now: datetime, *, state: str, fault: ProblemCode | Reason | None
    ) -> None:
        with self._core.database.writing() as session:
            row = session.get_one(Delivery, (job_id, pacs.name))
            row.state, row.fault, row.attempts = state, fault, row.attempts + 1
            row.next_at = now + timedelta(seconds=pause_seconds(row.attempts))
            if state == PENDING and row.attempts > 1:
                return  # the first failure is told, and how it ended
            event = AuditEvent.SR_SENT if state == DELIVERED else AuditEvent.SR_FAILED
            detail = {"destination": pacs.name, "attempts": row.attempts}
            audit.record(
                session, event=event, actor="service", job_id=job_id, outcome=fault or "OK", now=now, detail=detail
            )


def pause_seconds(attempts: int) -> float:
    """How long to wait after so many failures.

    >>> [pause_seconds(attempts) for attempts in (1, 2, 3, 20)]
    [5.0, 10.0, 20.0, 600.0]
    """
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 30))


def _unnoted(destination: str) -> Select[str]:
    """Answered studies from a scanner or a PACS that have no row for a destination yet.

    What was uploaded is not sent: whoever may submit could write into any patient's file.
    """
    noted = select(Delivery.job_id).where(Delivery.destination == destination)
    return (
        select(Job.id)
        .join(Answer, Answer.job_id == Job.id)
        .where(Job.kind == JobKind.TRIAGE, Job.source != "upload", Job.pixels, Job.id.not_in(noted))
        .order_by(Answer.answered_at)
    )


def send_report(record: JobRecord, content: bytes, pacs: Pacs, *, again: bool) -> None:
    """Store a document at a PACS.

    Args:
        record: the answer; its identity tells the study.
        content: the document.
        pacs: where to.
        again: whether it was tried before, so that it may be there.

    Raises:
        PacsError: it was not taken; it may be tried again.
    """
    try:
        with httpx2.Client(**connection(pacs)) as client:
            if not (again and _is_there(client, record)):
                _store(client, pacs, content)
    except httpx2.HTTPError as error:
        raise pacs_error(pacs, error) from None


def _is_there(client: httpx2.Client, record: JobRecord) -> bool:
    """Whether the PACS has the document of an answer; False where it does not say."""
    assert record.shown is not None
    study = f"/studies/{record.identity.study_uid}" if record.identity and is_uid(record.identity.study_uid) else ""
    response = client.get(
        f"{study}/instances",
        params={"SOPInstanceUID": report_uid(record.shown)},
        headers={"Accept": "application/dicom+json"},
    )
    try:
        return response.status_code == HTTPStatus.OK and bool(response.json())
    except (ValueError, RecursionError):
        return False


def _store(client: httpx2.Client, pacs: Pacs, content: bytes) -> None:
    boundary = secrets.token_hex(16)
    body = f"--{boundary}\r\nContent-Type: {PART_TYPE}\r\n\r\n".encode() + content + f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f'multipart/related; type="{PART_TYPE}"; boundary={boundary}',
        "Accept": "application/dicom+json",
    }
    response = client.post("/studies", content=body, headers=headers)
    if response.status_code not in {HTTPStatus.OK, HTTPStatus.ACCEPTED} or not _says_stored(response):
        raise PacsError(
            ProblemCode.PACS_FAILED,
            f"the PACS `{pacs.name}` did not take the document (status {response.status_code}); see its log.",
        )


def _says_stored(response: httpx2.Response) -> bool:
    """Whether the response names no failed instance; one that can't be read is believed by its status."""
    try:
        said = response.json()
    except (ValueError, RecursionError):
        return True
    failed = said.get(FAILED) if isinstance(said, dict) else None
    return not (isinstance(failed, dict) and failed.get("Value"))
