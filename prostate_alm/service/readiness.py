"""Whether a study sent now would be scored: looked at in the background, so that a probe never waits for a disk."""

from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import update

from prostate_alm.service.core import Core
from prostate_alm.service.tables import WorkerRow, WorkerState
from prostate_alm.service.worker_registry import WorkerRecord

EVERY_SECONDS = 2.0
STALE = timedelta(seconds=20)


class Fault(StrEnum):
    """Why a study sent now would not be scored. The values are part of the API."""

    NOT_CHECKED = "NOT_CHECKED"
    DATABASE_UNREACHABLE = "DATABASE_UNREACHABLE"
    STORAGE_UNWRITABLE = "STORAGE_UNWRITABLE"
    STORAGE_LOW = "STORAGE_LOW"
    WORKER_ABSENT = "WORKER_ABSENT"
    WORKER_STARTING = "WORKER_STARTING"
    WORKER_SILENT = "WORKER_SILENT"
    ENSEMBLE_INVALID = "ENSEMBLE_INVALID"


class Readiness:
    """What the last look found.

    A worker counts as ready when it has verified every file of the ensemble, computes the stored golden logits and
    beats; see `worker.py`.

    Args:
        core: the database where workers beat and answers are stored, and the folder where studies are kept.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._found: tuple[datetime, list[Fault]] | None = None

    def faults(self, now: datetime) -> list[Fault]:
        """What the last look found; nothing is believed that is old."""
        if self._found is None or now - self._found[0] > STALE:
            return [Fault.NOT_CHECKED]
        return self._found[1]

    def check(self, now: datetime) -> None:
        """Look again."""
        self._found = (now, [*self._storage_faults(), *self._worker_faults(now)])

    def _storage_faults(self) -> list[Fault]:
        storage = self._core.storage
        try:
            storage.check_writable()
            return [Fault.STORAGE_LOW] if storage.free_bytes() < self._core.settings.free_disk_bytes else []
        except OSError:
            return [Fault.STORAGE_UNWRITABLE]

    def _worker_faults(self, now: datetime) -> list[Fault]:
        try:
            with self._core.database.writing() as session:  # takes the lock and changes nothing
                session.execute(update(WorkerRow).where(WorkerRow.id == "").values(fault=None))
            worker = self._core.workers.newest()
        except Exception:  # whatever its driver raises
            return [Fault.DATABASE_UNREACHABLE]
        fault = Fault.WORKER_ABSENT if worker is None else _fault(worker, now)
        return [] if fault is None else [fault]


def _fault(worker: WorkerRecord, now: datetime) -> Fault | None:
    if worker.is_silent(now):
        return Fault.WORKER_SILENT
    states = {WorkerState.READY: None, WorkerState.STARTING: Fault.WORKER_STARTING}
    return states.get(worker.state, Fault.ENSEMBLE_INVALID)
