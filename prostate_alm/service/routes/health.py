"""Whether the process lives, and whether a study sent now would be scored. No token is needed."""

from datetime import UTC, datetime
from http import HTTPStatus

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from prostate_alm.service.readiness import Fault, Readiness

router = APIRouter(prefix="/healthz", tags=["health"])


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class Ready(BaseModel):
    """Whether a study sent now would be scored."""

    ready: bool
    faults: list[Fault] = Field(description="why not")


@router.get("/live")
async def live() -> Alive:
    """Answer as long as the process does."""
    return Alive()


@router.get("/ready", response_model=Ready, responses={503: {"model": Ready}})
async def ready(request: Request) -> Response:
    """Answer 200 when a study sent now would be scored, 503 with the faults otherwise; from memory, at once."""
    readiness = request.app.state.readiness
    assert isinstance(readiness, Readiness)
    faults = readiness.faults(datetime.now(UTC))
    status = HTTPStatus.SERVICE_UNAVAILABLE if faults else HTTPStatus.OK
    return JSONResponse(Ready(ready=not faults, faults=faults).model_dump(mode="json"), status)
