"""Schedules, safeguards and the ancestors of the augmented Lagrangian."""

from typing import Any

import pytest
import torch

from prostate_alm.errors import ArgumentError, LossStateError
from prostate_alm.losses import ALMLoss, BCELoss, FeasibilitySchedule, MetricSchedule, RankingConstraint, Safeguards
from prostate_alm.losses.parity import authors_2023

LOGITS, LABELS, INDEX = torch.tensor([0.0, 0.5, -1.0]), torch.tensor([1, 0, 0]), torch.tensor([2, 0, 1])
Q = 1.5 + 0.0  # max(0, 0.5 - 0 + 1) + max(0, -1 - 0 + 1), margin 1


def make_loss(**kwargs: Any) -> ALMLoss:
    return ALMLoss(BCELoss(), RankingConstraint(1.0, "logit"), **({"num_samples": 3, "mu": 0.5} | kwargs))


def step(loss: ALMLoss) -> torch.Tensor:
    value = loss(LOGITS, LABELS, index=INDEX)
    loss.update_multipliers_()
    return value


def test_a_cap_stops_a_multiplier() -> None:
    loss = make_loss(safeguards=Safeguards(multiplier_max=1.0))
    for expected in (0.5 * Q, 1.0, 1.0):
        step(loss)
        assert loss.multipliers[2].item() == pytest.approx(expected)


def test_decay_shrinks_only_what_is_visited() -> None:
    loss = make_loss(safeguards=Safeguards(multiplier_decay=0.25))
    loss.multipliers.fill_(4.0)
    step(loss)
    assert loss.multipliers.tolist() == pytest.approx([4.0, 4.0, 3.0 + 0.5 * Q])


def test_a_moving_average_updates_with_the_past_and_travels_in_the_state() -> None:
    loss = make_loss(safeguards=Safeguards(moving_average=0.5))
    step(loss)
    loss(LOGITS + torch.tensor([0.5, 0.0, 0.0]), LABELS, index=INDEX)  # q is now 1.0
    loss.update_multipliers_()
    assert loss.multipliers[2].item() == pytest.approx(0.5 * Q + 0.5 * (0.5 * Q + 0.5 * 1.0))
    other = make_loss(safeguards=Safeguards(moving_average=0.5))
    other.load_state_dict(loss.state_dict())
    step(loss)
    step(other)
    assert torch.equal(loss.multipliers, other.multipliers)


def test_a_warm_up_is_the_base_loss_alone() -> None:
    loss = make_loss(safeguards=Safeguards(warm_up_epochs=2))
    base = BCELoss()(LOGITS, LABELS)
    for _ in range(2):
        assert step(loss).item() == pytest.approx(base.item())
        assert loss.multipliers.count_nonzero() == 0
        loss.step_penalty_(0.9 - float(loss.history[0]) / 2)
        assert loss.mu.item() == 0.5
    assert step(loss) > base
    assert loss.multipliers[2] > 0


@pytest.mark.parametrize(
    ("method", "penalty", "multiplier"),
    [
        ("augmented", 0.5 / 2 * Q**2 / 2, 3.0 * Q / 2),
        ("penalty", 0.5 / 2 * Q**2 / 2, 0.0),
        ("multipliers", 0.0, 3.0 * Q / 2),
    ],
)
def test_the_ancestors_lack_a_term(method: str, penalty: float, multiplier: float) -> None:
    loss = make_loss(method=method)
    loss.multipliers.fill_(3.0)
    loss(LOGITS, LABELS, index=INDEX)
    assert loss.terms.penalty.item() == pytest.approx(penalty)
    assert loss.terms.multiplier.item() == pytest.approx(multiplier)


def test_feasibility_lets_mu_grow_until_the_violation_shrinks() -> None:
    loss = make_loss(schedule=FeasibilitySchedule(0.5), rho=3.0)
    seen = []
    for violation in (1.0, 0.8, 0.3, 0.3, 0.0, 0.0):
        loss.step_penalty_(violation)
        seen.append(loss.mu.item())
    assert seen == [0.5, 1.5, 1.5, 4.5, 4.5, 4.5]


