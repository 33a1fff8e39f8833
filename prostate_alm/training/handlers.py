"""What MONAI's trainer needs to train under the constraint, and to continue exactly after a kill.

The trainer stays MONAI's `SupervisedTrainer`, which calls ``loss(pred, label)``. `ALMHandler` hands the sample
indices over before that call and updates the multipliers after the optimizer's step. Handlers of one event run in
the order of the list: `PenaltyHandler` stands after the `ValidationHandler` whose metric it reads, `RunState` last.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite.engine import Engine, Events
from monai.data.utils import set_rnd
from torch import distributed
from torch.utils.data import Dataset, DistributedSampler

from prostate_alm.errors import TrainingError
from prostate_alm.files import replacing
from prostate_alm.losses import ALMLoss, ClassAwareBatchSampler
from prostate_alm.networks.weights import load_weights, save_atomically
from prostate_alm.preprocessing import PREPROCESSING_VERSION
from prostate_alm.training.constraint_log import ConstraintLog


class Stateful(Protocol):
    """Anything that can be saved and continued."""

    def state_dict(self) -> dict[str, Any]:
        """What has to be saved."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any], /) -> object:
        """Continue from it."""
        ...


class EpochSeed:
    """Make the randomness of an epoch a function of the seed and the epoch, so that a resumed run draws the same.

    Args:
        dataset: its random transforms are seeded.
        seed: of the run; each process adds its rank.
        sampler: one that shuffles by epoch: of a run with several processes, or of class-aware batches. Others are left
            to torch's seed.
    """

    def __init__(self, dataset: Dataset[Any], seed: int, sampler: object = None) -> None:
        self.dataset = dataset
        self.seed = seed
        self.sampler = sampler

    def attach(self, engine: Engine) -> None:
        """Act at the start of each epoch."""
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Engine) -> None:
        """Seed torch (shuffling, dropout) and the random transforms."""
        if isinstance(self.sampler, DistributedSampler):
            self.sampler.set_epoch(engine.state.epoch)
        if isinstance(self.sampler, ClassAwareBatchSampler):
            self.sampler.set_epoch_(engine.state.epoch)
        seed = ((self.seed * 100_003 + engine.state.epoch) * 97 + _rank()) % 2**32
        torch.manual_seed(seed)
        set_rnd(self.dataset, seed)


class ALMHandler:
    """Feed the indices to the loss and update the multipliers after each step."""

    def __init__(self, loss: ALMLoss) -> None:
        self.loss = loss

    def attach(self, engine: Engine) -> None:
        """Act around each iteration; at its start the state holds the collated batch."""
        engine.add_event_handler(Events.ITERATION_STARTED, self.feed_index)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.update_multipliers)

    def feed_index(self, engine: Engine) -> None:
        """Hand the batch's "index" to the loss."""
        batch = engine.state.batch
        assert isinstance(batch, Mapping)
        self.loss.set_index_(batch["index"])

    def update_multipliers(self) -> None:
        """Update with the violations of the forward that made the gradient (Algorithm 1)."""
        self.loss.update_multipliers_()


class PenaltyHandler:
    """Let `mu` grow when the validation metric fell; stands after the `ValidationHandler`.

    An epoch without validation leaves the schedule, and its count of epochs, as they are.
    """

    def __init__(self, loss: ALMLoss, evaluator: Engine, metric: str = "val_auc") -> None:
        self.loss = loss
        self.evaluator = evaluator
        self.metric = metric

    def attach(self, engine: Engine) -> None:
        """Act at the end of each epoch of the trainer."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Step the penalty."""
        if was_validated(self.evaluator, engine):
            self.loss.step_penalty_(float(self.evaluator.state.metrics[self.metric]))


class BestModel:
    """Keep the weights of the best validation metric in one flat file; of equals the last, which trained longer."""

    def __init__(self, network: torch.nn.Module, path: str, metric: str = "val_auc") -> None:
        self.network = network
        self.path = Path(path)
        self.metric = metric
        self.best: float | None = None
        self.epoch = 0

    def attach(self, engine: Engine) -> None:
        """Act when the evaluator is done."""
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save when the metric is better than any before."""
        value = float(engine.state.metrics[self.metric])
        if self.best is None or value >= self.best:
            self.best, self.epoch = value, engine.state.epoch
            if _rank() == 0:
                save_atomically(self.network.state_dict(), self.path)

    def state_dict(self) -> dict[str, Any]:
        """The best metric and its epoch: forgotten on resume, a worse model would overwrite the best."""
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Continue from `state_dict`."""
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]


