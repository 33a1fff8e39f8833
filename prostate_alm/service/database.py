"""The database that carries everything between the API and its worker: SQLite by default, PostgreSQL by URL."""

import errno
import sqlite3
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError as URLError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from prostate_alm.errors import ArgumentError
from prostate_alm.service.settings import ServiceSettings
from prostate_alm.service.storage import Storage

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_SECONDS = 10.0
BUSY_PAUSE = 0.02  # s
POSTGRESQL_DISK_FULL = "53100"  # SQLSTATE
UPGRADE_LOCK = 7_042_617  # any number, the same for every process of this service


class Database:
    """One engine and its sessions; a process makes its own.

    Args:
        url: `sqlite:///...` or `postgresql://...`.

    Raises:
        ArgumentError: another kind of URL; it is not quoted, since it may hold a password.
    """

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.engine = _sqlite_engine(parsed) if self.is_sqlite else _postgresql_engine(parsed)

    @classmethod
    def of(cls, settings: ServiceSettings) -> "Database":
        """The database that the settings name."""
        if settings.database_url is not None:
            return cls(settings.database_url.get_secret_value())
        return cls(f"sqlite:///{Storage(settings.storage).database_file}")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that changes nothing."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session that is committed at the end of the block, whole or not at all.

        SQLite gives the write lock at once (BEGIN IMMEDIATE): a transaction that begins with reading can't fail
        later because another wrote in between.

        Raises:
            OSError: ENOSPC, the database has no room left; nothing was written.
        """
        engine = self.engine.execution_options(immediate=True)
        try:
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DBAPIError as error:
            if _has_no_room(error):
                raise OSError(errno.ENOSPC, "the database has no room left") from None
            raise

    def upgrade(self) -> None:
        """Bring the tables to this version; several processes may do it at once."""
        with self.engine.execution_options(immediate=True).begin() as connection:
            if not self.is_sqlite:
                connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": UPGRADE_LOCK})
            configuration = _configuration()
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "head")

    def versions(self) -> tuple[str | None, str | None]:
        """The version of the tables, None when there are none, and the one this program wants."""
        with self.engine.connect() as connection:
            found = MigrationContext.configure(connection).get_current_revision()
        return found, ScriptDirectory.from_config(_configuration()).get_current_head()

    def known_versions(self) -> set[str]:
        """Every version that this program can bring the tables from."""
        return {script.revision for script in ScriptDirectory.from_config(_configuration()).walk_revisions()}

    def forget_deleted(self) -> None:
        """Empty SQLite's log, in which deleted rows still stand; PostgreSQL's is the administrator's."""
        if self.is_sqlite:
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _has_no_room(error: DBAPIError) -> bool:
    if isinstance(error.orig, sqlite3.Error):
        return error.orig.sqlite_errorcode in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
    told = getattr(error.orig, "args", ())[:1]
    return bool(told) and isinstance(told[0], dict) and told[0].get("C") == POSTGRESQL_DISK_FULL


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (URLError, ValueError):
        raise ArgumentError("`database_url` is no URL; write postgresql://USER:PASSWORD@HOST/NAME.") from None
    if parsed.get_backend_name() in {"postgresql", "sqlite"}:
        return parsed
    raise ArgumentError("`database_url` must begin with postgresql:// or sqlite:///; leave it out for SQLite.")


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _set_up_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: Any, _: object) -> None:
    """WAL, so that readers never wait; FULL, so that what was committed outlives a power cut; deleted is gone."""
    connection.isolation_level = None  # the driver begins nothing by itself; see `_begin_sqlite`
    _write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Turn the file to WAL, once in its life; SQLite's own timeout doesn't wait for others here, so we do."""
    give_up = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up:
                raise
            time.sleep(BUSY_PAUSE)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _postgresql_engine(url: URL) -> Engine:
    """Through pg8000; `sslmode` and `sslrootcert` in the URL mean what they mean in PostgreSQL's own library."""
    query = dict(url.query)
    arguments: dict[str, Any] = {"timeout": BUSY_SECONDS, "ssl_context": _tls(query)}
    if query:
        raise ArgumentError(
            f"`database_url` has the parameters {sorted(query)}, which are not known here. "
            "Available: sslmode, sslrootcert."
        )
    plain = url.set(drivername="postgresql+pg8000", query={})
    return create_engine(plain, pool_pre_ping=True, connect_args=arguments)


def _tls(query: dict[str, Any]) -> ssl.SSLContext | bool | None:
    """What pg8000 calls libpq's `sslmode`; both parameters are taken out of the query."""
    mode, authority = query.pop("sslmode", "prefer"), query.pop("sslrootcert", None)
    if mode == "verify-full":
        return ssl.create_default_context(cafile=authority)
    modes: dict[str, bool | None] = {"disable": False, "prefer": None, "require": True}
    if mode not in modes or authority is not None:
        raise ArgumentError(
            "`database_url`: `sslmode` must be disable, prefer, require or verify-full, and `sslrootcert`, a file of "
            "certificates, needs verify-full."
        )
    return modes[mode]


def _configuration() -> Config:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    return configuration
