"""The FastAPI app: what it is made of and what runs beside it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager

from fastapi import FastAPI

from prostate_alm import __version__
from prostate_alm.service import audit, periodic
from prostate_alm.service.answer_watch import AnswerWatch
from prostate_alm.service.api_document import describe_api
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core, open_core
from prostate_alm.service.deliveries import Deliveries
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.guard import add_guards
from prostate_alm.service.periodic import Periodic
from prostate_alm.service.problems import add_problem_handlers
from prostate_alm.service.readiness import EVERY_SECONDS, Readiness
from prostate_alm.service.receptions import Receptions
from prostate_alm.service.retention import Retention
from prostate_alm.service.routes import dicomweb, health, login, metrics, model, page, pull, sr, studies
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.supervisor import Supervisor, WorkerHost

EXPIRE_SECONDS = 0.25
RETENTION_SECONDS = 60.0
RECEPTION_SECONDS = DELIVERY_SECONDS = 1.0


def create_app(settings: ServiceSettings, *, host: Callable[[Core], WorkerHost] = Supervisor) -> FastAPI:
    """Make the service.

    Args:
        settings: what the deployment chose.
        host: keeps the worker running.

    Raises:
        EnsembleError: the ensemble is incomplete, changed or not the pinned one.
        ArgumentError: it has no such operating point, or a setting can't be used.
        OSError: the storage folder can't be made.
    """
    core = open_core(settings, DeployedModel.read(settings))
    retention = Retention(core.database, core.storage, hours=settings.retention_hours)
    watch, readiness = AnswerWatch(core.queue), Readiness(core)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        core.storage.clear_incoming()
        retention.clear_strays()
        with closing(core.database), _at_work(core, host), periodic.running(app.state.periodics):
            async with watch.running():
                yield

    app = FastAPI(
        title="Prostate ALM triage",
        version=__version__,
        summary="Which prostate MRI patients do not need the contrast sequence. Research use only.",
        lifespan=lifespan,
        docs_url=None,  # these pages load scripts from elsewhere
        redoc_url=None,
    )
    app.state.core, app.state.watch, app.state.readiness = core, watch, readiness
    app.state.settings, app.state.storage, app.state.model = settings, core.storage, core.model
    app.state.receptions = Receptions(core)
    app.state.database, app.state.queue, app.state.intake = core.database, core.queue, core.intake
    app.state.periodics = _periodics(core, readiness, retention, app.state.receptions)
    for area in (studies, model, dicomweb, pull, sr, health, metrics, login, page):
        app.include_router(area.router)
    add_problem_handlers(app)
    describe_api(app)
    add_guards(app, settings)
    return app


@contextmanager
def _at_work(core: Core, host: Callable[[Core], WorkerHost]) -> Iterator[None]:
    """A worker for as long as the service runs."""
    worker = host(core)
    _tell(core, AuditEvent.SERVICE_STARTED)
    worker.start()
    try:
        yield
    finally:
        worker.stop()
        _tell(core, AuditEvent.SERVICE_STOPPED)


def _periodics(core: Core, readiness: Readiness, retention: Retention, receptions: Receptions) -> list[Periodic]:
    return [
        Periodic("the clock of deadlines", EXPIRE_SECONDS, core.queue.expire),
        Periodic("readiness", EVERY_SECONDS, readiness.check),
        Periodic("retention", RETENTION_SECONDS, retention.sweep),
        Periodic("receptions", RECEPTION_SECONDS, receptions.close_ripe),
        Periodic("old receptions", RETENTION_SECONDS, receptions.sweep),
        Periodic("deliveries", DELIVERY_SECONDS, Deliveries(core).deliver_due),
    ]


def _tell(core: Core, event: AuditEvent) -> None:
    """Write into the audit with which version and ensemble the service ran, and when."""
    detail = {
        "version": __version__,
        "model_sha256": core.model.identity.sha256,
        "operating_point": core.model.operating_point.name,
        "silent": core.settings.silent,
    }
    with core.database.writing() as session:
        audit.record(session, event=event, actor="service", outcome="OK", now=utc_now(), detail=detail)
