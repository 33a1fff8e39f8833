"""Results on their way to a PACS: each is stored there once, whatever goes wrong in between."""

import hashlib
import io
import json
import shutil
from datetime import UTC, datetime, timedelta

import pydicom
import pytest
from sqlalchemy import select
from starlette.responses import Response

from prostate_alm.errors import Reason
from prostate_alm.report.structured_report import report_uid
from prostate_alm.service.deliveries import Deliveries
from prostate_alm.service.identities import identity_of
from prostate_alm.service.retention import Retention
from prostate_alm.service.structured_reports import report_content
from prostate_alm.service.tables import Audit, Delivery

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def core(core_factory, peer):
    return core_factory(pacs=[{"name": "main", "url": peer.url, "store_sr": True}])


@pytest.fixture
def answered(dicom_folders):
    """Give a study to the intake that is answered at once; returns the job's id."""

    def make(core, *, patient=0, now=NOON, source="stow", content=b"", **arguments):
        folder = core.storage.new_incoming()
        shutil.copytree(dicom_folders[patient], folder / "dicom")
        sha256 = hashlib.sha256(bytes([patient]) + content).hexdigest()
        values = {"source": source, "token": "scanner", "identity": identity_of(folder / "dicom")} | arguments
        return core.intake.accept(folder, content_sha256=sha256, failure=Reason.STUDY_INCOMPLETE, now=now, **values)

    return make


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def row_of(core, job_id, destination="main"):
    with core.database.reading() as session:
        row = session.get_one(Delivery, (job_id, destination))
        return row.state, row.attempts, row.fault


def told(core):
    with core.database.reading() as session:
        return [(one.event, one.outcome) for one in session.scalars(select(Audit).order_by(Audit.id))]


def test_the_document_of_an_answer_is_stored_once(core, peer, answered):
    job_id, deliveries = answered(core), Deliveries(core)
    for second in range(5):
        deliveries.deliver_due(at(second))
    (content,) = peer.stored
    assert content == report_content(core.queue.find(job_id), core.storage)
    assert pydicom.dcmread(io.BytesIO(content)).SOPInstanceUID == report_uid(core.queue.find(job_id).shown)
    assert row_of(core, job_id) == ("DELIVERED", 1, None)
    assert told(core)[-1] == ("SR_SENT", "OK")


def test_a_restart_sends_nothing_twice(core, peer, answered):
    answered(core)
    Deliveries(core).deliver_due(NOON)
    Deliveries(core).deliver_due(at(3600))
    assert len(peer.stored) == 1


def failing_item(number):
    return {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [number]}}]}


@pytest.mark.parametrize(
    "wrong",
    [
        Response(status_code=500),
        Response(status_code=302, headers={"Location": "http://127.0.0.1:1/"}),
        Response(json.dumps({"00081198": failing_item(0xA700)}), 202, media_type="application/dicom+json"),
        Response(json.dumps({"00081198": failing_item(0xA700)}), 409, media_type="application/dicom+json"),
    ],
    ids=["500", "elsewhere", "202 with a failure", "409"],
)
def test_what_is_not_taken_is_sent_again_after_a_pause_that_grows(core, peer, answered, wrong):
    job_id, deliveries = answered(core), Deliveries(core)
    before = core.queue.find(job_id).shown
    peer.wrong["store"] = wrong
    for second in (0, 4, 5, 14, 15):
        deliveries.deliver_due(at(second))
    assert row_of(core, job_id) == ("PENDING", 3, "PACS_FAILED")  # at 0, 5 and 15 s
    assert core.queue.find(job_id).shown == before
    del peer.wrong["store"]
    deliveries.deliver_due(at(36))
    assert row_of(core, job_id) == ("DELIVERED", 4, None)
    assert len(peer.stored) == 1
    assert told(core)[-2:] == [("SR_FAILED", "PACS_FAILED"), ("SR_SENT", "OK")]


def test_a_document_whose_receipt_was_lost_is_not_sent_again(core, peer, answered):
    job_id, deliveries = answered(core), Deliveries(core)
    peer.stored.append(report_content(core.queue.find(job_id), core.storage))
    peer.wrong["store"] = Response(status_code=500)
    deliveries.deliver_due(NOON)
    del peer.wrong["store"]
    deliveries.deliver_due(at(10))
    assert row_of(core, job_id) == ("DELIVERED", 2, None)
    assert len(peer.stored) == 1


def test_a_pacs_that_does_not_say_what_it_has_gets_the_document(core, peer, answered):
    job_id, deliveries = answered(core), Deliveries(core)
    peer.wrong = {"store": Response(status_code=500), "instances": Response("<html>")}
    deliveries.deliver_due(NOON)
    del peer.wrong["store"]
    deliveries.deliver_due(at(10))
    assert row_of(core, job_id)[0] == "DELIVERED"
    assert len(peer.stored) == 1


def test_a_pacs_that_is_away_delays_no_other(core_factory, peer, answered):
    away = {"name": "away", "url": "http://127.0.0.1:1/dicom-web", "store_sr": True}
    core = core_factory(pacs=[away, {"name": "main", "url": peer.url, "store_sr": True}])
    jobs = [answered(core), answered(core, patient=1)]
    Deliveries(core).deliver_due(NOON)
    assert len(peer.stored) == 2
    assert sorted(row_of(core, job, "away")[1] for job in jobs) == [0, 1]  # one try a round


def test_only_pacs_that_want_documents_get_them(core_factory, peer, answered):
    core = core_factory(pacs=[{"name": "main", "url": peer.url}])
    answered(core)
    Deliveries(core).deliver_due(NOON)
    assert peer.asked == []


def test_what_no_document_can_be_made_of_is_given_up(core, peer, answered, send):
    nothing, gone = send("no DICOM", failure=Reason.INPUT_UNREADABLE, source="stow"), answered(core)
    peer.wrong["store"] = Response(status_code=500)
    deliveries = Deliveries(core)
    deliveries.deliver_due(NOON)
    assert row_of(core, nothing) == ("ABANDONED", 1, "SR_NOT_AVAILABLE")
    Retention(core.database, core.storage, hours=1).sweep(at(7200))
    del peer.wrong["store"]
    deliveries.deliver_due(at(7200))
    assert row_of(core, gone) == ("ABANDONED", 2, "PIXELS_GONE")
    assert peer.stored == []


def test_what_was_uploaded_is_not_written_into_a_patients_file(core, peer, answered):
    answered(core, source="upload")
    Deliveries(core).deliver_due(NOON)
    assert peer.asked == []


def test_a_superseded_answer_is_not_sent_after_the_later_one(core, peer, answered):
    first = answered(core)
    peer.wrong["store"] = Response(status_code=500)
    deliveries = Deliveries(core)
    deliveries.deliver_due(NOON)
    second = answered(core, content=b"more", now=at(1), supersedes=first)
    del peer.wrong["store"]
    deliveries.deliver_due(at(10))
    assert row_of(core, first)[::2] == ("ABANDONED", "SUPERSEDED")
    assert row_of(core, second)[0] == "DELIVERED"
    assert len(peer.stored) == 1


@pytest.mark.parametrize("said", ['{"00081198": null}', "[" * 100_000, "7"])
def test_an_answer_of_any_form_holds_up_no_other_document(core, peer, answered, said):
    jobs = [answered(core), answered(core, patient=1)]
    peer.wrong["store"] = Response(said, media_type="application/dicom+json")
    Deliveries(core).deliver_due(NOON)
    assert [row_of(core, job)[0] for job in jobs] == ["DELIVERED"] * 2
