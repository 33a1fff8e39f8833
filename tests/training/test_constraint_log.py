"""What the log says of a patient is what the constraint did to him, worked by hand."""

import json
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint
from prostate_alm.training.constraint_log import ConstraintLog

BATCHES = [  # logits, labels, index; patient 3 is outranked by 0.5, then by 0.25, and then by nobody within the margin
    ([1.0, 0.0, 1.5], [1, 0, 0], [3, 0, 1]),
    ([0.0, 0.25], [1, 0], [3, 2]),
    ([2.0, 0.0], [1, 0], [3, 0]),
]


def make_loss() -> ALMLoss:
    return ALMLoss(BCELoss(), RankingConstraint(0.25, "logit"), num_samples=8, mu=2.0)


def one_epoch(log: ConstraintLog, loss: ALMLoss) -> None:
    """The batches, as a trainer would go through them."""

    def step(_: Engine, batch: tuple[list[float], list[int], list[int]]) -> None:
        logits, labels, index = (torch.tensor(values) for values in batch)
        loss(logits, labels, index=index)
        loss.update_multipliers_()

    engine = Engine(step)
    log.attach(engine)
    engine.run(BATCHES, max_epochs=1)


def test_violations_are_means_and_multipliers_those_of_the_loss(tmp_path: Path) -> None:
    """The violations are 0.75, 0.5 and 0, their mean 1.25 / 3; the multiplier is 2 (0.75 + 0.5)."""
    loss = make_loss()
    log = ConstraintLog(str(tmp_path / "m.jsonl"), loss, [3, 7])
    one_epoch(log, loss)
    assert log.quantiles()["multiplier_median"] == pytest.approx(1.25)  # of 2.5 and 0
    resumed = ConstraintLog(str(tmp_path / "m.jsonl"), loss, [3, 7])
    resumed.load_state_dict(log.state_dict())
    one_epoch(resumed, loss)
    rows = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    assert [(row["epoch"], row["index"]) for row in rows] == [(1, [3, 7]), (2, [3, 7])]
    assert [row["multiplier"] for row in rows] == [[2.5, 0.0], [5.0, 0.0]]
    for row in rows:
        assert row["violation"][0] == pytest.approx(1.25 / 3, abs=1e-6)
        assert row["violation"][1] is None  # in no batch


def test_without_a_constraint_nothing_is_written(tmp_path: Path) -> None:
    log = ConstraintLog(str(tmp_path / "m.jsonl"), None, [])
    one_epoch(log, make_loss())
    assert not (tmp_path / "m.jsonl").exists()
    assert log.quantiles() == {}


@pytest.mark.parametrize("index", [[], [3, 3]])
def test_each_critical_patient_is_named_once(tmp_path: Path, index: list[int]) -> None:
    with pytest.raises(ArgumentError, match="each critical patient once"):
        ConstraintLog(str(tmp_path / "m.jsonl"), make_loss(), index)
