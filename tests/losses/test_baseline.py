"""Cross-entropy against its formula and against torch."""

import math

import pytest
import torch
from torch.nn import functional

from prostate_alm.losses import BCELoss, CrossEntropyLoss


@pytest.mark.parametrize(("z", "y"), [(0.0, 1), (2.0, 1), (2.0, 0), (-3.5, 0), (-3.5, 1)])
def test_bce_is_its_formula(z: float, y: int) -> None:
    p = 1 / (1 + math.exp(-z))
    value = BCELoss()(torch.tensor([z], dtype=torch.float64), torch.tensor([y]))
    assert value.item() == pytest.approx(-math.log(p if y else 1 - p), rel=1e-12)


def test_both_are_those_of_torch() -> None:
    logits, labels = torch.randn(50, 3, dtype=torch.float64), torch.arange(50) % 3
    torch.testing.assert_close(CrossEntropyLoss()(logits, labels), functional.cross_entropy(logits, labels))
    binary = functional.binary_cross_entropy_with_logits(logits[:, 0], (labels == 1).double())
    torch.testing.assert_close(BCELoss()(logits[:, 0], labels == 1), binary)


def test_the_gradient_of_a_confident_right_answer_does_not_vanish_in_float32() -> None:
    logits = torch.tensor([25.0], requires_grad=True)
    BCELoss()(logits, torch.tensor([1])).backward()
    assert logits.grad is not None
    assert logits.grad.item() == pytest.approx(-math.exp(-25), rel=1e-5)
