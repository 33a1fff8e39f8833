"""Margin losses against their formulas."""

import math

import pytest
import torch

from prostate_alm.losses import BCELoss, CrossEntropyLoss, MarginLoss

Z = torch.tensor([0.5, -2.0, 3.0, 0.0], dtype=torch.float64)
Y = torch.tensor([1, 1, 0, 0])


def softplus(x: float) -> float:
    return math.log(1 + math.exp(x))


def test_binary_forms_are_their_formulas() -> None:
    symmetric = [softplus(-(0.5 - 2)), softplus(-(-2 - 2)), softplus(3 + 2), softplus(0 + 2)]
    asymmetric = [*symmetric[:2], softplus(3), softplus(0)]
    assert MarginLoss(2.0, reduction="none")(Z, Y).tolist() == pytest.approx(symmetric, rel=1e-12)
    assert MarginLoss(2.0, [1], reduction="none")(Z, Y).tolist() == pytest.approx(asymmetric, rel=1e-12)


@pytest.mark.parametrize("critical", [None, [1], [0, 2]])
def test_multi_class_form_is_its_formula(critical: list[int] | None) -> None:
    rows, labels = [[0.5, -1.0, 2.0], [1.0, 1.5, 0.0], [0.0, 0.25, -3.0]], [2, 1, 0]
    expected: list[float] = []
    for row, y in zip(rows, labels, strict=True):
        lowered = [z - 0.7 * (k == y and (critical is None or y in critical)) for k, z in enumerate(row)]
        expected.append(-math.log(math.exp(lowered[y]) / sum(math.exp(z) for z in lowered)))
    logits = torch.tensor(rows, dtype=torch.float64)
    found = MarginLoss(0.7, critical, reduction="none")(logits, torch.tensor(labels))
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("critical", [None, [1]])
def test_margin_0_is_cross_entropy(critical: list[int] | None) -> None:
    torch.testing.assert_close(MarginLoss(0.0, critical)(Z, Y), BCELoss()(Z, Y), rtol=0, atol=0)
    logits, labels = torch.randn(20, 5), torch.arange(20) % 5
    torch.testing.assert_close(MarginLoss(0.0, critical)(logits, labels), CrossEntropyLoss()(logits, labels))


def test_every_class_critical_is_the_symmetric_form() -> None:
    assert MarginLoss(1.0, [0, 1])(Z, Y) == MarginLoss(1.0)(Z, Y)
