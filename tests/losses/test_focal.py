"""Focal losses against their formulas."""

import math

import pytest
import torch

from prostate_alm.losses import BCELoss, CrossEntropyLoss, FocalLoss

Z = torch.tensor([0.5, -2.0, 3.0, 0.0], dtype=torch.float64)
Y = torch.tensor([1, 1, 0, 0])
GAMMAS = [0.0, 0.5, 1.0, 2.0]


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("critical", [None, [1], [0]])
def test_binary_form_is_its_formula(gamma: float, critical: list[int] | None) -> None:
    expected: list[float] = []
    for z, y in zip(Z.tolist(), Y.tolist(), strict=True):
        p = 1 / (1 + math.exp(-z if y else z))
        exponent = 0.0 if critical is not None and y in critical else gamma
        expected.append(-((1 - p) ** exponent) * math.log(p))
    assert FocalLoss(gamma, critical, reduction="none")(Z, Y).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("gamma", GAMMAS)
@pytest.mark.parametrize("critical", [None, [1], [0, 2]])
def test_multi_class_form_is_its_formula(gamma: float, critical: list[int] | None) -> None:
    rows, labels = [[0.5, -1.0, 2.0], [1.0, 1.5, 0.0], [0.0, 0.25, -3.0]], [2, 1, 0]
    expected: list[float] = []
    for row, y in zip(rows, labels, strict=True):
        p = math.exp(row[y]) / sum(math.exp(z) for z in row)
        exponent = 0.0 if critical is not None and y in critical else gamma
        expected.append(-((1 - p) ** exponent) * math.log(p))
    logits = torch.tensor(rows, dtype=torch.float64)
    found = FocalLoss(gamma, critical, reduction="none")(logits, torch.tensor(labels))
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


def test_gamma_0_is_cross_entropy() -> None:
    torch.testing.assert_close(FocalLoss(0.0)(Z, Y), BCELoss()(Z, Y), rtol=0, atol=0)
    logits, labels = torch.randn(20, 5), torch.arange(20) % 5
    torch.testing.assert_close(FocalLoss(0.0)(logits, labels), CrossEntropyLoss()(logits, labels))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_confident_right_answer_has_gradient_0_and_not_nan(gamma: float) -> None:
    logits = torch.tensor([17.0, 100.0, 1e4], requires_grad=True)
    FocalLoss(gamma, reduction="sum")(logits, torch.ones(3)).backward()
    assert logits.grad is not None
    assert logits.grad.abs().max() < 1e-5


def test_a_confident_miss_keeps_its_full_gradient() -> None:
    logits = torch.tensor([-8.0, -20.0, -1e4], requires_grad=True)
    FocalLoss(2.0, reduction="sum")(logits, torch.ones(3)).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, torch.full((3,), -1.0), rtol=0.01, atol=0)
