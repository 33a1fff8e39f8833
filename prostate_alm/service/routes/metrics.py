"""`/metrics` for Prometheus; it needs the scope `metrics`."""

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from prostate_alm.service.problems import problems

router = APIRouter(tags=["operation"])


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems(401, 403)},
)
def metrics(request: Request) -> Response:
    """Figures of the service in Prometheus' text format."""
    state = request.app.state
    body = state.metrics.expose(state.database, state.model.reference, datetime.now(UTC))
    return Response(body, media_type=CONTENT_TYPE_LATEST)
