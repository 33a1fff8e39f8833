"""A member that no longer gets better ends early, at the same epoch with and without an interruption."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ignite.engine import Engine, Events
from monai.bundle.workflows import ConfigWorkflow

from prostate_alm.errors import ArgumentError
from prostate_alm.networks.weights import load_weights
from prostate_alm.training.early_stop import EarlyStop

# no step and no batch statistics: every validation of this member is equal
STILL: dict[str, Any] = {"learning_rate": 0.0, "network_def#normalise": False, "patience": 2, "max_epochs": 6}
Member = Callable[..., ConfigWorkflow]


def epochs_trained(aucs: list[float], patience: int, interval: int = 1) -> int:
    """Epochs of a trainer whose validations give `aucs`, one each `interval` epochs."""
    evaluator, trainer = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)

    def validate(engine: Engine) -> None:
        evaluator.state.epoch = engine.state.epoch
        evaluator.state.metrics = {"val_auc": aucs[engine.state.epoch // interval - 1]}

    trainer.add_event_handler(Events.EPOCH_COMPLETED(every=interval), validate)
    EarlyStop(evaluator, patience).attach(trainer)
    return trainer.run([0], max_epochs=len(aucs) * interval).epoch


def test_it_stops_after_so_many_validations_without_a_better_one() -> None:
    assert epochs_trained([0.5, 0.7, 0.6, 0.7, 0.9], patience=2) == 4  # an equal one is no better one
    assert epochs_trained([0.5, 0.7, 0.6, 0.8, 0.7], patience=2) == 5
    assert epochs_trained([0.5, 0.4], patience=1) == 2


def test_no_patience_never_stops() -> None:
    assert epochs_trained([0.5] * 9, patience=0) == 9


def test_epochs_without_validation_do_not_count() -> None:
    assert epochs_trained([0.5, 0.5, 0.5, 0.5], patience=2, interval=3) == 9


def test_a_negative_patience_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`patience` must be at least 0"):
        EarlyStop(Engine(lambda engine, batch: None), -1)


def test_a_member_stops_at_the_same_epoch_after_a_kill_and_stays_stopped(
    member_workflow: Member, tmp_path: Path, runs: SimpleNamespace
) -> None:
    runs.kill(member_workflow(tmp_path, **STILL), 8)  # in the third epoch, the last one
    for _ in range(2):  # the second time it has stopped before
        workflow = member_workflow(tmp_path, **STILL)
        workflow.run()
        workflow.finalize()
        assert [json.loads(line)["epoch"] for line in (tmp_path / "epochs.jsonl").read_text().splitlines()] == [1, 2, 3]
        assert load_weights(tmp_path / "run_state.pt")["objects"]["early_stop"]["waited"] == 2