class EpochLog:
    """Write what each epoch was made of, a JSON line each: loss terms, `mu`, multipliers, validation AUC.

    Args:
        path: of the file.
        evaluator: whose metrics are taken.
        loss: None where there is no constraint.
        metric: of the evaluator; it is in each line of an epoch that was validated.
        constraint_log: adds the quantiles of the critical patients' multipliers.
        figures: more of the evaluator's metrics; one that is no number (an FPR at as many misses as there are
            positives) is left out.
    """

    def __init__(
        self,
        path: str,
        evaluator: Engine,
        loss: ALMLoss | None = None,
        *,
        metric: str = "val_auc",
        constraint_log: ConstraintLog | None = None,
        figures: Sequence[str] = (),
    ) -> None:
        self.path = Path(path)
        self.evaluator = evaluator
        self.loss = loss
        self.metric = metric
        self.constraint_log = constraint_log
        self.figures = tuple(figures)
        self.rows: list[dict[str, float]] = []
        self._batches: list[dict[str, float]] = []

    def attach(self, engine: Engine) -> None:
        """Collect after each iteration, write after each epoch."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.collect)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.write)

    def collect(self, engine: Engine) -> None:
        """Remember the terms of this batch."""
        output = engine.state.output
        first = output[0] if isinstance(output, list) else output  # a list where the trainer decollates
        assert isinstance(first, Mapping)
        row = {"loss": float(torch.as_tensor(first["loss"]).detach())}
        if self.loss is not None:
            terms = self.loss.terms
            row |= {name: float(getattr(terms, name)) for name in ("base", "penalty", "multiplier")}
            row["violations"] = float((terms.q > 0).sum())
        self._batches.append(row)

    def write(self, engine: Engine) -> None:
        """Add this epoch's line and write the whole file, so that it never holds a torn or repeated line."""
        row: dict[str, float] = {"epoch": engine.state.epoch}
        row |= {name: sum(b[name] for b in self._batches) / len(self._batches) for name in self._batches[0]}
        if self.loss is not None:
            row |= {"mu": float(self.loss.mu), "largest_multiplier": float(self.loss.multipliers.max())}
        if self.constraint_log is not None:
            row |= self.constraint_log.quantiles()
        if was_validated(self.evaluator, engine):
            row[self.metric] = float(self.evaluator.state.metrics[self.metric])
            found = {name: float(self.evaluator.state.metrics[name]) for name in self.figures}
            row |= {name: value for name, value in found.items() if math.isfinite(value)}
        self.rows.append(row)
        self._batches = []
        if _rank() > 0:
            return
        with replacing(self.path) as temporary:
            temporary.write_text("".join(json.dumps(r) + "\n" for r in self.rows), encoding="utf-8")

    def state_dict(self) -> dict[str, Any]:
        """The lines so far."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Continue after these lines."""
        self.rows = list(state_dict["rows"])


class RunState:
    """Save everything a run consists of after each epoch, and continue from it at the start; stands last.

    Args:
        path: file of the state.
        objects: what to save, by name: model, optimizer, learning-rate schedule, loss (multipliers and `mu`),
            best score, log.
        identity: what the run is a run of (fold, loss, seed, data); a state of another run is refused.
    """

    def __init__(self, path: str, objects: Mapping[str, Stateful], identity: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.objects = dict(objects)
        made_of = {**identity, "preprocessing_version": PREPROCESSING_VERSION}
        self.identity = json.dumps(made_of, sort_keys=True, default=str)

    def attach(self, engine: Engine) -> None:
        """Restore at the start, save at the end of each epoch."""
        engine.add_event_handler(Events.STARTED, self.restore)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)

    def restore(self, engine: Engine) -> None:
        """Continue after the last saved epoch, where there is one.

        Raises:
            TrainingError: the state belongs to a run with other arguments.
        """
        if not self.path.is_file():
            return
        state = load_weights(self.path)
        if state["identity"] != self.identity:
            raise TrainingError(
                f"{self.path.name} is of a run with other arguments; choose another output folder, or delete this one "
                f"to start anew. It was: {state['identity']}. This is: {self.identity}."
            )
        for name, item in self.objects.items():
            item.load_state_dict(state["objects"][name])
        engine.state.epoch = state["epoch"]
        engine.state.iteration = state["iteration"]

    def save(self, engine: Engine) -> None:
        """Save after an epoch, from one process for all."""
        if _rank() > 0:
            return
        save_atomically(
            {
                "identity": self.identity,
                "epoch": engine.state.epoch,
                "iteration": engine.state.iteration,
                "objects": {name: item.state_dict() for name, item in self.objects.items()},
            },
            self.path,
        )


def was_validated(evaluator: Engine, trainer: Engine) -> bool:
    """Whether the trainer's epoch was validated: with `val_interval` above 1 not each is."""
    return evaluator.state.epoch == trainer.state.epoch


def _rank() -> int:
    """Number of this process among those that train together."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
