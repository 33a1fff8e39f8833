"""Kill the service at random moments while studies come, and see that each study is answered once, and rightly.

    python benchmarks/service_kills.py [--kills 100] [--seed 1]

`prostate-alm serve` (SQLite, three members of the bundle's network with random weights) gets one study after the other,
of synthetic patients as DICOM zips. Meanwhile its worker, its API process, or both at once are killed (SIGKILL) at
random moments, at their starts too, and started again. The client sends what was not acknowledged once more, under the
same `Idempotency-Key`. At the end every study that was acknowledged must have

- one job, one answer, and one row each in the audit that it was accepted and answered;
- the logits of a service that nobody killed, or a fail-safe answer that says that its workers were lost;

and the database must be whole. Exit status 1 if not.
"""

import argparse
import io
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from running_service import RunningService, children_of, free_port, full_size_ensemble, numbered, serving, start, until
from sqlalchemy import select, text

from prostate_alm.benchmark.execution import commit, machine
from prostate_alm.datasets.synthetic.cohort import CohortPlan
from prostate_alm.datasets.synthetic.dicom_writer import write_dicom_study
from prostate_alm.datasets.synthetic.patient import synthesize_study
from prostate_alm.errors import Reason
from prostate_alm.service.database import Database
from prostate_alm.service.intake import PASSING
from prostate_alm.service.tables import Answer, Audit, Job, JobKind, JobState

MEMBERS, PATIENTS = 3, 3
TARGETS = ("worker", "server", "both")
LONGEST_PAUSE = 20.0  # s between two kills: twice what a worker takes to be ready
STUDY_SECONDS = 1.5  # between two studies
SETTINGS = {"requests_per_minute": 100_000, "deadline_seconds": 900, "free_disk_bytes": 0}
TOLERANCE = 1e-6  # logits
PASSING_STATUSES = {429, 500, 503}  # of a service that is busy or going down
LOST = frozenset({Reason.WORKER_LOST, Reason.TIMEOUT})
"""Reasons of a fail-safe answer that kills explain."""


@dataclass(frozen=True)
class Sent:
    """A study that the service acknowledged: which patient's, and its job."""

    patient: int
    job_id: str


