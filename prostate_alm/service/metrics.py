"""What Prometheus gets. Everything about studies is read from the database, so that the worker needs no port.

No label comes from a request: routes are templates, stages and reasons are lists of this package.
"""

import math
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from sqlalchemy import func, select
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from prostate_alm.errors import Reason
from prostate_alm.evaluation.reference import Reference
from prostate_alm.report.triage import Basis, Recommendation
from prostate_alm.service.database import Database
from prostate_alm.service.drift import drift_of
from prostate_alm.service.logs import dropped_keys
from prostate_alm.service.tables import Answer, Job, JobState, WorkerRow, WorkerState

RECENT = 200
"""Patients that drift is measured on."""
LATE = timedelta(seconds=60)
"""An answer may become visible so much later than its time says."""
STAGES = ("wait", "read", "prepare", "infer", "decide", "store")
SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 120, 300)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})


class ServiceMetrics:
    """The figures of one service and where they are kept.

    Args:
        began: counters begin at 0 here; what was answered before is not counted.
    """

    def __init__(self, began: datetime) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        prefix = {"namespace": "prostate_alm", "registry": registry}
        self.requests = Counter("http_requests", "answered requests", ["route", "method", "status"], **prefix)
        self.request_seconds = Histogram(
            "http_seconds", "until the response begins", ["route"], buckets=SECONDS, **prefix
        )
        self._answers = Counter("answers", "studies by what was decided", ["recommendation", "basis"], **prefix)
        self._reasons = Counter("failsafe_reasons", "why answers failed safe", ["reason"], **prefix)
        self._gates = Counter("quality_failures", "quality gates that did not pass", ["reason"], **prefix)
        self._hidden = Counter("hidden_answers", "shown as recommended, whatever was decided", ["how"], **prefix)
        self._stages = Histogram("stage_seconds", "of a study, by stage", ["stage"], buckets=SECONDS, **prefix)
        self._whole = Histogram("answer_seconds", "from acceptance to the stored answer", buckets=SECONDS, **prefix)
        self._logits = Histogram("logit", "mean logit of the members", buckets=range(-12, 13, 2), **prefix)
        self._queue = Gauge("queue_jobs", "jobs that wait", **prefix)
        self._oldest = Gauge("queue_oldest_seconds", "how long the oldest of them waits", **prefix)
        self._workers = Gauge("workers_ready", "worker processes that can score", **prefix)
        self._database = Gauge("database_up", "whether the last scrape could read the database", **prefix)
        self._dropped = Gauge(
            "log_keys_dropped", "keys that the allow-list of logs dropped: a fault to report", **prefix
        )
        drift = ["quantity"]
        self._drift_studies = Gauge("drift_studies", "recent studies that drift is measured on", drift, **prefix)
        self._psi = Gauge("drift_psi", "population stability index against the validated patients", drift, **prefix)
        self._ks = Gauge("drift_ks", "Kolmogorov-Smirnov distance from the validated patients", drift, **prefix)
        self._alarm = Gauge("drift_alarm", "1 when recent patients differ from the validated ones", drift, **prefix)
        self._begin_at_zero()
        self._began = self._since = began
        self._counted: dict[str, datetime] = {}  # what the next scrape sees again

    def _begin_at_zero(self) -> None:
        """A rate needs the zero before the first event."""
        for recommendation, basis in (
            (Recommendation.DCE_NOT_NEEDED, Basis.MODEL),
            (Recommendation.DCE_RECOMMENDED, Basis.MODEL),
            (Recommendation.DCE_RECOMMENDED, Basis.FAILSAFE),
        ):
            self._answers.labels(recommendation, basis)
        for reason in Reason:
            self._reasons.labels(reason)

    def expose(self, database: Database, reference: Reference, now: datetime) -> bytes:
        """Everything in Prometheus' text format; without the database, what is known without it."""
        self._dropped.set(dropped_keys())
        try:
            self._read(database, reference, now)
            self._database.set(1)
        except Exception:  # whatever the database raises: the rest is needed most when it is down
            self._database.set(0)
        return generate_latest(self.registry)

    def _read(self, database: Database, reference: Reference, now: datetime) -> None:
        with database.reading() as session:
            waiting = select(func.count(), func.min(Job.received)).where(Job.state == JobState.QUEUED)
            queued, oldest = session.execute(waiting).one()
            ready = select(func.count()).select_from(WorkerRow).where(WorkerRow.state == WorkerState.READY)
            workers = session.scalar(ready)
            rows = select(Answer, Job.received).join(Job, Job.id == Answer.job_id)
            since = max(self._began, self._since - LATE)
            new = session.execute(rows.where(Answer.answered_at > since)).all()
            recent = select(Answer.recorded).order_by(Answer.answered_at.desc()).limit(RECENT)
            recorded = list(session.scalars(recent))
        self._queue.set(queued)
        self._oldest.set(0 if oldest is None else max(0.0, (now - oldest).total_seconds()))
        self._workers.set(workers or 0)
        for answer, received in new:
            if answer.job_id not in self._counted:
                self._count(answer, received)
        self._counted = {answer.job_id: answer.answered_at for answer, _ in new}
        self._since = max([self._since, *self._counted.values()])
        self._measure_drift(recorded, reference)

    def _count(self, answer: Answer, received: datetime) -> None:
        recorded = answer.recorded
        self._answers.labels(recorded["recommendation"], recorded["basis"]).inc()
        for reason in recorded["reasons"]:
            self._reasons.labels(reason).inc()
        for gate in recorded["quality"]:
            if not gate["passed"]:
                self._gates.labels(gate["reason"]).inc()
        for how, hidden in (("silent", answer.silent), ("audit", answer.audited)):
            if hidden:
                self._hidden.labels(how).inc()
        for stage in STAGES:
            if stage in answer.seconds:
                self._stages.labels(stage).observe(answer.seconds[stage])
        self._whole.observe((answer.answered_at - received).total_seconds())
        if recorded["logit"] is not None:
            self._logits.observe(recorded["logit"])

    def _measure_drift(self, recorded: Sequence[Mapping[str, Any]], reference: Reference) -> None:
        logits = [answer["logit"] for answer in recorded if answer["logit"] is not None]
        self._set_drift("logit", logits, reference.logit_quantiles, reference.patients)
        for gate in reference.quality:
            if gate.quantiles is None:  # it could be measured of no validated patient
                continue
            figures = [
                math.nan if found["value"] is None else found["value"]
                for answer in recorded
                for found in answer["quality"]
                if found["reason"] == gate.reason
            ]
            self._set_drift(gate.reason, figures, gate.quantiles, reference.patients)

    def _set_drift(self, quantity: str, figures: Sequence[float], quantiles: Sequence[float], patients: int) -> None:
        drift = drift_of(figures, quantiles, patients)
        self._drift_studies.labels(quantity).set(drift.studies)
        self._psi.labels(quantity).set(drift.psi)
        self._ks.labels(quantity).set(drift.ks)
        self._alarm.labels(quantity).set(drift.alarm)


class RequestMetrics:
    """ASGI middleware that counts requests by the template of their route."""

    def __init__(self, app: ASGIApp, metrics: ServiceMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count the response when it begins."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = _template(scope)
                method = scope["method"] if scope["method"] in METHODS else "other"
                self._metrics.requests.labels(route, method, message["status"]).inc()
                self._metrics.request_seconds.labels(route).observe(time.monotonic() - began)
            await send(message)

        await self._app(scope, receive, send_counted)


def _template(scope: Scope) -> str:
    """The path of the route with its parameters' names; one name for everything that has no route."""
    route = scope.get("route")
    return str(getattr(route, "path", "other")) if isinstance(route, BaseRoute) else "other"
