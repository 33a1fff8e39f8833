"""`/v1/studies/{study_uid}:pull`: fetch a study from a configured PACS and answer."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from prostate_alm.errors import Reason
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.identities import identity_of
from prostate_alm.service.instances import LONGEST_UID, UID, content_sha256
from prostate_alm.service.intake import QueueFullError
from prostate_alm.service.pacs_client import PacsError
from prostate_alm.service.problems import ProblemCode, ProblemError, problems
from prostate_alm.service.receiving import queue_full
from prostate_alm.service.routes.studies import ANSWERS, Wait, answer
from prostate_alm.service.settings import Pacs
from prostate_alm.service.uploads import check_free_disk, disk_problems
from prostate_alm.service.wado import Pulled, pull

STATUS = {
    ProblemCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ProblemCode.PACS_TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ProblemCode.PACS_FAILED: HTTPStatus.BAD_GATEWAY,
}

router = APIRouter(prefix="/v1", tags=["DICOMweb"])
StudyUID = Annotated[
    str,
    Path(pattern=f"^{UID.pattern}$", max_length=LONGEST_UID, description="StudyInstanceUID", examples=["1.2.840.1"]),
]
PacsName = Annotated[str, Query(max_length=32, description="name of a PACS in the settings")]


@router.post(
    "/studies/{study_uid}:pull",
    responses={**ANSWERS, **problems(401, 403, 404, 413, 422, 429, 502, 504, 507)},
)
async def pull_study(request: Request, study_uid: StudyUID, *, pacs: PacsName, wait: Wait = 0.0) -> Response:
    """Fetch the MR images of a study from a PACS that the settings name, and answer as if they had been sent.

    A study of which the PACS sends less than it announced, or that grew within `complete.quiet_seconds`, is answered
    fail-safe.
    """
    core: Core = request.app.state.core
    job_id = await _fetch(core, _named(core, pacs), study_uid, request.state.caller.name)
    return await answer(request, job_id, wait)


def _named(core: Core, name: str) -> Pacs:
    for pacs in core.settings.pacs:
        if pacs.name == name:
            return pacs
    raise ProblemError(
        HTTPStatus.NOT_FOUND, ProblemCode.PACS_UNKNOWN, detail="the settings name no such PACS; ask the operator"
    )


async def _fetch(core: Core, pacs: Pacs, study: str, caller: str) -> str:
    """Fetch a study; returns the id of its job."""
    with disk_problems():
        check_free_disk(core.storage, core.settings.free_disk_bytes)
        async with _folder(core) as images:
            try:
                async with asyncio.timeout(core.settings.upload_seconds):
                    pulled = await pull(
                        pacs, study, images, max_bytes=core.settings.max_upload_bytes,
                        quiet_seconds=core.settings.complete.quiet_seconds,
                    )  # fmt: skip
            except TimeoutError:
                raise _problem(
                    PacsError(ProblemCode.PACS_TIMEOUT, f"the PACS `{pacs.name}` sent the study too slowly.")
                ) from None
            except PacsError as error:
                raise _problem(error) from None
            try:
                return await run_in_threadpool(_accept, core, images, pulled, pacs.name, caller)
            except QueueFullError:
                raise queue_full() from None


def _accept(core: Core, images: FilePath, pulled: Pulled, pacs: str, caller: str) -> str:
    now = utc_now()
    failure = pulled.failure if pulled.images else Reason.INPUT_EMPTY
    job_id = core.intake.accept(
        images.parent,
        source="pull",
        token=caller,
        content_sha256=content_sha256(images, label=failure or "dicom"),
        identity=identity_of(images),
        failure=failure,
        now=now,
    )
    with core.database.writing() as session:
        detail = {"source": pacs, "images": pulled.images}
        audit.record(
            session,
            event=AuditEvent.PULLED,
            actor=caller,
            job_id=job_id,
            outcome=failure or "OK",
            now=now,
            detail=detail,
        )
    return job_id


def _problem(error: PacsError) -> ProblemError:
    detail = f"{str(error).rstrip('.')}; treat the patient as DCE recommended"
    return ProblemError(STATUS[error.code], error.code, detail=detail)


@asynccontextmanager
async def _folder(core: Core) -> AsyncIterator[FilePath]:
    """The folder `dicom` in a fresh one among those that are being received."""
    incoming = await run_in_threadpool(core.storage.new_incoming)
    try:
        images = incoming / "dicom"
        images.mkdir(mode=0o700)
        yield images
    finally:
        await run_in_threadpool(shutil.rmtree, incoming, ignore_errors=True)
