"""The FastAPI app: routes and what they answer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, File, Form, Path, Query, Request, Response, UploadFile
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from prostate_alm import __version__
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.inference.ensemble import Ensemble
from prostate_alm.report.triage import Basis, ModelIdentity, Recommendation, TriageAnswer
from prostate_alm.service.authentication import BearerToken
from prostate_alm.service.pipeline import TriagePipeline
from prostate_alm.service.problems import Problem, ProblemCode, ProblemError, add_problem_handlers
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.store import Job, JobStatus
from prostate_alm.service.triage_service import TriageService
from prostate_alm.service.upload_limit import UploadLimit
from prostate_alm.service.uploads import Upload
from prostate_alm.service.worker import QueueFullError

LONGEST_WAIT_SECONDS = 300.0
RETRY_AFTER_SECONDS = 10


class StudySummary(BaseModel):
    """A study in the list, or one that has no answer yet."""

    id: str
    status: JobStatus
    received: datetime
    recommendation: Recommendation | None = Field(description="null until it is done")
    basis: Basis | None


class ModelDescription(BaseModel):
    """Which ensemble answers, and at which operating point."""

    model: ModelIdentity
    operating_point: OperatingPoint = Field(description="the one this service applies")
    operating_points: list[OperatingPoint] = Field(description="all that the ensemble carries")
    intended_use: str = "Research use only"


class Readiness(BaseModel):
    """Whether a study sent now would be scored."""

    ready: bool
    faults: list[str]


def _service(request: Request) -> TriageService:
    service = request.app.state.service
    assert isinstance(service, TriageService)
    return service


Service = Annotated[TriageService, Depends(_service)]
Part = Annotated[UploadFile | None, File()]
Wait = Annotated[float, Query(ge=0, le=LONGEST_WAIT_SECONDS, description="seconds to wait for the answer")]
StudyId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": TriageAnswer, "description": "The answer, fail-safe ones included"},
    202: {"model": StudySummary, "description": "No answer yet; ask again, and treat as DCE recommended until then"},
}

studies = APIRouter(prefix="/v1", tags=["triage"])
health = APIRouter(prefix="/healthz", tags=["health"])


@studies.post(
    "/studies",
    responses={**ANSWERS, **{status: {"model": Problem} for status in (401, 413, 422, 429)}},
    summary="Does this patient need DCE?",
)
async def post_study(
    service: Service,
    *,
    file: Part = None,
    t2: Part = None,
    dwi: Part = None,
    adc: Part = None,
    b_values: Annotated[str | None, Form(max_length=1000, description='of `dwi`, such as "50,400,800"')] = None,
    wait: Wait = 0.0,
) -> Response:
    """Send one patient's study: `file`, a DICOM zip, or the NIfTI files `t2`, `dwi` with `b_values`, and `adc`.

    Whatever is wrong with the study itself is an answer, `DCE_RECOMMENDED` with the basis `FAILSAFE`.
    """
    upload = Upload(file=file, t2=t2, dwi=dwi, adc=adc, b_values=b_values)
    _check_parts(upload)
    try:
        job = await run_in_threadpool(service.accept, upload)
    except QueueFullError:
        raise ProblemError(
            HTTPStatus.TOO_MANY_REQUESTS,
            ProblemCode.QUEUE_FULL,
            detail="too many studies wait; send this one again later and treat the patient as DCE recommended",
            headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
        ) from None
    await job.wait(wait)
    return _answer(job)


@studies.get("/studies/{study_id}", responses={**ANSWERS, 401: {"model": Problem}, 404: {"model": Problem}})
async def get_study(service: Service, study_id: StudyId, *, wait: Wait = 0.0) -> Response:
    """Ask for the answer of a study sent before."""
    job = service.store.get(study_id)
    if job is None:
        raise ProblemError(
            HTTPStatus.NOT_FOUND,
            ProblemCode.NOT_FOUND,
            detail="no study of this id is known; the service forgets old answers and restarts empty",
        )
    await job.wait(wait)
    return _answer(job)


@studies.get("/studies", responses={401: {"model": Problem}})
async def list_studies(service: Service, *, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[StudySummary]:
    """List the studies, newest first."""
    return [_summary(job) for job in service.store.newest(limit)]


@studies.get("/model", responses={401: {"model": Problem}})
async def get_model(service: Service) -> ModelDescription:
    """Say which ensemble answers, and with which evidence."""
    pipeline = service.pipeline
    return ModelDescription(
        model=pipeline.model,
        operating_point=pipeline.operating_point,
        operating_points=pipeline.operating_points.points,
    )


@health.get("/live")
async def live() -> dict[str, str]:
    """Answer as long as the process does."""
    return {"status": "alive"}


@health.get("/ready", responses={503: {"model": Readiness}})
async def ready(service: Service) -> Response:
    """Answer 200 when a study sent now would be scored, 503 with the faults otherwise."""
    faults = service.faults()
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return JSONResponse(Readiness(ready=not faults, faults=faults).model_dump(), status)


def create_app(ensemble: Ensemble, settings: ServiceSettings) -> FastAPI:
    """Make the service for one loaded ensemble.

    Raises:
        EnsembleError: the ensemble's operating points are malformed.
        ArgumentError: it has none of the name in `settings`; the message lists the names.
    """
    service = TriageService(TriagePipeline.at(ensemble, settings.operating_point), settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        with service.running():
            yield

    app = FastAPI(
        title="Prostate ALM triage",
        version=__version__,
        summary="Which prostate MRI patients do not need the contrast sequence. Research use only.",
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(studies)
    app.include_router(health)
    add_problem_handlers(app)
    app.add_middleware(UploadLimit, max_bytes=settings.max_upload_bytes)
    if settings.token is not None:
        app.add_middleware(BearerToken, token=settings.token)
    return app


def _check_parts(upload: Upload) -> None:
    """Refuse a request that is no study at all."""
    if upload.file is None and not upload.nifti:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            ProblemCode.NO_FILE,
            detail="send a DICOM zip as `file`, or NIfTI files as `t2` and `dwi` with `b_values`",
        )
    if upload.file is not None and upload.nifti:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            ProblemCode.TWO_KINDS_OF_FILES,
            detail="`file` came together with NIfTI parts; send one of the two",
        )


def _summary(job: Job) -> StudySummary:
    answer = job.answer
    return StudySummary(
        id=job.id,
        status=job.status,
        received=job.received,
        recommendation=None if answer is None else answer.recommendation,
        basis=None if answer is None else answer.basis,
    )


def _answer(job: Job) -> Response:
    """200 with the answer, or 202 without one."""
    answer = job.answer
    body = _summary(job) if answer is None else answer
    return Response(
        body.model_dump_json(),
        HTTPStatus.ACCEPTED if answer is None else HTTPStatus.OK,
        {"Location": f"/v1/studies/{job.id}", "Cache-Control": "no-store"},
        media_type="application/json",
    )
