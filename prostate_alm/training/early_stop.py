"""End a member whose validation AUC has not risen for long, at the same epoch whether it was interrupted or not."""

from typing import Any

from ignite.engine import Engine, Events

from prostate_alm.errors import ArgumentError
from prostate_alm.training.handlers import was_validated


class EarlyStop:
    """Stop the trainer after `patience` validations in a row without a better metric; an equal one is not better.

    Stands after the `ValidationHandler` and before `RunState`, which saves its count. MONAI's `EarlyStopHandler`
    forgets it on a resume.

    Args:
        evaluator: whose metric is watched.
        patience: validations; 0 never stops.
        metric: its name.

    Raises:
        ArgumentError: `patience` is negative.
    """

    def __init__(self, evaluator: Engine, patience: int, metric: str = "val_auc") -> None:
        if patience < 0:
            raise ArgumentError(f"`patience` must be at least 0 (never stop early), got {patience}.")
        self.evaluator = evaluator
        self.patience = patience
        self.metric = metric
        self.best: float | None = None
        self.waited = 0

    def attach(self, engine: Engine) -> None:
        """Count after each epoch of the trainer; stay stopped where a resumed run had stopped."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.count)
        engine.add_event_handler(Events.EPOCH_STARTED, self.stop)  # STARTED, where the state is restored, is too early

    def count(self, engine: Engine) -> None:
        """Count this validation, and stop after the last one to wait for."""
        if not was_validated(self.evaluator, engine):
            return
        value = float(self.evaluator.state.metrics[self.metric])
        if self.best is None or value > self.best:
            self.best, self.waited = value, 0
        else:
            self.waited += 1
        self.stop(engine)

    def stop(self, engine: Engine) -> None:
        """End the run where it has waited long enough."""
        if 0 < self.patience <= self.waited:
            engine.terminate()

    def state_dict(self) -> dict[str, Any]:
        """The best metric, and for how many validations there was no better one."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Continue from `state_dict`."""
        self.best, self.waited = state_dict["best"], state_dict["waited"]
