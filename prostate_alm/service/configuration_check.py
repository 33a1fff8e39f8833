"""Whether a service would run with these settings: each point is looked at, and none changes anything that stays."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from prostate_alm.errors import ProstateALMError
from prostate_alm.service.authentication import check_exposure, is_loopback
from prostate_alm.service.database import Database
from prostate_alm.service.deployed_model import DeployedModel
from prostate_alm.service.settings import Pacs, ServiceSettings

_UNPINNED = (
    "other machines are served and `expect_sha256` is not set: whoever can write the ensemble's folder decides what is "
    "answered; set it to the manifest's SHA-256 of the ensemble that you validated"
)


@dataclass(frozen=True)
class CheckedPoint:
    """One line of the result.

    Attributes:
        name: what was looked at.
        said: what was found, or what is wrong.
        holds: whether a service could run.
        warns: whether it should not as it is.
    """

    name: str
    said: str
    holds: bool
    warns: bool = False


def check_settings(settings: ServiceSettings) -> Iterator[CheckedPoint]:
    """Look at the ensemble, the way in, the folder, the database and each PACS."""
    yield _checked("ensemble", lambda: _ensemble(settings))
    if settings.expect_sha256 is None and not is_loopback(settings.host):
        yield CheckedPoint("pin", _UNPINNED, holds=True, warns=True)
    yield _checked("access", lambda: _access(settings))
    yield _checked("storage", lambda: _storage(settings))
    yield _checked("database", lambda: _database(settings))
    for pacs in settings.pacs:
        yield _checked(f"pacs {pacs.name}", lambda pacs=pacs: _pacs(pacs))


def _checked(name: str, look: Callable[[], str]) -> CheckedPoint:
    try:
        return CheckedPoint(name, look(), holds=True)
    except ProstateALMError as error:
        return CheckedPoint(name, str(error), holds=False)
    except Exception as error:  # a driver's text could quote a password
        return CheckedPoint(name, f"{type(error).__name__}: it can't be used", holds=False)


def _ensemble(settings: ServiceSettings) -> str:
    model = DeployedModel.read(settings)
    identity, point = model.identity, model.operating_point
    return f"{identity.name} {identity.version}, manifest SHA-256 {identity.sha256}, operating point {point.name}"


def _access(settings: ServiceSettings) -> str:
    check_exposure(settings)
    return f"{settings.host}:{settings.port}"


def _storage(settings: ServiceSettings) -> str:
    place = _nearest(settings.storage.absolute())
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise ProstateALMError("`storage` can't be written; give this user the rights, or another folder.")
    return "writable" if place == settings.storage.absolute() else "will be made"


def _nearest(path: Path) -> Path:
    """The path itself, or the nearest folder above that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _database(settings: ServiceSettings) -> str:
    if settings.database_url is None and not (settings.storage / "triage.db").exists():
        return "SQLite, will be made in `storage`"
    database = Database.of(settings)
    try:
        found, wanted = database.versions()
        if found is not None and found not in database.known_versions():
            raise ProstateALMError("the database was made by a newer version of this program; run that one.")
    finally:
        database.close()
    return f"reachable, {'up to date' if found == wanted else 'will be brought to version ' + str(wanted)}"


def _pacs(pacs: Pacs) -> str:
    for path in (pacs.token_file, pacs.password_file, pacs.ca_file):
        if path is not None and not (path.is_file() and os.access(path, os.R_OK)):
            raise ProstateALMError("a file that it names can't be read; check its path and rights.")
    return f"{pacs.url.scheme}, results are {'stored there' if pacs.store_sr else 'not stored there'}"
