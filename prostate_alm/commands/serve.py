"""`prostate-alm serve`: run the triage service."""

import os
import resource
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer
import uvicorn
from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError

from prostate_alm.errors import ArgumentError
from prostate_alm.service.app import create_app
from prostate_alm.service.authentication import check_exposure
from prostate_alm.service.configuration_check import CheckedPoint, check_settings
from prostate_alm.service.header_timeout import ImpatientH11
from prostate_alm.service.logs import configure_logs
from prostate_alm.service.settings import ServiceSettings, load_settings
from prostate_alm.service.storage import Storage

GRACE_SECONDS = 10


def serve(config: Path | None, *, flags: Mapping[str, object]) -> None:
    """Verify the ensemble and the configuration, then open the port and answer until stopped.

    Args:
        config: YAML with settings; see `prostate_alm.service.settings`.
        flags: settings that the command line gave; None stands for not given.

    Raises:
        ArgumentError: a setting is unknown or can't be used, or `host` is reachable from outside and there is no token.
        EnsembleError: the ensemble is incomplete, changed or not the pinned one.
    """
    settings = load_settings(config, environment=os.environ, flags=flags)
    check_exposure(settings)
    configure_logs()
    storage = Storage(settings.storage)
    with storage.locked():
        storage.clear_work()
        with _keeping_to_itself(storage.new_work("api")):
            _run(settings)


def _run(settings: ServiceSettings) -> None:
    app = _app(settings)
    identity = app.state.model.identity
    typer.echo(f"ensemble {identity.name} {identity.version}, manifest SHA-256 {identity.sha256}", err=True)
    typer.echo(f"operating point {settings.operating_point}; research use only", err=True)
    _Server(app, settings).run()


@contextmanager
def _keeping_to_itself(temporary: Path) -> Iterator[None]:
    """Files for this user alone, temporary ones in the storage, and no core, which would hold pixels and secrets."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before, mask = tempfile.tempdir, os.umask(0o077)
    tempfile.tempdir = str(temporary)
    try:
        yield
    finally:
        tempfile.tempdir = before
        os.umask(mask)


def _app(settings: ServiceSettings) -> FastAPI:
    try:
        return create_app(settings)
    except DBAPIError:
        raise ArgumentError("the database can't be reached; check `database_url`, and whether it runs.") from None


def check_configuration(config: Path | None, *, flags: Mapping[str, object]) -> int:
    """Print a line for each point of the configuration; opens no port and makes nothing.

    Returns:
        The exit code: 0 when all hold; a warning alone is no fault.
    """
    try:
        settings = load_settings(config, environment=os.environ, flags=flags)
    except ArgumentError as error:
        typer.echo(f"fault  settings: {error}")
        return 1
    typer.echo("ok     settings")
    points = list(check_settings(settings))
    for point in points:
        typer.echo(f"{_verdict(point)}  {point.name}: {point.said}")
    return 0 if all(point.holds for point in points) else 1


def _verdict(point: CheckedPoint) -> str:
    if not point.holds:
        return "fault"
    return "warn " if point.warns else "ok   "


class _Server(uvicorn.Server):
    """A server that lets waiting clients go as soon as it is told to stop; they get 202 and ask again."""

    def __init__(self, app: FastAPI, settings: ServiceSettings) -> None:
        # the access log would keep whatever clients write into URLs
        super().__init__(
            uvicorn.Config(
                app, host=settings.host, port=settings.port, access_log=False, log_config=None,
                timeout_graceful_shutdown=GRACE_SECONDS, server_header=False, http=ImpatientH11,
            )
        )  # fmt: skip
        self._watch = app.state.watch

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop."""
        self._watch.release()
        super().handle_exit(sig, frame)
