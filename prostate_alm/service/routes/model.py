"""`/v1/model`: which ensemble answers."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.report.triage import ModelIdentity
from prostate_alm.service.core import Core
from prostate_alm.service.problems import problems


class ModelDescription(BaseModel):
    """Which ensemble answers, and at which operating point."""

    model: ModelIdentity
    operating_point: OperatingPoint = Field(description="the one this service applies")
    operating_points: list[OperatingPoint] = Field(description="all that the ensemble carries")
    intended_use: str = "Research use only"


router = APIRouter(prefix="/v1", tags=["triage"])


@router.get("/model", responses=problems(401, 403))
async def get_model(request: Request) -> ModelDescription:
    """Say which ensemble answers, and with which evidence."""
    core: Core = request.app.state.core
    return ModelDescription(
        model=core.model.identity,
        operating_point=core.model.operating_point,
        operating_points=core.model.operating_points.points,
    )
