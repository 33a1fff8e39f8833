"""Logit adjustment, before and after training, and the vector-scaling loss."""

import math

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import (
    BCELoss,
    ClassWeightedLoss,
    CrossEntropyLoss,
    LogitAdjustedLoss,
    VSLoss,
    adjusted_logits,
)

COUNTS = [60, 30, 10]
ROWS, LABELS = [[0.5, -1.0, 2.0], [1.0, 1.5, 0.0], [0.0, 0.25, -3.0]], [2, 1, 0]
LOGITS, TARGETS = torch.tensor(ROWS, dtype=torch.float64), torch.tensor(LABELS)
Z, Y = torch.tensor([0.5, -2.0, 3.0], dtype=torch.float64), torch.tensor([1, 1, 0])


def vector_scaling(gamma: float, tau: float) -> list[float]:
    """-log softmax(Delta Z + iota)_y, sample by sample."""
    values: list[float] = []
    for row, y in zip(ROWS, LABELS, strict=True):
        scaled = [(n / 60) ** gamma * z + tau * math.log(n / 100) for z, n in zip(row, COUNTS, strict=True)]
        values.append(-math.log(math.exp(scaled[y]) / sum(math.exp(z) for z in scaled)))
    return values


@pytest.mark.parametrize("tau", [0.0, 1.0, 1.5])
def test_logit_adjusted_loss_is_its_formula(tau: float) -> None:
    found = LogitAdjustedLoss(COUNTS, tau, reduction="none")(LOGITS, TARGETS)
    assert found.tolist() == pytest.approx(vector_scaling(0.0, tau), rel=1e-6)
    binary = LogitAdjustedLoss([90, 10], tau, reduction="none")(Z, Y)
    shift = tau * math.log(10 / 90)
    expected = [math.log(1 + math.exp(-s * (z + shift))) for z, s in [(0.5, 1), (-2.0, 1), (3.0, -1)]]
    assert binary.tolist() == pytest.approx(expected, rel=1e-6)


def test_tau_1_is_the_balanced_softmax() -> None:
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    weighted = counts * LOGITS.exp()
    expected = -(weighted.gather(1, TARGETS[:, None])[:, 0] / weighted.sum(dim=1)).log()
    torch.testing.assert_close(
        LogitAdjustedLoss(COUNTS, reduction="none")(LOGITS, TARGETS), expected, rtol=1e-6, atol=0
    )


def test_tau_0_is_cross_entropy() -> None:
    assert LogitAdjustedLoss(COUNTS, 0.0)(LOGITS, TARGETS) == CrossEntropyLoss()(LOGITS, TARGETS)
    assert LogitAdjustedLoss([90, 10], 0.0)(Z, Y) == BCELoss()(Z, Y)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_adjusting_afterwards_undoes_the_adjustment_in_training(shape: tuple[int, ...]) -> None:
    adjusted = adjusted_logits(Z.reshape(shape), [90, 10], 0.7)
    assert adjusted.shape == shape
    torch.testing.assert_close(LogitAdjustedLoss([90, 10], 0.7)(adjusted, Y), BCELoss()(Z, Y))


def test_adjusting_afterwards_several_logits() -> None:
    adjusted = adjusted_logits(LOGITS, COUNTS, 2.0)
    torch.testing.assert_close(LogitAdjustedLoss(COUNTS, 2.0)(adjusted, TARGETS), CrossEntropyLoss()(LOGITS, TARGETS))
    assert (adjusted - LOGITS).tolist()[0] == pytest.approx([-2 * math.log(n / 100) for n in COUNTS])
    assert adjusted_logits(LOGITS.bfloat16(), COUNTS).dtype is torch.float32


@pytest.mark.parametrize(("logits", "counts"), [(LOGITS, [90, 10]), (Z, COUNTS)])
def test_adjusting_logits_of_other_classes_is_refused(logits: torch.Tensor, counts: list[int]) -> None:
    with pytest.raises(ArgumentError, match="`counts`"):
        adjusted_logits(logits, counts)
    with pytest.raises(ArgumentError, match="`tau`"):
        adjusted_logits(logits, counts, -1.0)


@pytest.mark.parametrize(("gamma", "tau"), [(0.15, 1.25), (0.5, 0.0), (0.0, 1.0)])
def test_vector_scaling_loss_is_its_formula(gamma: float, tau: float) -> None:
    found = VSLoss(COUNTS, gamma=gamma, tau=tau, reduction="none")(LOGITS, TARGETS)
    assert found.tolist() == pytest.approx(vector_scaling(gamma, tau), rel=1e-6)
    weighted = VSLoss(COUNTS, gamma=gamma, tau=tau, weights=[1.0, 2.0, 3.0], reduction="none")(LOGITS, TARGETS)
    torch.testing.assert_close(weighted, found * torch.tensor([3.0, 2.0, 1.0]))


def test_binary_vector_scaling_takes_the_factor_of_the_label() -> None:
    found = VSLoss([80, 5], gamma=0.5, tau=1.0, weights=[1.0, 3.0], reduction="none")(Z, Y)
    iota = math.log(5 / 80)
    expected = [
        3 * math.log(1 + math.exp(-(0.25 * 0.5 + iota))),
        3 * math.log(1 + math.exp(-(0.25 * -2.0 + iota))),
        math.log(1 + math.exp(3.0 + iota)),
    ]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_without_adjustments_it_is_weighted_cross_entropy() -> None:
    plain, weights = VSLoss(COUNTS, gamma=0.0, tau=0.0, weights=[1.0, 2.0, 3.0]), ClassWeightedLoss([1.0, 2.0, 3.0])
    torch.testing.assert_close(plain(LOGITS, TARGETS), weights(LOGITS, TARGETS))
    assert VSLoss([9, 1], gamma=0.0)(Z, Y) == LogitAdjustedLoss([9, 1], 1.25)(Z, Y)


def test_weights_of_other_classes_than_the_counts_are_refused() -> None:
    with pytest.raises(ArgumentError, match="2 classes, `counts` of 3"):
        VSLoss(COUNTS, weights=[1.0, 2.0])
