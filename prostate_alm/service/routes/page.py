"""The page for people: `/`, `/studies/{id}`, and what they are made of. It shows `JobRecord.shown` and nothing else."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse

from prostate_alm.errors import ArgumentError
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.authentication import TokenScope
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.intake import NothingToExplainError
from prostate_alm.service.page import rendering, views
from prostate_alm.service.problems import ProblemCode, ProblemError
from prostate_alm.service.receiving import receive
from prostate_alm.service.records import JobRecord
from prostate_alm.service.routes.studies import StudyId, find_study
from prostate_alm.service.slices import Channel, NetworkPath, channel_png, occlusion_png, read_image, read_occlusion
from prostate_alm.service.tables import JobState

LISTED = 100
STATIC_FILES = {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
Slice = Annotated[int | None, Query(alias="slice", ge=1, description="counted from below")]

router = APIRouter(include_in_schema=False)


@router.get("/")
def worklist(request: Request) -> Response:
    """Show the worklist and the form to send a study."""
    core = _core(request)
    rows = views.worklist_rows(core.queue.newest(LISTED))
    _record_read(request, None, studies=len(rows))
    reader, faults = _reader(request), _faults(request)
    return _page(rendering.worklist_page(rows, model=core.model.identity, reader=reader, faults=faults))


@router.get("/worklist")
def worklist_fragment(request: Request) -> Response:
    """Show the part of the worklist that lives."""
    rows = views.worklist_rows(_core(request).queue.newest(LISTED))
    return _page(rendering.worklist_fragment(rows, faults=_faults(request)))


@router.post("/studies")
async def send(request: Request) -> Response:
    """Take the form's study, and go to it."""
    return RedirectResponse(f"/studies/{await receive(request)}", HTTPStatus.SEE_OTHER)


@router.get("/studies/{study_id}")
async def study(request: Request, study_id: StudyId, *, slice_number: Slice = None) -> Response:
    """Show one study."""
    record = await find_study(request, study_id)
    view = await run_in_threadpool(_view, _core(request), record, slice_number)
    await run_in_threadpool(_record_read, request, record.id)
    return _page(rendering.study_page(view, reader=_reader(request)))


@router.get("/studies/{study_id}/state")
async def study_state(request: Request, study_id: StudyId) -> Response:
    """Say where it stands, for a page that waits for a change."""
    record = await find_study(request, study_id)
    view = await run_in_threadpool(_view, _core(request), record, None)
    return JSONResponse({"state": view.state})


@router.get("/studies/{study_id}/slices/{channel}.png")
async def slices(request: Request, study_id: StudyId, channel: Channel) -> Response:
    """Draw all slices of a series, one below the other."""
    record = await find_study(request, study_id)
    path = _core(request).storage.image_of(record.id)
    return await _picture(lambda: channel_png(read_image(path), channel))


@router.post("/studies/{study_id}/occlusion")
async def explain(request: Request, study_id: StudyId) -> Response:
    """Ask for the map of where the model looked, and go back to the study."""
    record = await find_study(request, study_id)
    core = _core(request)
    try:
        if not views.explainable(record):
            raise NothingToExplainError("this answer shows no score, or its images are gone.")
        caller = request.state.caller.name
        await run_in_threadpool(core.intake.explain, record.id, token=caller, now=utc_now())
    except NothingToExplainError as error:
        raise ProblemError(HTTPStatus.CONFLICT, ProblemCode.NOT_ANSWERED, detail=str(error)) from None
    return RedirectResponse(f"/studies/{record.id}", HTTPStatus.SEE_OTHER)


@router.get("/studies/{study_id}/occlusion/{path}.png")
async def occlusion(request: Request, study_id: StudyId, path: NetworkPath) -> Response:
    """Draw the map of one path of the network."""
    record = await find_study(request, study_id)
    file = _core(request).storage.occlusion_of(record.id)
    if not views.explainable(record):
        raise _gone()

    def draw() -> bytes:
        maps = read_occlusion(file)
        strongest = max(float(abs(values).max()) for values in maps.values())
        return occlusion_png(maps[path], strongest)

    return await _picture(draw)


@router.get("/static/{name}")
def static_file(name: str) -> Response:
    """Give a file of the page; they hold no patient data and need no login."""
    if name not in STATIC_FILES:
        raise ProblemError(HTTPStatus.NOT_FOUND, ProblemCode.NOT_FOUND, detail="there is no such file")
    headers = {"Cache-Control": "no-cache"}
    return FileResponse(rendering.STATIC / name, media_type=STATIC_FILES[name], headers=headers)


def _core(request: Request) -> Core:
    core = request.app.state.core
    assert isinstance(core, Core)
    return core


def _page(html: str) -> Response:
    return HTMLResponse(html, headers=rendering.SECURITY_HEADERS)


def _faults(request: Request) -> list[str]:
    return [str(fault) for fault in request.app.state.readiness.faults(utc_now())]


def _reader(request: Request) -> rendering.Reader:
    caller = request.state.caller
    return rendering.Reader(may_send=TokenScope.SUBMIT in caller.scopes, logged_in=caller.browser)


def _view(core: Core, record: JobRecord, slice_number: int | None) -> views.StudyView:
    image = None
    if record.pixels and record.state is JobState.DONE:
        try:
            image = read_image(core.storage.image_of(record.id))
        except (OSError, ArgumentError):  # refused before there was one, just deleted, or of another release
            image = None
    return views.study_view(
        record,
        image=image,
        occlusion=core.queue.occlusion_of(record.id),
        successor=core.queue.successor_of(record.id),
        slice_index=None if slice_number is None else slice_number - 1,
    )


def _record_read(request: Request, job_id: str | None, *, studies: int = 1) -> None:
    """Tell the audit who saw whose names; a page that stays open is told of once."""
    event, actor, detail = AuditEvent.READ, request.state.caller.name, {"studies": studies}
    with _core(request).database.writing() as session:
        audit.record(session, event=event, actor=actor, job_id=job_id, outcome="OK", now=utc_now(), detail=detail)


async def _picture(draw: Callable[[], bytes]) -> Response:
    try:
        return Response(await run_in_threadpool(draw), media_type="image/png", headers={"Cache-Control": "no-store"})
    except OSError:
        raise _gone() from None


def _gone() -> ProblemError:
    detail = "there is no such image, or it was deleted; the answer stands without it"
    return ProblemError(HTTPStatus.NOT_FOUND, ProblemCode.PIXELS_GONE, detail=detail)
