"""The tables are those of the program, whole or not at all, and what was answered can't be changed."""

import sqlite3
import ssl
import threading
from datetime import UTC, datetime

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DatabaseError, InterfaceError, StatementError

from prostate_alm.errors import ArgumentError
from prostate_alm.service.database import Database
from prostate_alm.service.tables import Audit, Table, WorkerRow

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.close()


def test_upgrading_makes_the_tables_of_the_program(database):
    assert database.versions() == (None, "0001")
    database.upgrade()
    assert database.versions() == ("0001", "0001")
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Table.metadata) == []


def test_upgrading_twice_and_at_once_does_no_harm(database, database_url):
    others = [Database(database_url) for _ in range(4)]
    faults = []

    def upgrade(other):
        try:
            other.upgrade()
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=upgrade, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for other in others:
        other.close()
    assert faults == []
    assert set(inspect(database.engine).get_table_names()) == {*Table.metadata.tables, "alembic_version"}


def test_a_new_file_that_another_process_writes_is_waited_for(tmp_path):
    file = tmp_path / "new.sqlite"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("create table t (x)")  # so that the file isn't empty
    other.execute("begin immediate")
    release = threading.Timer(0.5, other.execute, ["commit"])
    release.start()
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    release.join()
    with database.engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()
    other.close()


def test_a_new_file_that_another_process_keeps_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr("prostate_alm.service.database.BUSY_SECONDS", 0.2)
    file = tmp_path / "new.sqlite"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("create table t (x)")
    other.execute("begin immediate")
    database = Database(f"sqlite:///{file}")
    with pytest.raises(DatabaseError, match="locked"):
        database.upgrade()
    database.close()
    other.close()


def entry():
    return Audit(at=NOON, event="ACCEPTED", actor="test", outcome="OK", detail={})


@pytest.mark.parametrize("change", ["update audit set outcome = 'changed'", "delete from audit"])
def test_the_audit_can_only_be_added_to(database, change):
    database.upgrade()
    with database.writing() as session:
        session.add(entry())
    with pytest.raises(DatabaseError, match="insert-only"), database.writing() as session:
        session.execute(text(change))
    with database.reading() as session:
        assert [row.outcome for row in session.scalars(select(Audit))] == ["OK"]


def test_a_transaction_that_fails_leaves_nothing(database):
    database.upgrade()

    def write_half():
        with database.writing() as session:
            session.add(entry())
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        write_half()
    with database.reading() as session:
        assert session.scalars(select(Audit)).all() == []


def test_times_come_back_in_utc_and_need_their_zone(database):
    database.upgrade()
    summer = datetime.fromisoformat("2026-07-01T12:00:00.123456+02:00")
    with database.writing() as session:
        session.add(WorkerRow(id="a", pid=1, started=summer, beat=NOON, state="READY"))
    with database.reading() as session:
        row = session.get_one(WorkerRow, "a")
        assert (row.started, row.started.tzinfo) == (summer, UTC)
    with pytest.raises(StatementError, match="zone"), database.writing() as session:
        session.add(WorkerRow(id="b", pid=1, started=summer.replace(tzinfo=None), beat=NOON, state="READY"))


def test_readers_do_not_wait_for_a_writer(database):
    database.upgrade()
    with database.writing() as writing:
        writing.add(entry())
        writing.flush()
        with database.reading() as reading:
            assert reading.scalars(select(Audit)).all() == []


@pytest.mark.parametrize(
    "url",
    [
        "no url",
        "mysql://host/name",
        "",
        "postgresql://me:secret@host:port/name",
        "postgresql://me:secret@host/name?sslmode=perhaps",
        "postgresql://me:secret@host/name?sslmode=require&sslrootcert=/etc/ca.pem",
        "postgresql://me:secret@host/name?channel_binding=require",
    ],
)
def test_another_kind_of_url_is_refused_and_not_quoted(url):
    with pytest.raises(ArgumentError, match="database_url") as refusal:
        Database(url)
    assert "secret" not in str(refusal.value)


def is_encrypted(url):
    database = Database(url)
    try:
        with database.engine.connect() as connection:
            return connection.execute(text("select ssl from pg_stat_ssl where pid = pg_backend_pid()")).scalar()
    finally:
        database.close()


@pytest.mark.parametrize(
    ("query", "encrypted"),
    [
        ("", True),  # wherever the server can
        ("?sslmode=disable", False),
        ("?sslmode=require", True),
        ("?sslmode=verify-full&sslrootcert={own}", True),
    ],
)
def test_tls_is_as_the_url_says(postgresql_with_tls, query, encrypted):
    port, certificate = postgresql_with_tls
    assert is_encrypted(f"postgresql://postgres@127.0.0.1:{port}/postgres" + query.format(own=certificate)) is encrypted


def test_a_server_without_tls_is_refused_where_it_is_required(postgresql):
    url = postgresql()
    assert is_encrypted(url) is False
    with pytest.raises(InterfaceError, match="SSL"):
        is_encrypted(f"{url}?sslmode=require")


def test_a_server_that_cannot_show_who_it_is_is_refused(postgresql_with_tls, certificate_factory):
    port, certificate = postgresql_with_tls
    verified = "postgresql://postgres@{host}:{port}/postgres?sslmode=verify-full"
    for host, query in (
        ("127.0.0.1", ""),  # no authority of this machine has signed it
        ("127.0.0.1", f"&sslrootcert={certificate_factory('IP:127.0.0.1')}"),  # nor this one
        ("localhost", f"&sslrootcert={certificate}"),  # it is another's
    ):
        with pytest.raises((ssl.SSLCertVerificationError, InterfaceError), match="certificate verify failed"):
            is_encrypted(verified.format(host=host, port=port) + query)