def test_the_mean_violation_is_that_of_the_epoch() -> None:
    loss = make_loss(schedule=FeasibilitySchedule())
    with pytest.raises(LossStateError, match="no batch"):
        _ = loss.mean_violation
    step(loss)
    loss(LOGITS + torch.tensor([0.5, 0.0, 0.0]), LABELS, index=INDEX)
    loss.update_multipliers_()
    loss(LOGITS, torch.zeros(3), index=INDEX)
    loss.update_multipliers_()
    assert loss.mean_violation == pytest.approx((Q + 1.0) / 2)
    loss.step_penalty_(loss.mean_violation)
    with pytest.raises(LossStateError, match="no batch"):
        _ = loss.mean_violation


@pytest.mark.parametrize("ratio", [0.1, 2.0])
def test_mu_is_calibrated_to_the_ratio_of_gradients(ratio: float) -> None:
    loss = make_loss(rho=2.0)
    loss.calibrate_mu_(LOGITS, LABELS, ratio=ratio)
    assert loss.mu_max.item() == pytest.approx(32 * loss.mu.item(), rel=1e-5)
    gradients = []
    for method in ("base", "penalty"):
        leaf = LOGITS.clone().requires_grad_()
        value = loss.base(leaf, LABELS)
        if method == "penalty":
            value = loss(leaf, LABELS, index=INDEX) - value
        gradients.append(torch.autograd.grad(value, leaf)[0].norm())
    assert (gradients[1] / gradients[0]).item() == pytest.approx(ratio, rel=1e-5)


def test_mu_is_not_calibrated_on_a_satisfied_batch() -> None:
    with pytest.raises(ArgumentError, match="violated"):
        make_loss().calibrate_mu_(torch.tensor([9.0, 0.0]), torch.tensor([1, 0]))
    with pytest.raises(ArgumentError, match="ratio"):
        make_loss().calibrate_mu_(LOGITS, LABELS, ratio=0.0)


def test_the_state_of_another_datalist_is_refused() -> None:
    saved = make_loss(fingerprint="abc").state_dict()
    make_loss(fingerprint="abc").load_state_dict(saved)
    with pytest.raises(LossStateError, match="datalist"):
        make_loss(fingerprint="xyz").load_state_dict(saved)


@pytest.mark.parametrize(
    ("drop", "expected"),
    [(0.03, [1, 1, 2, 2, 2, 2, 2, 2, 2]), (0.06, [1, 1, 2, 4, 8, 16, 32, 32, 32])],
)
def test_the_authors_schedule_of_2023(drop: float, expected: list[float]) -> None:
    """Growth by epoch as observed when that code's block was run: grows past 0.05, once at epoch 2, cap at 32."""
    loss = authors_2023(BCELoss(), num_samples=3, mu=1e-4)
    growth = []
    for epoch in range(9):
        loss.step_penalty_(0.95 - drop * epoch)
        growth.append(round(loss.mu.item() / 1e-4))
    assert growth == expected


def test_the_authors_stop_at_a_perfect_auc_and_cap_a_large_mu_sooner() -> None:
    stopped = authors_2023(BCELoss(), num_samples=3, mu=1e-4)
    for metric in (0.5, 1.0, 0.9, 0.5, 0.1):
        stopped.step_penalty_(metric)
    assert stopped.mu.item() == pytest.approx(1e-4)
    large = authors_2023(BCELoss(), num_samples=3, mu=1e-3)
    for epoch in range(9):
        large.step_penalty_(0.9 - 0.1 * epoch)
    assert large.mu.item() == pytest.approx(8e-3)
    assert isinstance(large.constraint, RankingConstraint)
    assert large.constraint.space == "logit"


@pytest.mark.parametrize(
    "kwargs",
    [{"multiplier_max": 0.0}, {"multiplier_decay": 1.0}, {"moving_average": -0.1}, {"warm_up_epochs": -1}],
)
def test_safeguards_out_of_range_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Safeguards(**kwargs)


def test_schedules_out_of_range_are_refused() -> None:
    with pytest.raises(ArgumentError):
        MetricSchedule(-0.1)
    with pytest.raises(ArgumentError):
        FeasibilitySchedule(0.0)
