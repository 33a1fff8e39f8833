"""Studies that come image by image (STOW-RS): where they wait, and when they are complete.

A study is complete when the readers find T2, DWI and ADC in its headers and nothing new came for `quiet_seconds`.
When that does not happen within `incomplete_seconds` of its last image, it is answered fail-safe. So is a study of
which a request broke off or was refused, unless the sender brings all of it again: scanners send slices in order, and a
stack that lost its last ones looks whole. An image that comes after the answer opens the reception again: the whole
study becomes a new job that supersedes the old one.
"""

import hashlib
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import delete, select

from prostate_alm.errors import Reason
from prostate_alm.readers import Inspection, inspect_study
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


def _graver(fault: str | None, other: Reason) -> str:
    """Of two faults the one that nothing heals."""
    return Reason.SLICE_DUPLICATE if Reason.SLICE_DUPLICATE in {fault, other} else other


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
        images: how many were new.
        changed: whether anything was new, or contradicts what was there.
        names: the files of all that came, known ones too.
    """

    reception_id: str
    images: int = 0
    changed: bool = False
    names: set[str] = field(default_factory=set)


@dataclass
class Arriving:
    """What is under way to one study.

    Attributes:
        requests: how many.
        broken: whether an earlier request for it did not end well.
    """

    broken: bool
    requests: int = 0


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
        self._arriving: dict[str, Arriving] = {}
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
                arrivals[study] = self._arrival(study, token, now)
            return self._file(arrivals[study], instance, path)

    def _arrival(self, study: str, token: str, now: datetime) -> Arrival:
        """Note that images of a study arrive, which may be a new one."""
        newest = select(Reception).where(Reception.study == study, Reception.token == token)
        with self._core.database.writing() as session:
            row = session.scalars(newest.order_by(Reception.opened.desc()).limit(1)).first()
            if row is None:
                row = Reception(
                    id=secrets.token_hex(16),
                    study=study,
                    token=token,
                    opened=now,
                    last_received=now,
                    state=OPEN,
                    images=0,
                )
                session.add(row)
            self.folder_of(row.id).mkdir(mode=0o700, parents=True, exist_ok=True)
        arriving = self._arriving.setdefault(row.id, Arriving(broken=row.fault == Reason.STUDY_INCOMPLETE))
        arriving.requests += 1
        return Arrival(row.id)

    def _file(self, arrival: Arrival, instance: Instance, path: Path) -> Failure | None:
        """Put an image to the others of its study; the row is open before the file is there."""
        target = self.folder_of(arrival.reception_id) / instance.file_name
        arrival.names.add(target.name)
        is_new = not target.exists()
        if not is_new and data_set_sha256(target) == data_set_sha256(path):
            return None
        if not (is_new and arrival.changed):
            self._open(arrival, Reason.STUDY_INCOMPLETE if is_new else Reason.SLICE_DUPLICATE)
        arrival.changed = True
        if not is_new:
            return Failure.DUPLICATE
        path.rename(target)
        arrival.images += 1
        return None

    def _open(self, arrival: Arrival, fault: Reason) -> None:
        """Open a reception. Until its request has ended well it is not whole: a kill would leave it like that."""
        with self._core.database.writing() as session:
            row = session.get_one(Reception, arrival.reception_id)
            row.state, row.fault = OPEN, _graver(row.fault, fault)

    def end(self, arrivals: Collection[Arrival], *, whole: bool, token: str, now: datetime) -> None:
        """Note what an `Inbox` took; from now on its studies can be complete."""
        detail = {"source": "stow", "studies": len(arrivals), "images": sum(arrival.images for arrival in arrivals)}
        outcome = "OK" if whole else Reason.STUDY_INCOMPLETE
        with self._lock:
            for arrival in arrivals:
                self._ended(arrival, whole=whole)
            try:
                with self._core.database.writing() as session:
                    for arrival in arrivals:
                        self._note(session.get_one(Reception, arrival.reception_id), arrival, now)
                    audit.record(
                        session, event=AuditEvent.RECEIVED, actor=token, outcome=outcome, now=now, detail=detail
                    )
            finally:  # what could not be noted stays as it was opened: incomplete
                for arrival in arrivals:
                    if self._arriving[arrival.reception_id].requests == 0:
                        del self._arriving[arrival.reception_id]

    def _ended(self, arrival: Arrival, *, whole: bool) -> None:
        """A request that did not end well breaks a study; one that brings all of it again and ends well heals it."""
        arriving = self._arriving[arrival.reception_id]
        arriving.requests -= 1
        there = {path.name for path in self.folder_of(arrival.reception_id).iterdir()}
        arriving.broken = not whole or (arriving.broken and not there <= arrival.names)

    def _note(self, row: Reception, arrival: Arrival, now: datetime) -> None:
        arriving = self._arriving[row.id]
        row.images += arrival.images
        if row.fault != Reason.SLICE_DUPLICATE:
            unsure = arriving.broken or arriving.requests > 0
            row.fault = Reason.STUDY_INCOMPLETE if unsure and row.state == OPEN else None
        if arrival.changed:
            row.last_received = now

    def break_open(self, token: str, study: str | None) -> None:
        """Note that a request of a sender was refused: a study it may have been for is not whole.

        Args:
            token: name of the sender.
            study: the StudyInstanceUID it was for; None where nobody knows, then it is every open one.
        """
        of_sender = select(Reception).where(Reception.token == token, Reception.state == OPEN)
        if study is not None:
            of_sender = of_sender.where(Reception.study == hashlib.sha256(study.encode()).hexdigest())
        with self._lock, self._core.database.writing() as session:
            for row in session.scalars(of_sender):
                row.fault = _graver(row.fault, Reason.STUDY_INCOMPLETE)
                if row.id in self._arriving:
                    self._arriving[row.id].broken = True

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
        if quiet < rule.quiet_seconds or row.id in self._arriving:
            return None
        if row.fault == Reason.SLICE_DUPLICATE:
            return self._close(row, Reason.SLICE_DUPLICATE, now)
        if row.fault is None and self._is_complete(row):
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
            as_seen = (row.last_received, row.fault, row.state) == (seen.last_received, seen.fault, OPEN)
            if row.id in self._arriving or not as_seen:
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

    def close(self, *, whole: bool) -> bool:
        """End the request.

        Args:
            whole: whether all of its body came, and each instance in it was taken.

        Returns:
            Whether it brought an image of any study.
        """
        self._receptions.end(self._arrivals.values(), whole=whole, token=self._token, now=self._clock())
        return bool(self._arrivals)
