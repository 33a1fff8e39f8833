"""The figures are those of the answers in the database; they degrade with it, and name nothing that a client sent."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from prostate_alm.errors import Reason
from prostate_alm.service.metrics import ServiceMetrics
from prostate_alm.service.tables import WorkerState

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(seconds):
    return NOON + timedelta(seconds=seconds)


def figures(metrics, core, seconds):
    """What is exposed, by name and labels."""
    text = metrics.expose(core.database, core.model.reference, after(seconds)).decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(one.name.removeprefix("prostate_alm_"), *sorted(one.labels.values())): one.value for one in samples}


@pytest.fixture
def answer(core, send, answer_factory):
    """Accept and settle a study, answered so many seconds after noon."""

    def settle(content, at, *, stages=None, **changes):
        send(content, now=after(at - 5))
        job = core.queue.claim("one", after(at - 4), 10.0)
        answered = answer_factory(id=job.id, **changes)
        assert core.queue.settle(job, answered, after(at), seconds=stages or {})
        return answered

    return settle


def test_answers_are_counted_once_from_when_the_service_began(core, answer):
    answer("before", -10)
    metrics = ServiceMetrics(NOON)
    assert figures(metrics, core, 1)["answers_total", "DCE_NOT_NEEDED", "MODEL"] == 0
    given = answer("one", 2, stages={"read": 0.3, "infer": 1.5, "CANARY": 1.0})
    for _ in range(2):
        found = figures(metrics, core, 3)
        assert found["answers_total", "DCE_NOT_NEEDED", "MODEL"] == 1
    answer("two", 4)
    found = figures(metrics, core, 100)
    assert found["answers_total", "DCE_NOT_NEEDED", "MODEL"] == 2
    assert found["answer_seconds_count",] == 2
    assert found["answer_seconds_sum",] == pytest.approx(10.0)
    assert found["stage_seconds_sum", "infer"] == pytest.approx(1.5)
    bounds = [float(key[1]) for key, count in found.items() if key[0] == "logit_bucket" and count == 2]
    assert min(bounds) >= given.logit > min(bounds) - 2
    assert "CANARY" not in str(found.keys())


def test_an_answer_that_becomes_visible_late_is_counted(core, answer):
    metrics = ServiceMetrics(NOON)
    answer("first", 30)
    figures(metrics, core, 31)
    answer("committed later, answered earlier", 10)
    assert figures(metrics, core, 32)["answers_total", "DCE_NOT_NEEDED", "MODEL"] == 2


def test_what_failed_safe_is_counted_by_its_reason(core, send):
    send("late", now=after(0))
    metrics = ServiceMetrics(NOON)
    core.queue.expire(after(1000))
    found = figures(metrics, core, 1001)
    assert found["answers_total", "DCE_RECOMMENDED", "FAILSAFE"] == 1
    assert found["failsafe_reasons_total", "TIMEOUT"] == 1
    assert found["failsafe_reasons_total", "WORKER_LOST"] == 0
    assert {("failsafe_reasons_total", reason) for reason in Reason} <= found.keys()


def test_the_queue_and_its_workers(core, send):
    metrics = ServiceMetrics(NOON)
    assert (figures(metrics, core, 0)["queue_jobs",], figures(metrics, core, 0)["queue_oldest_seconds",]) == (0, 0)
    send("a", now=after(1))
    send("b", now=after(3))
    core.workers.register("one", 1, after(3))
    assert figures(metrics, core, 4)["workers_ready",] == 0
    core.workers.become("one", WorkerState.READY, now=after(4))
    found = figures(metrics, core, 5)
    assert (found["queue_jobs",], found["queue_oldest_seconds",], found["workers_ready",]) == (2, 4, 1)


def test_drift_is_measured_of_the_logit_and_of_each_gate(core, answer):
    answer("one", 1)
    found = figures(ServiceMetrics(NOON), core, 2)
    measured = [gate.reason for gate in core.model.reference.quality if gate.quantiles is not None]
    assert {key[1] for key in found if key[0] == "drift_alarm"} == {"logit", *measured}
    assert found["drift_studies", "logit"] == 1
    assert found["drift_alarm", "logit"] == 0


def test_without_the_database_the_rest_is_still_told(core):
    metrics = ServiceMetrics(NOON)
    metrics.requests.labels("/v1/studies", "GET", 200).inc()
    assert figures(metrics, core, 0)["database_up",] == 1

    class Away:
        def reading(self):
            raise ConnectionError("CANARY")

    text = metrics.expose(Away(), core.model.reference, NOON).decode()  # pyright: ignore[reportArgumentType]
    assert "prostate_alm_database_up 0.0" in text
    assert "prostate_alm_http_requests_total" in text
    assert "CANARY" not in text
