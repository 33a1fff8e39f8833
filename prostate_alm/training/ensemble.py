"""The members of an ensemble: what each is trained with, where its files lie, how far it is."""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from prostate_alm.errors import ArgumentError, TrainingError
from prostate_alm.parcel import write_json

POLL_SECONDS = 0.5
TORN = tuple(f"{place}.*.tmp" for place in ("", "cache/", "members/*/", "trials/*/", "trials/*/members/*/"))


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
        auc: the last validation's AUC, NaN before the first.
        done: whether it is finished.
        best_auc: the best validation's, whose weights are kept.
    """

    member: int
    epoch: int
    auc: float
    done: bool
    best_auc: float = float("nan")


class Backend(Protocol):
    """Trains members, so many at a time."""

    slots: int

    def submit(self, run: EnsembleRun, member: int) -> "Future[None]":
        """Begin to train a member, now or when a slot is free; the future raises TrainingError where it failed."""
        ...

    def close(self) -> None:
        """End what trains; each member resumes after its last epoch."""
        ...


def train_members(run: EnsembleRun, backend: Backend, *, on_progress: Callable[[MemberProgress], None]) -> None:
    """Train every member that is not finished.

    A member is one `monai.bundle run`; it resumes after its last epoch. An interruption loses no finished epoch.

    Args:
        run: what to train; it has claimed its folder.
        backend: where; whoever made it closes it.
        on_progress: called for every member now and then.

    Raises:
        TrainingError: a member failed; the message holds the first exception of its log. Finished members are kept.
    """
    running: dict[Future[None], int] = {}
    for member in range(run.members):
        if progress(run, member).done:
            on_progress(progress(run, member))
        else:
            running[backend.submit(run, member)] = member
    while running:
        ended, _ = wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED)
        for future in ended:
            member = running.pop(future)
            _check(future, run)
            on_progress(progress(run, member))
        for member in running.values():
            on_progress(progress(run, member))


def _check(ended: "Future[None]", run: EnsembleRun) -> None:
    """Raise what a member failed with, and say what is kept."""
    try:
        ended.result()
    except TrainingError as error:
        done = sum(progress(run, member).done for member in range(run.members))
        raise TrainingError(f"{error} {done} of {run.members} members are finished and kept; start it again.") from None


def progress(run: EnsembleRun, member: int) -> MemberProgress:
    """How far a member is, read from its files."""
    log, finished = run.folder(member) / "epochs.jsonl", run.folder(member) / "finished.json"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    aucs = [float(row["val_auc"]) for row in rows if "val_auc" in row]
    return MemberProgress(
        member,
        len(rows),
        aucs[-1] if aucs else float("nan"),
        finished.is_file(),
        best_auc=max(aucs, default=float("nan")),
    )


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other commands out of a folder: two would train one member. The lock ends with the process that holds it.

    What killed processes left half written is cleared away.

    Raises:
        TrainingError: another command is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another command is at work in `{folder.name}`; wait until it has ended, or take another folder."
            ) from None
        for place in TORN:
            for path in folder.glob(place):
                path.unlink(missing_ok=True)
        yield
