"""`/v1/studies/{id}/sr`: the answer as a DICOM SR."""

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.problems import ProblemError, problems
from prostate_alm.service.routes.studies import StudyId, find_study
from prostate_alm.service.structured_reports import NoReportError, report_content

MEDIA_TYPE = "application/dicom"

router = APIRouter(prefix="/v1", tags=["DICOMweb"])


@router.get(
    "/studies/{study_id}/sr",
    response_class=Response,
    responses={
        200: {
            "description": "The document",
            "content": {MEDIA_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        },
        **problems(401, 403, 404, 409, 410),
    },
)
async def get_sr(request: Request, study_id: StudyId) -> Response:
    """Get the answer as a Comprehensive 3D SR document (TID 1500) of the study, as long as its images are kept."""
    record = await find_study(request, study_id)
    core: Core = request.app.state.core
    try:
        content = await run_in_threadpool(report_content, record, core.storage)
    except NoReportError as error:
        raise ProblemError(error.status, error.code, detail=str(error)) from None
    await run_in_threadpool(_record, core, request.state.caller.name, study_id)
    headers = {"Content-Disposition": f'attachment; filename="{study_id}.dcm"', "Cache-Control": "no-store"}
    return Response(content, headers=headers, media_type=MEDIA_TYPE)


def _record(core: Core, caller: str, study_id: str) -> None:
    with core.database.writing() as session:
        audit.record(session, event=AuditEvent.SR_READ, actor=caller, job_id=study_id, outcome="OK", now=utc_now())
