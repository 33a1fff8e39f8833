"""Studies that come image by image (STOW-RS): where they wait, and when they are complete.

A study is complete when the readers find T2, DWI and ADC in its headers and nothing new came for `quiet_seconds`.
When that does not happen within `incomplete_seconds` of its last image, it is answered fail-safe. An image that comes
after the answer opens the reception again: the whole study becomes a new job that supersedes the old one.
"""

import hashlib
import os
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import delete, select

from prostate_alm.errors import Reason
from prostate_alm.readers import Inspection, inspect_study
from prostate_alm.readers.archive import Limits
from prostate_alm.service import audit
from prostate_alm.service.audit import AuditEvent
from prostate_alm.service.core import Core
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.identities import identity_of
from prostate_alm.service.instances import Failure, Instance, content_sha256, data_set_sha256
from prostate_alm.service.intake import QueueFullError
from prostate_alm.service.tables import Reception
from prostate_alm.study import Role

logger = structlog.get_logger()

OPEN, CLOSED = "OPEN", "CLOSED"
INCURABLE = frozenset({Reason.MULTIPLE_PATIENTS, Reason.INPUT_UNREADABLE, Reason.SLICE_DUPLICATE})
"""Refusals that no further image takes back: the study is handed on, and its answer tells the reason."""


def is_complete(inspection: Inspection) -> bool:
    """Whether there is nothing to wait for: all three series are there, or the study is spoilt for good."""
    if inspection.refusal is not None:
        return inspection.refusal.reason in INCURABLE
    return {series.role for series in inspection.chosen} == set(Role)


@dataclass
class Arrival:
    """What one request brings of one study.

    Attributes:
        reception_id: where it goes.
        before: how many images were there before.
        images: how many were new.
        changed: whether anything was new, or contradicts what was there.
    """

    reception_id: str
    before: int = 0
    images: int = 0
    changed: bool = False


