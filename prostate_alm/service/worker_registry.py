"""Which workers there are, as they say themselves."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update

from prostate_alm.service.database import Database
from prostate_alm.service.tables import WorkerRow, WorkerState

SILENT_SECONDS = 15.0  # a worker that beats every second and was not heard of for so long hangs or is gone


@dataclass(frozen=True)
class WorkerRecord:
    """A worker as its row says.

    Attributes:
        id: random.
        pid: its process.
        started: when.
        beat: when it was last heard of.
        state: where it stands.
        fault: why it can't score, as a stable code.
        backend: what its ensemble runs on.
    """

    id: str
    pid: int
    started: datetime
    beat: datetime
    state: WorkerState
    fault: str | None
    backend: str | None

    def is_silent(self, now: datetime) -> bool:
        """Whether it was not heard of for too long."""
        return now - self.beat > timedelta(seconds=SILENT_SECONDS)


class WorkerRegistry:
    """Rows of workers.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, worker_id: str, pid: int, now: datetime) -> None:
        """Add a worker that starts."""
        row = WorkerRow(id=worker_id, pid=pid, started=now, beat=now, state=WorkerState.STARTING)
        with self._database.writing() as session:
            session.add(row)

    def beat(self, worker_id: str, now: datetime) -> None:
        """Say that it lives."""
        self._set(worker_id, beat=now)

    def become(
        self, worker_id: str, state: WorkerState, *, now: datetime, fault: str | None = None, backend: str | None = None
    ) -> None:
        """Say where it stands."""
        self._set(worker_id, beat=now, state=state, fault=fault, backend=backend)

    def find(self, worker_id: str) -> WorkerRecord | None:
        """The worker of this id."""
        with self._database.reading() as session:
            row = session.get(WorkerRow, worker_id)
            return None if row is None else _record(row)

    def newest(self) -> WorkerRecord | None:
        """The worker that started last."""
        with self._database.reading() as session:
            row = session.scalars(select(WorkerRow).order_by(WorkerRow.started.desc()).limit(1)).first()
            return None if row is None else _record(row)

    def remove(self, worker_id: str) -> None:
        """Forget a worker that ended."""
        with self._database.writing() as session:
            session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))

    def _set(self, worker_id: str, **values: object) -> None:
        with self._database.writing() as session:
            session.execute(update(WorkerRow).where(WorkerRow.id == worker_id).values(**values))


def _record(row: WorkerRow) -> WorkerRecord:
    return WorkerRecord(row.id, row.pid, row.started, row.beat, WorkerState(row.state), row.fault, row.backend)
