"""Show a member's `epochs.jsonl` in TensorBoard or MLflow; the file stays the truth, and no epoch appears twice."""

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from torch import distributed

from prostate_alm.errors import ArgumentError, TrainingError
from prostate_alm.training.constraint_log import ConstraintLog
from prostate_alm.training.handlers import EpochLog

KINDS = ("tensorboard", "mlflow", "none")
Row = Mapping[str, float]


class Tracker(Protocol):
    """Something that shows rows."""

    def write(self, rows: Sequence[Row], multipliers: torch.Tensor) -> None:
        """Show all epochs of a run so far: `rows`, and ``[E, P]`` the critical patients' multipliers."""
        ...

    def finish(self) -> None:
        """End when the member is trained."""
        ...


class TensorBoardTracker:
    """Event files below a folder, one scalar a figure and one histogram of multipliers an epoch.

    The first call of a process deletes what an earlier process wrote here and writes all epochs: event files can't be
    corrected, and what a killed process wrote of an unfinished epoch would stand in them twice.

    Args:
        folder: of the event files; nothing else may lie in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: Any = None
        self._written = 0

    def write(self, rows: Sequence[Row], multipliers: torch.Tensor) -> None:
        """Show the epochs that this process has not shown, and force them to the disk."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - takes a second, and is not always wanted

        if self._writer is None:
            for old in self.folder.glob("events.out.tfevents.*"):
                old.unlink()
            self._writer = SummaryWriter(str(self.folder))
        for row in rows[self._written :]:
            epoch = int(row["epoch"])
            for name, value in row.items():
                if name != "epoch":
                    self._writer.add_scalar(name, value, epoch)
            if epoch <= len(multipliers):
                self._writer.add_histogram("multipliers", multipliers[epoch - 1], epoch)
        self._written = len(rows)
        self._writer.flush()

    def finish(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class MLflowTracker:
    """One MLflow run a member, found again by its folder; what stands there is not logged again.

    `MLFLOW_TRACKING_URI` names the server; without it the runs go into `mlflow.db` (SQLite) beside the members.

    Args:
        folder: of the member.
        parameters: what the run is a run of.

    Raises:
        TrainingError: MLflow is not installed.
    """

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        try:
            from mlflow import MlflowClient  # noqa: PLC0415 - an extra
        except ImportError:
            raise TrainingError(
                "`tracker: mlflow` needs MLflow, which is not installed; `pip install prostate-alm[mlflow]`, or take "
                "`tracker: tensorboard`."
            ) from None
        uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder.absolute().parent / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri)
        with _one_at_a_time(folder.absolute().parent):
            self._run_id = self._found_or_created(folder, parameters)

    def write(self, rows: Sequence[Row], multipliers: torch.Tensor) -> None:
        """Log what the run does not hold yet."""
        from mlflow.entities import Metric  # noqa: PLC0415

        names = sorted({name for row in rows for name in row if name != "epoch"})
        held = {name: {m.step for m in self._client.get_metric_history(self._run_id, name)} for name in names}
        new = [
            Metric(name, value, 0, int(row["epoch"]))
            for row in rows
            for name, value in row.items()
            if name != "epoch" and int(row["epoch"]) not in held[name]
        ]
        if new:
            self._client.log_batch(self._run_id, metrics=new)

    def finish(self) -> None:
        """Say that the run is finished; one that was killed stands as running until it is resumed."""
        self._client.set_terminated(self._run_id)

    def _found_or_created(self, folder: Path, parameters: Mapping[str, Any]) -> str:
        from mlflow.entities import Param  # noqa: PLC0415

        identity = hashlib.sha256(str([str(folder.absolute()), sorted(parameters.items())]).encode()).hexdigest()
        experiment = self._client.get_experiment_by_name("prostate-alm")
        number = experiment.experiment_id if experiment else self._client.create_experiment("prostate-alm")
        found = self._client.search_runs([number], f"tags.prostate_alm_member = '{identity}'")
        if found:
            return found[0].info.run_id
        run = self._client.create_run(number, tags={"prostate_alm_member": identity}, run_name=folder.name)
        held = [Param(name, str(value)) for name, value in parameters.items()]
        self._client.log_batch(run.info.run_id, params=held)
        return run.info.run_id


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Members begin together, and MLflow makes its tables and the experiment without a look at who else does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".mlflow.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Tracking:
    """Show each epoch once it is logged; stands after `EpochLog` and `ConstraintLog` and before `RunState`.

    Args:
        kind: tensorboard, mlflow or none.
        folder: of the member.
        epoch_log: gives the rows.
        constraint_log: gives the multipliers.
        parameters: what the run is a run of; MLflow keeps it.

    Raises:
        ArgumentError: an unknown kind.
        TrainingError: MLflow is asked for and not installed.
    """

    def __init__(
        self,
        kind: str,
        folder: str,
        *,
        epoch_log: EpochLog,
        constraint_log: ConstraintLog,
        parameters: Mapping[str, Any],
    ) -> None:
        if kind not in KINDS:
            raise ArgumentError(f"`tracker` is {kind!r}. Available: {', '.join(KINDS)}.")
        self.epoch_log, self.constraint_log = epoch_log, constraint_log
        self._tracker: Tracker | None = None
        first = not (distributed.is_available() and distributed.is_initialized() and distributed.get_rank() > 0)
        if kind == "tensorboard" and first:
            self._tracker = TensorBoardTracker(Path(folder) / "tensorboard")
        elif kind == "mlflow" and first:
            self._tracker = MLflowTracker(Path(folder), parameters)

    def attach(self, engine: Engine) -> None:
        """Act after each epoch, and at the end."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        if self._tracker is not None:
            engine.add_event_handler(Events.COMPLETED, self._tracker.finish)

    def __call__(self) -> None:
        """Show what there is."""
        if self._tracker is not None:
            self._tracker.write(self.epoch_log.rows, self.constraint_log.multipliers)