@dataclass
class Stream:
    """Sends one study after the other until it is told to stop.

    Attributes:
        service: where to.
        zips: of each patient.
        sent: what was acknowledged.
        again: how often something had to be sent again.
        refused: what the service said to a study that it will never take; ends the stream.
    """

    service: RunningService
    zips: Sequence[bytes]
    sent: list[Sent] = field(default_factory=list)
    again: int = 0
    refused: str = ""

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Send for as long as the block runs; the last study is sent until it is acknowledged."""
        stop = threading.Event()
        thread = threading.Thread(target=self._send_all, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _send_all(self, stop: threading.Event) -> None:
        while not stop.wait(STUDY_SECONDS):
            number = len(self.sent)
            patient = number % len(self.zips)
            self.sent.append(Sent(patient, self._send(numbered(self.zips[patient], number), f"study-{number}")))

    def _send(self, content: bytes, key: str) -> str:
        while True:
            with self.service.client(headers={"Idempotency-Key": key}) as client:
                try:
                    reply = client.post("/v1/studies", files={"file": ("study.zip", content)})
                except httpx2.TransportError:
                    reply = None
            if reply is not None and reply.status_code in {httpx2.codes.OK, httpx2.codes.ACCEPTED}:
                return str(reply.json()["id"])
            if reply is not None and reply.status_code not in PASSING_STATUSES:
                self.refused = f"{reply.status_code} {reply.text}"
                raise SystemExit(self.refused)
            self.again += 1
            time.sleep(0.2)


@dataclass
class Killer:
    """Kills and starts again.

    Attributes:
        ensemble: of the service.
        service: the one that runs now.
        process: its API.
        kills: by target.
        at_work: how many of them met a job that was being done.
    """

    ensemble: Path
    service: RunningService
    process: "subprocess.Popen[bytes]"
    kills: Counter[str] = field(default_factory=Counter)
    at_work: int = 0

    def kill_(self, target: str) -> None:
        """Kill once; a server that died is started again, at the same port."""
        at_work = _at_work(self.service.storage)
        if target == "worker":
            if not self._kill_worker():
                return
        elif target == "server":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.kills[target] += 1
        self.at_work += at_work
        if target != "worker":
            self.process.wait()
            port = int(self.service.url.rpartition(":")[2])
            self.service, self.process = start(self.ensemble, self.service.storage, port=port, **SETTINGS)
            until(self.service, self.process, "live")

    def _kill_worker(self) -> bool:
        """Whether there was one."""
        workers = children_of(self.process.pid)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        return bool(workers)


def _at_work(storage: Path) -> bool:
    """Whether a worker holds a job."""
    database = Database(f"sqlite:///{storage / 'triage.db'}")
    with database.reading() as session:
        found = session.scalar(select(Job.id).where(Job.state == JobState.RUNNING).limit(1)) is not None
    database.close()
    return found


def faults(database: Database, sent: Sequence[Sent], reference: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong: studies lost, answered twice or otherwise than by a service that nobody killed.

    Args:
        database: of the service, after its end.
        sent: what it acknowledged.
        reference: the right answer for each patient.
    """
    with database.reading() as session:
        jobs = {job.id: job for job in session.scalars(select(Job).where(Job.kind == JobKind.TRIAGE))}
        answers = {answer.job_id: answer.recorded for answer in session.scalars(select(Answer))}
        events = Counter((row.job_id, row.event) for row in session.scalars(select(Audit)) if row.job_id in jobs)
        found = [] if _is_whole(database) else ["the database is damaged"]
    ends = {(job_id, event) for job_id in jobs for event in ("ACCEPTED", "ANSWERED")}
    found += [f"{events[end]} rows of {end[1]}" for end in sorted(ends) if events[end] != 1]
    found += [f"a job that did not end: {job.state}" for job in jobs.values() if job.state != JobState.DONE]
    found += ["a job without an answer" for job_id in jobs if job_id not in answers]
    found += _lost_or_doubled(jobs, answers, sent)
    return found + [
        problem
        for one in sent
        if one.job_id in answers and (problem := _wrong(answers[one.job_id], reference[one.patient]))
    ]


def _is_whole(database: Database) -> bool:
    if not database.is_sqlite:
        return True
    with database.engine.connect() as connection:
        return connection.execute(text("pragma integrity_check")).scalar() == "ok"


def _lost_or_doubled(
    jobs: Mapping[str, Job], answers: Mapping[str, Mapping[str, Any]], sent: Sequence[Sent]
) -> list[str]:
    """Each acknowledged study is a job of its own; another job of its content only where that one ended by a fault."""
    found = ["an acknowledged study without a job" for one in sent if one.job_id not in jobs]
    found += ["two studies with one job"] * (len(sent) - len({one.job_id for one in sent}))
    by_content: defaultdict[str, list[Job]] = defaultdict(list)
    for job in sorted(jobs.values(), key=lambda job: job.received):
        by_content[job.content_sha256].append(job)
    for same in by_content.values():
        earlier = [set(answers.get(job.id, {}).get("reasons", ())) for job in same[:-1]]
        found += ["two jobs for one study" for reasons in earlier if PASSING.isdisjoint(reasons)]
    if len(by_content) > len(sent):
        found.append(f"{len(by_content) - len(sent)} jobs that nobody asked for")
    return found


