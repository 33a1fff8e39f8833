"""A database without room, as on a full disk: nothing is half taken, and the client hears 507 and a code."""

import errno
import io
import sqlite3
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pydicom
import pytest
from sqlalchemy import event

from prostate_alm.errors import Reason
from prostate_alm.readers.instance import MR_IMAGE
from prostate_alm.service.database import Database
from prostate_alm.service.instances import Instance
from prostate_alm.service.receptions import Receptions

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
MANY = 200  # studies fill the last page


def let_grow(database, pages):
    """Give SQLite's file so many pages more than it has, in every connection."""
    database.close()
    with sqlite3.connect(database.engine.url.database) as file:
        most = file.execute("pragma page_count").fetchone()[0] + pages

    def limit(connection, _):
        connection.execute(f"pragma max_page_count={most}")

    event.listen(database.engine, "connect", limit)


def send_many(core, send):
    for number in range(MANY):
        send(f"study {number}", through=core, failure=Reason.STUDY_INCOMPLETE)


def incoming(storage):
    return list((storage.root / "incoming").iterdir())


def test_what_finds_no_room_leaves_no_file_and_no_row(core_factory, send, tmp_path):
    core = core_factory(database_url=f"sqlite:///{tmp_path}/small.db", queue_size=MANY)
    first = send("a study", through=core)
    let_grow(core.database, 0)
    with pytest.raises(OSError, match="no room") as caught:
        send_many(core, send)
    assert caught.value.errno == errno.ENOSPC
    assert incoming(core.storage) == []
    known = [job.id for job in core.queue.newest(2 * MANY)]
    assert sorted(core.storage.kept()) == sorted(known)
    assert first in known
    let_grow(core.database, 1000)
    assert send("another study", through=core) not in known


def test_another_fault_of_the_database_is_no_full_disk(tmp_path):
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(Exception, match="no such table") as caught, database.writing() as session:
        session.connection().exec_driver_sql("insert into jobs values (1)")
    assert not isinstance(caught.value, OSError)
    database.close()


def related(image, study):
    """The body of a STOW request with one image of a study."""
    image.StudyInstanceUID = f"1.2.3.{study}"
    with io.BytesIO() as file:
        image.save_as(file)
        return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue() + b"\r\n--b--\r\n"


def test_a_service_whose_database_has_no_room_says_507(run_service, dicom_folders):
    """By whatever way the study comes; when there is room again, it is taken."""
    image = pydicom.dcmread(next(dicom_folders[0].iterdir()))
    kind = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    with run_service(worker=False, queue_size=MANY) as client:

        def upload(number):
            return client.post("/v1/studies", files={"file": b"%d" % number})

        def store(number):
            return client.post("/dicomweb/studies", content=related(image, number), headers=kind)

        let_grow(client.app.state.database, 0)
        for send_in, taken in ((upload, 202), (store, 200)):
            responses = (send_in(number) for number in range(MANY))
            response = next(one for one in responses if one.status_code != taken)
            assert (response.status_code, response.json()["code"]) == (507, "STORAGE_FULL")
            assert response.headers["content-type"] == "application/problem+json"
        assert incoming(client.app.state.storage) == []
        assert client.get("/healthz/live").status_code == 200
        let_grow(client.app.state.database, 1000)
        assert upload(MANY).status_code == 202
        assert store(MANY).status_code == 200


def test_a_request_whose_end_finds_no_room_holds_up_no_study(core, monkeypatch):
    """Its row was opened as incomplete, and is answered so."""
    receptions = Receptions(core)
    inbox = receptions.inbox("sender", lambda: NOON)
    part = core.storage.new_incoming() / "part"
    part.write_bytes(b"an image")
    assert inbox.take(Instance(MR_IMAGE, "1.2.3.4", "1.2.3"), part) is None
    with monkeypatch.context() as full:
        full.setattr(core.database, "writing", no_room)
        with pytest.raises(OSError, match="no room"):
            inbox.close(whole=True)
    (job_id,) = receptions.close_ripe(NOON + timedelta(days=1))
    assert core.queue.find(job_id).shown.reasons == (Reason.STUDY_INCOMPLETE,)


@contextmanager
def no_room():
    raise OSError(errno.ENOSPC, "no room")
    yield
