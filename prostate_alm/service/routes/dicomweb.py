"""`/dicomweb/studies`: STOW-RS (PS3.18 §10.5). A PACS or a router sends a study's instances here."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from pathlib import Path as FilePath
from typing import Annotated, Any

import anyio
from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from prostate_alm.readers.archive import Limits
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.instances import LONGEST_UID, PART_TYPE, UID, InstanceParts, Result
from prostate_alm.service.multipart import receive_multipart
from prostate_alm.service.problems import ProblemCode, ProblemError, problems
from prostate_alm.service.receptions import Receptions
from prostate_alm.service.refused_stores import NOTED
from prostate_alm.service.stow import JSON, XML, preferred_type, status_of, store_response, written
from prostate_alm.service.uploads import check_free_disk, disk_problems

router = APIRouter(prefix="/dicomweb", tags=["DICOMweb"])

StudyUID = Annotated[
    str,
    Path(pattern=f"^{UID.pattern}$", max_length=LONGEST_UID, description="StudyInstanceUID", examples=["1.2.840.1"]),
]
_ANSWER = {"content": {media_type: {"schema": {"type": "object"}} for media_type in (JSON, XML)}}
STORE: dict[str, Any] = {
    "responses": {
        200: {"description": "Every instance was taken", **_ANSWER},
        202: {"description": "Some instances were taken; see FailedSOPSequence", **_ANSWER},
        409: {"description": "No instance was taken; see FailedSOPSequence", **_ANSWER},
        **problems(400, 401, 403, 406, 408, 413, 415, 422, 429, 507),
    },
    "response_class": Response,
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
}


@router.post("/studies", **STORE)
async def store(request: Request) -> Response:
    """Take instances of any storage class; the MR images among them are kept until their study is complete.

    The answer is then found in `GET /v1/studies` and on the page, and goes to each PACS with `store_sr`.
    """
    return await _store(request, None)


@router.post("/studies/{study_uid}", **STORE)
async def store_in_study(request: Request, study_uid: StudyUID) -> Response:
    """Take instances of one study; those of another are refused."""
    return await _store(request, study_uid)


async def _store(request: Request, study: str | None) -> Response:
    media_type = preferred_type(request.headers.get("accept", ""))
    if media_type is None:
        raise ProblemError(
            HTTPStatus.NOT_ACCEPTABLE, ProblemCode.NOT_ACCEPTABLE, detail=f"the response is {JSON} or {XML}; accept one"
        )
    _check_type(request)
    results = await _receive(request, study)
    if not results:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, ProblemCode.BODY_INVALID, detail="the body holds no instance; send at least one"
        )
    return Response(written(store_response(results), media_type), status_of(results), media_type=media_type)


def _check_type(request: Request) -> None:
    """Refuse bodies whose parts are metadata and bulk data; only whole instances are taken."""
    _, options = parse_options_header(request.headers.get("content-type", ""))
    if options.get(b"type", PART_TYPE.encode()).lower() != PART_TYPE.encode():
        raise ProblemError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            ProblemCode.MEDIA_TYPE_UNSUPPORTED,
            detail=f'send the instances as multipart/related; type="{PART_TYPE}"',
        )


async def _receive(request: Request, study: str | None) -> list[Result]:
    core: Core = request.app.state.core
    receptions: Receptions = request.app.state.receptions
    with disk_problems():
        check_free_disk(core.storage, core.settings.free_disk_bytes)
        async with _folder(core) as folder:
            inbox = receptions.inbox(request.state.caller.name, utc_now)
            parts, whole = InstanceParts(folder, inbox.take, study=study), False
            try:
                await receive_multipart(
                    request.stream(),
                    request.headers.get("content-type", ""),
                    subtype="related",
                    receiver=parts,
                    max_parts=Limits().files,
                )
                whole = all(result.failure is None for result in parts.results)
            except ClientDisconnect:  # nobody is there to read this
                raise ProblemError(
                    HTTPStatus.BAD_REQUEST, ProblemCode.BODY_INVALID, detail="the body ends too early; send it again"
                ) from None
            finally:
                parts.close()
                with anyio.CancelScope(shield=True):  # else the study would wait for this request for ever
                    setattr(request.state, NOTED, await run_in_threadpool(partial(inbox.close, whole=whole)))
    return parts.results


@asynccontextmanager
async def _folder(core: Core) -> AsyncIterator[FilePath]:
    """A folder for the part that arrives."""
    folder = await run_in_threadpool(core.storage.new_incoming)
    try:
        yield folder
    finally:
        await run_in_threadpool(shutil.rmtree, folder, ignore_errors=True)
