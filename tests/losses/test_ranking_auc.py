"""The mini-batch AUC loss against a double loop."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import MiniBatchAUCLoss

logits = st.lists(st.floats(-30, 30), min_size=1, max_size=8)


def sigmoid(z: float) -> float:
    return 1 / (1 + math.exp(-z))


@given(logits, logits)
def test_it_is_the_mean_over_pairs(p: list[float], n: list[float]) -> None:
    z = torch.tensor(p + n, dtype=torch.float64)
    y = torch.tensor([1] * len(p) + [0] * len(n))
    total = sum((1 - (sigmoid(a) - sigmoid(b))) ** 2 for a in p for b in n)
    assert MiniBatchAUCLoss("sum")(z, y).item() == pytest.approx(total, rel=1e-9, abs=1e-15)
    assert MiniBatchAUCLoss()(z, y).item() == pytest.approx(total / (len(p) * len(n)), rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("label", [0, 1])
def test_a_batch_of_one_class_has_no_pairs(reduction: str, label: int) -> None:
    z = torch.tensor([1.0, -2.0], requires_grad=True)
    value = MiniBatchAUCLoss(reduction)(z, torch.full((2,), label))  # pyright: ignore[reportArgumentType] - any text
    value.backward()
    assert value == 0
    assert z.grad is not None
    assert (z.grad == 0).all()


def test_a_value_a_sample_is_refused() -> None:
    with pytest.raises(ArgumentError, match="no value a sample"):
        MiniBatchAUCLoss("none")


def test_several_logits_are_refused() -> None:
    with pytest.raises(ArgumentError, match="one logit"):
        MiniBatchAUCLoss()(torch.zeros(2, 2), torch.tensor([0, 1]))
