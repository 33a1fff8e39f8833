"""Learning rates over a run, against the code of Cao et al. 2019 written out."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.training.schedules import WarmUpThenSteps


def cao(epoch: int) -> float:
    """Their `adjust_learning_rate`, for epochs counted from 1."""
    if epoch <= 5:
        return epoch / 5
    if epoch > 180:
        return 0.0001
    return 0.01 if epoch > 160 else 1.0


def test_two_hundred_epochs_are_the_published_schedule() -> None:
    factor = WarmUpThenSteps(max_epochs=200)
    assert [factor(epoch) for epoch in range(200)] == pytest.approx([cao(epoch + 1) for epoch in range(200)])


def test_ten_epochs_keep_the_shape() -> None:
    factor = WarmUpThenSteps(max_epochs=10)
    assert [factor(epoch) for epoch in range(10)] == pytest.approx([1.0] * 8 + [0.01, 0.0001])


@given(st.integers(1, 300), st.floats(0.0, 0.5))
def test_a_run_rises_then_falls(max_epochs: int, warm_up: float) -> None:
    factors = [WarmUpThenSteps(max_epochs, warm_up=warm_up)(epoch) for epoch in range(max_epochs)]
    assert all(0.0 < factor <= 1.0 for factor in factors)
    peak = factors.index(max(factors))
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)


def test_a_share_is_not_missed_by_a_rounding() -> None:
    """0.7 * 10 is 7.000000000000001 or 6.999999999999999 somewhere; the eighth epoch is the first below."""
    for epochs in range(10, 400, 10):
        factor = WarmUpThenSteps(epochs, warm_up=0.0, steps=(0.7,))
        assert sum(factor(epoch) == 1.0 for epoch in range(epochs)) == 7 * epochs // 10


def test_a_schedule_continues_from_its_state() -> None:
    def make() -> tuple[torch.optim.SGD, torch.optim.lr_scheduler.LambdaLR]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, WarmUpThenSteps(10, warm_up=0.5))

    optimizer, schedule = make()
    for _ in range(3):
        optimizer.step()
        schedule.step()
    resumed_optimizer, resumed = make()
    resumed_optimizer.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    resumed_optimizer.step()
    resumed.step()
    assert resumed_optimizer.param_groups[0]["lr"] == pytest.approx(0.1)  # the fifth epoch of a rise over five


@pytest.mark.parametrize(
    "arguments",
    [
        {"max_epochs": 0},
        {"warm_up": -0.1},
        {"warm_up": 1.5},
        {"step_factor": 0.0},
        {"step_factor": 2.0},
        {"steps": (1.2,)},
        {"steps": (-0.1,)},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        WarmUpThenSteps(**{"max_epochs": 10, **arguments})
