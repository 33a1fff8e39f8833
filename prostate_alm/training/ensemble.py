"""From a datalist to an ensemble: train members in parallel processes, score out of fold, set operating points."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from prostate_alm.errors import ArgumentError, TrainingError
from prostate_alm.parcel import write_json

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class EnsembleRun:
    """What to train, and where its files lie.

    Attributes:
        bundle: folder of the training bundle.
        datalist: path of `datalist.json`.
        out: folder of the run; `out/ensemble` is the result.
        members: K = repeats * folds.
        folds: F of each repeat's stratified, patient-grouped split.
        seed: of the splits and, with the member's number, of each member.
        settings: values of `configs/train.yaml` to override, such as profile, max_epochs, alm, mu.
    """

    bundle: Path
    datalist: Path
    out: Path
    members: int
    folds: int
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.folds < 2 or self.members < self.folds or self.members % self.folds:
            raise ArgumentError(
                "`members` must be a multiple of `folds` >= 2, so that each patient is scored out of fold equally "
                "often; "
                f"got {self.members} members and {self.folds} folds."
            )

    @property
    def repeats(self) -> int:
        """How often each patient is scored out of fold."""
        return self.members // self.folds

    def folder(self, member: int) -> Path:
        """Where the files of a member lie."""
        return self.out / "members" / f"member_{member:02d}"

    def arguments(self, member: int) -> dict[str, Any]:
        """Arguments of `monai.bundle run` for a member."""
        return {
            "config_file": str(self.bundle / "configs" / "train.yaml"),
            "meta_file": str(self.bundle / "configs" / "metadata.json"),
            "logging_file": str(self.bundle / "configs" / "logging.conf"),
            "bundle_root": str(self.bundle),
            "dataset_dir": str(self.datalist.parent),
            "datalist": str(self.datalist),
            "output_dir": str(self.folder(member)),
            "cache_dir": str(self.out / "cache"),
            "member": member,
            "repeats": self.repeats,
            "folds": self.folds,
            "seed": self.seed,
            **self.settings,
        }

    def claim(self) -> None:
        """Make `out` this run's folder.

        Raises:
            TrainingError: it holds a run with other arguments.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        record, path = json.loads(json.dumps(asdict(self), default=str)), self.out / "run.json"
        if path.is_file() and json.loads(path.read_text(encoding="utf-8")) != record:
            raise TrainingError(
                f"`{self.out.name}` holds a run with other arguments (see its run.json). Choose another folder, or "
                "repeat the old arguments to resume it."
            )
        write_json(path, record)


@dataclass(frozen=True)
class MemberProgress:
    """How far a member is.

    Attributes:
        member: its number.
        epoch: epochs done.
        auc: validation AUC of the last epoch, NaN before the first.
        done: whether it is finished.
    """

    member: int
    epoch: int
    auc: float
    done: bool


def train_members(run: EnsembleRun, *, workers: int, on_progress: Callable[[MemberProgress], None]) -> None:
    """Train every member that is not finished, `workers` processes at a time.

    A member is one `monai.bundle run`; it resumes after its last epoch. An interruption ends the processes and
    loses no finished epoch.

    Raises:
        TrainingError: a member failed; the message holds the first exception of its log.
    """
    waiting = [member for member in range(run.members) if not _finished(run, member)]
    for member in set(range(run.members)) - set(waiting):
        on_progress(_progress(run, member))
    running: dict[int, subprocess.Popen[bytes]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                member = waiting.pop(0)
                running[member] = _start(run, member, threads=max(1, (os.cpu_count() or 1) // workers))
            time.sleep(POLL_SECONDS)
            for member in _ended(run, running):
                write_json(run.folder(member) / "finished.json", run.arguments(member))
                del running[member]
                on_progress(_progress(run, member))
            for member in running:
                on_progress(_progress(run, member))
    finally:
        for process in running.values():
            process.terminate()
            process.wait()


def _start(run: EnsembleRun, member: int, *, threads: int) -> subprocess.Popen[bytes]:
    folder = run.folder(member)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "arguments.json", run.arguments(member))
    command = [sys.executable, "-m", "monai.bundle", "run", "--args_file", str(folder / "arguments.json")]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with (folder / "train.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=run.bundle)


def _ended(run: EnsembleRun, running: Mapping[int, subprocess.Popen[bytes]]) -> Iterator[int]:
    """Members whose process ended well.

    Raises:
        TrainingError: for one that did not.
    """
    for member, process in list(running.items()):
        if process.poll() is None:
            continue
        if process.returncode != 0:
            log = run.folder(member) / "train.log"
            raise TrainingError(
                f"member {member} stopped with exit code {process.returncode}: {_cause(log)} The whole log is {log}."
            )
        yield member


def _cause(log: Path) -> str:
    """The first exception in a log: MONAI wraps it in others, which say nothing of it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)), "no exception logged."
    )


def _finished(run: EnsembleRun, member: int) -> bool:
    return (run.folder(member) / "finished.json").is_file()


def _progress(run: EnsembleRun, member: int) -> MemberProgress:
    log = run.folder(member) / "epochs.jsonl"
    rows = log.read_text(encoding="utf-8").splitlines() if log.is_file() else []
    auc = float(json.loads(rows[-1])["val_auc"]) if rows else float("nan")
    return MemberProgress(member, len(rows), auc, _finished(run, member))