def _wrong(answer: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """How an answer differs from the right one; empty when it does not, or says that the kills cost it."""
    if answer["basis"] == "FAILSAFE":
        return "" if LOST.issuperset(answer["reasons"]) else f"fail-safe: {' '.join(answer['reasons'])}"
    logits, expected = (np.array([one["logit"], *one["member_logits"]], dtype=float) for one in (answer, right))
    if logits.shape != expected.shape or np.abs(logits - expected).max() > TOLERANCE:
        return "other logits"
    return "" if answer["recommendation"] == right["recommendation"] else "another recommendation"


def patient_zips(folder: Path) -> list[bytes]:
    """Synthetic patients, each as a DICOM zip whose comment holds a number."""
    zips = []
    for plan in CohortPlan(patients=PATIENTS, seed=5, difficulty="easy").of_split("training")[:PATIENTS]:
        study, truth = synthesize_study(plan)
        write_dicom_study(study, truth, folder / plan.key)
        with io.BytesIO() as packed:
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                for path in sorted((folder / plan.key).iterdir()):
                    archive.write(path, path.name)
                archive.comment = b"00000000"
            zips.append(packed.getvalue())
    return zips


def reference_answers(ensemble: Path, zips: Sequence[bytes], storage: Path) -> list[dict[str, Any]]:
    """What a service that nobody kills answers."""
    with serving(ensemble, storage, **SETTINGS) as service, service.client() as client:
        replies = [client.post("/v1/studies", params={"wait": 150}, files={"file": ("s", one)}) for one in zips]
    answers = [reply.json() for reply in replies]
    if any(reply.status_code != httpx2.codes.OK or reply.json()["basis"] != "MODEL" for reply in replies):
        raise SystemExit(f"the undisturbed service did not score: {[one.get('reasons') for one in answers]}")
    return answers


def until_all_done(service: RunningService, sent: Sequence[Sent]) -> None:
    """Wait for the answer of every study."""
    with service.client() as client:
        for one in sent:
            while client.get(f"/v1/studies/{one.job_id}", params={"wait": 60}).status_code == httpx2.codes.ACCEPTED:
                pass


def outcomes(database: Database) -> dict[str, int]:
    """Answers by what they rest on."""
    with database.reading() as session:
        answers = [answer.recorded for answer in session.scalars(select(Answer))]
    return dict(Counter(f"{one['basis']} {' '.join(one['reasons'])}".strip() for one in answers))


def run(place: Path, *, kills: int, seed: int) -> dict[str, Any]:
    """Kill as often, and say what came of it."""
    rng = random.Random(seed)  # noqa: S311 - moments, no secrets
    ensemble, zips = full_size_ensemble(place / "ensemble", members=MEMBERS), patient_zips(place / "patients")
    reference = reference_answers(ensemble, zips, place / "reference")
    service, process = start(ensemble, place / "storage", port=free_port(), **SETTINGS)
    killer, stream = Killer(ensemble, service, process), Stream(service, zips)
    try:
        until(service, process, "live")
        with stream.flowing():
            while killer.kills.total() < kills and not stream.refused:
                time.sleep(rng.uniform(0, LONGEST_PAUSE))
                killer.kill_(rng.choice(TARGETS))
                print(f"{killer.kills.total()} kills, {len(stream.sent)} studies sent", flush=True)
        if stream.refused:
            raise SystemExit(f"a study was refused: {stream.refused}")
        until_all_done(killer.service, stream.sent)
    finally:
        killer.process.terminate()
        killer.process.wait(60)
    database = Database(f"sqlite:///{place / 'storage' / 'triage.db'}")
    found = {
        "kills": dict(killer.kills),
        "kills_while_a_job_was_done": killer.at_work,
        "studies": len(stream.sent),
        "sent_again": stream.again,
        "answers": outcomes(database),
        "faults": dict(Counter(faults(database, stream.sent, reference))),
    }
    database.close()
    return found


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "service_kills.json")
    options = parser.parse_args()
    head = {
        "command": f"python benchmarks/service_kills.py --kills {options.kills} --seed {options.seed}",
        "commit": commit(),
        "machine": machine(),
    }
    load, began = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="service-kills-") as place:
        found = run(Path(place), kills=options.kills, seed=options.seed)
    head |= {"load_average": round(load, 2), "seconds": round(time.monotonic() - began)}
    options.out.write_text(json.dumps(head | found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))
    if found["faults"]:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
