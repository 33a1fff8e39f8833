"""`/v1/studies`: send a study, ask for its answer."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from prostate_alm.report.triage import Basis, Recommendation, TriageAnswer
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.problems import ProblemCode, ProblemError, problems
from prostate_alm.service.receiving import receive
from prostate_alm.service.records import JobRecord
from prostate_alm.service.tables import JobKind, JobState
from prostate_alm.service.uploads import STUDY_BODY

LONGEST_WAIT_SECONDS = 300.0


class StudySummary(BaseModel):
    """A study in the list, or one that has no answer yet."""

    id: str
    status: JobState
    received: datetime
    source: str = Field(description="upload, stow or pull")
    recommendation: Recommendation | None = Field(description="null until it is done")
    basis: Basis | None
    supersedes: str | None = Field(description="the study that this one completes")


Wait = Annotated[
    float,
    Query(ge=0, le=LONGEST_WAIT_SECONDS, allow_inf_nan=False, description="seconds to wait for the answer"),
]
StudyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=1, max_length=255, pattern=r"^[\x21-\x7e]+$",
        description="sent again with the same study it gives the same answer; with another study it is refused",
    ),
]  # fmt: skip
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": TriageAnswer, "description": "The answer, fail-safe ones included"},
    202: {"model": StudySummary, "description": "No answer yet; ask again, and treat as DCE recommended until then"},
}

router = APIRouter(prefix="/v1", tags=["triage"])


@router.post(
    "/studies",
    responses={**ANSWERS, **problems(400, 401, 403, 408, 409, 413, 415, 422, 429, 507)},
    openapi_extra=STUDY_BODY,
    summary="Does this patient need DCE?",
)
async def post_study(request: Request, *, wait: Wait = 0.0, idempotency_key: Key = None) -> Response:
    """Send one patient's study: `file`, a DICOM zip, or the NIfTI files `t2`, `dwi` with `b_values`, and `adc`.

    Whatever is wrong with the study itself is an answer, `DCE_RECOMMENDED` with the basis `FAILSAFE`. The same study
    sent again gives the same answer, unless that one was a fault of the service.
    """
    job_id = await receive(request, idempotency_key=idempotency_key)
    return await answer(request, job_id, wait)


@router.get("/studies/{study_id}", responses={**ANSWERS, **problems(401, 403, 404)})
async def get_study(request: Request, study_id: StudyId, *, wait: Wait = 0.0) -> Response:
    """Ask for the answer of a study sent before."""
    reply = await answer(request, study_id, wait)
    if reply.status_code == HTTPStatus.OK:
        await run_in_threadpool(record_read, request, study_id)
    return reply


@router.get("/studies", responses=problems(401, 403))
async def list_studies(request: Request, *, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[StudySummary]:
    """List the studies, newest first."""
    core: Core = request.app.state.core
    return [_summary(job) for job in await run_in_threadpool(core.queue.newest, limit)]


def record_read(request: Request, job_id: str) -> None:
    """Write down who was told an answer."""
    core: Core = request.app.state.core
    with core.database.writing() as session:
        actor = request.state.caller.name
        audit.record(session, event=AuditEvent.READ, actor=actor, job_id=job_id, outcome="OK", now=utc_now())


async def find_study(request: Request, job_id: str) -> JobRecord:
    """The study's job.

    Raises:
        ProblemError: there is none of this id.
    """
    core: Core = request.app.state.core
    job = await run_in_threadpool(core.queue.find, job_id)
    if job is None or job.kind is not JobKind.TRIAGE:
        raise ProblemError(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, detail="no study of this id is known")
    return job


async def answer(request: Request, job_id: str, wait: float) -> Response:
    """200 with the answer, or 202 without one when there is none after `wait` seconds."""
    job = await find_study(request, job_id)
    if job.shown is None and wait > 0:
        await request.app.state.watch.wait(job_id, wait)
        job = await find_study(request, job_id)
    body = _summary(job) if job.shown is None else job.shown
    return Response(
        body.model_dump_json(),
        HTTPStatus.ACCEPTED if job.shown is None else HTTPStatus.OK,
        {"Location": f"/v1/studies/{job.id}", "Cache-Control": "no-store"},
        media_type="application/json",
    )


def _summary(job: JobRecord) -> StudySummary:
    shown = job.shown
    return StudySummary(
        id=job.id,
        status=job.state,
        received=job.received,
        source=job.source,
        recommendation=None if shown is None else shown.recommendation,
        basis=None if shown is None else shown.basis,
        supersedes=job.supersedes,
    )