class Receptions:
    """Takes images, and hands complete studies to the intake.

    Args:
        core: the service's parts.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._root = core.storage.root / "receptions"
        self._root.mkdir(mode=0o700, exist_ok=True)
        self._lock = threading.Lock()  # over files, rows and what arrives
        self._arriving: Counter[str] = Counter()
        self._inspected: dict[str, tuple[datetime, bool]] = {}

    def inbox(self, token: str, clock: Callable[[], datetime]) -> "Inbox":
        """What takes the images of one request.

        Args:
            token: name of the sender. What two senders bring is never mixed.
            clock: gives the time.
        """
        return Inbox(self, token, clock)

    def take(
        self, instance: Instance, path: Path, arrivals: dict[str, Arrival], *, token: str, now: datetime
    ) -> Failure | None:
        """Take an image for an `Inbox`, which remembers in `arrivals` by study what came."""
        study = hashlib.sha256(instance.study.encode()).hexdigest()
        with self._lock:
            if study not in arrivals:
                arrivals[study] = Arrival(self._reception_for(study, token, now))
                self._arriving[arrivals[study].reception_id] += 1
            return self._file(arrivals[study], instance, path)

    def _reception_for(self, study: str, token: str, now: datetime) -> str:
        """The reception of a study, a new one for an unknown study."""
        newest = (
            select(Reception.id)
            .where(Reception.study == study, Reception.token == token)
            .order_by(Reception.opened.desc())
            .limit(1)
        )
        with self._core.database.writing() as session:
            known = session.scalar(newest)
            if known is not None:
                return known
            row = Reception(
                id=secrets.token_hex(16), study=study, token=token, opened=now, last_received=now, state=OPEN, images=0
            )
            session.add(row)
        self.folder_of(row.id).mkdir(mode=0o700, parents=True)
        return row.id

    def _file(self, arrival: Arrival, instance: Instance, path: Path) -> Failure | None:
        """Put an image to the others of its study; the row is open before the file is there."""
        target = self.folder_of(arrival.reception_id) / instance.file_name
        is_new = not target.exists()
        if not is_new and data_set_sha256(target) == data_set_sha256(path):
            return None
        if is_new and arrival.before + arrival.images >= Limits().files:
            return Failure.OUT_OF_RESOURCES
        if not (is_new and arrival.changed):
            self._open(arrival, None if is_new else Reason.SLICE_DUPLICATE)
        arrival.changed = True
        if not is_new:
            return Failure.DUPLICATE
        path.rename(target)
        arrival.images += 1
        return None

    def _open(self, arrival: Arrival, fault: Reason | None) -> None:
        """Open a reception, if it is closed, and note its fault for good."""
        with self._core.database.writing() as session:
            row = session.get_one(Reception, arrival.reception_id)
            row.state, row.fault = OPEN, fault or row.fault
            arrival.before = row.images

    def end(self, arrivals: Collection[Arrival], *, token: str, now: datetime) -> None:
        """Note what an `Inbox` took; from now on its studies can be complete."""
        with self._lock:
            try:
                with self._core.database.writing() as session:
                    for arrival in arrivals:
                        row = session.get_one(Reception, arrival.reception_id)
                        row.images += arrival.images
                        if arrival.changed:
                            row.last_received = now
                    images, detail = sum(one.images for one in arrivals), {"source": "stow", "studies": len(arrivals)}
                    audit.record(
                        session, event=AuditEvent.RECEIVED, actor=token, outcome="OK", now=now,
                        detail=detail | {"images": images},
                    )  # fmt: skip
            finally:
                self._arriving -= Counter(one.reception_id for one in arrivals)

    def close_ripe(self, now: datetime) -> list[str]:
        """Hand on the studies that are complete or late, the oldest first; returns the ids of their jobs."""
        with self._core.database.reading() as session:
            rows = list(
                session.scalars(select(Reception).where(Reception.state == OPEN).order_by(Reception.last_received))
            )
        jobs: list[str] = []
        for row in rows:
            try:
                job_id = self._close_if_ripe(row, now)
            except QueueFullError:
                break  # the others' turn comes again
            except Exception as error:  # what is wrong with one study must hold up no other
                logger.error("a study could not be handed on", error=describe_error(error))
                continue
            jobs += [] if job_id is None else [job_id]
        return jobs

    def _close_if_ripe(self, row: Reception, now: datetime) -> str | None:
        rule = self._core.settings.complete
        quiet = (now - row.last_received).total_seconds()
        if quiet < rule.quiet_seconds or self._arriving[row.id] > 0:
            return None
        if row.fault is not None:
            return self._close(row, Reason(row.fault), now)
        if self._is_complete(row):
            return self._close(row, None, now)
        return self._close(row, Reason.STUDY_INCOMPLETE, now) if quiet >= rule.incomplete_seconds else None

    def _is_complete(self, row: Reception) -> bool:
        """What the readers say of the headers; asked once for each state of the study."""
        known = self._inspected.get(row.id)
        if known is None or known[0] != row.last_received:
            known = row.last_received, is_complete(inspect_study(self.folder_of(row.id)))
            self._inspected[row.id] = known
        return known[1]

    def _close(self, seen: Reception, failure: Reason | None, now: datetime) -> str | None:
        """Make a job of a study, unless something came since it was looked at."""
        with self._lock:
            with self._core.database.reading() as session:
                row = session.get_one(Reception, seen.id)
            if self._arriving[row.id] > 0 or row.last_received != seen.last_received or row.state != OPEN:
                return None
            job_id = self._accept(row, failure, now)
            with self._core.database.writing() as session:
                row = session.get_one(Reception, seen.id)
                row.state, row.job_id = CLOSED, job_id
            self._inspected.pop(seen.id, None)
            return job_id

    def _accept(self, row: Reception, failure: Reason | None, now: datetime) -> str:
        """The images stay here too, as links, for those that may follow."""
        incoming = self._core.storage.new_incoming()
        images, here = incoming / "dicom", self.folder_of(row.id)
        images.mkdir(mode=0o700)
        for path in sorted(here.iterdir()) if here.is_dir() else []:
            os.link(path, images / path.name)
        if not any(images.iterdir()):  # somebody deleted them: no other study's answer may be found for nothing
            failure, label = Reason.STUDY_INCOMPLETE, row.id
        else:
            label = failure or "dicom"
        return self._core.intake.accept(
            incoming,
            source="stow",
            token=row.token,
            content_sha256=content_sha256(images, label=label),
            identity=identity_of(images),
            failure=failure,
            supersedes=row.job_id,
            now=now,
        )

    def folder_of(self, reception_id: str) -> Path:
        """Where a study's images wait."""
        return self._root / reception_id / "dicom"

    def sweep(self, now: datetime) -> None:
        """Delete what came before the time that images are kept, and folders that no row knows."""
        kept = timedelta(hours=self._core.settings.retention_hours)
        with self._lock:
            with self._core.database.writing() as session:
                old = Reception.state == CLOSED, Reception.last_received <= now - kept
                session.execute(delete(Reception).where(*old))
                known = set(session.scalars(select(Reception.id)))
            for folder in self._root.iterdir():
                if folder.name not in known:
                    shutil.rmtree(folder, ignore_errors=True)


class Inbox:
    """Takes the images of one request; no study they belong to is closed before it is.

    Args:
        receptions: where they go.
        token: name of the sender.
        clock: gives the time.
    """

    def __init__(self, receptions: Receptions, token: str, clock: Callable[[], datetime]) -> None:
        self._receptions = receptions
        self._token = token
        self._clock = clock
        self._arrivals: dict[str, Arrival] = {}

    def take(self, instance: Instance, path: Path) -> Failure | None:
        """Put an image to the others of its study, or say why not; what is no MR image is taken and not kept."""
        if not instance.is_image:
            return None
        return self._receptions.take(instance, path, self._arrivals, token=self._token, now=self._clock())

    def close(self) -> None:
        """End the request, whether it came whole or not."""
        self._receptions.end(self._arrivals.values(), token=self._token, now=self._clock())
