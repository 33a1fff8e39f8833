"""Priors and class-balanced weights."""

from fractions import Fraction

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import (
    ClassBalancedLoss,
    ClassWeightedLoss,
    DeferredReweightingLoss,
    EqualizationLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    SoftmaxEqualizationLoss,
    VSLoss,
    adjusted_logits,
    class_balanced_weights,
)
from prostate_alm.losses.class_counts import priors


def test_priors_are_shares() -> None:
    assert priors([30, 10]).tolist() == [0.75, 0.25]


@pytest.mark.parametrize("beta", [Fraction(99, 100), Fraction(999_999, 1_000_000)])
def test_class_balanced_weights_are_exact(beta: Fraction) -> None:
    counts = [2025, 20, 1]
    expected = [(1 - beta) / (1 - beta**n) for n in counts]
    unnormalised = class_balanced_weights(counts, float(beta), normalize=False)
    assert unnormalised.tolist() == pytest.approx([float(w) for w in expected], rel=1e-9)
    normalised = class_balanced_weights(counts, float(beta))
    assert normalised.tolist() == pytest.approx([float(3 * w / sum(expected)) for w in expected], rel=1e-9)


def test_unnormalised_weights_are_those_that_the_authors_train_with() -> None:
    found = class_balanced_weights([2025, 20], 0.99, normalize=False)
    assert found.tolist() == pytest.approx([0.0100, 0.0549], abs=5e-5)


def test_beta_0_weighs_alike_and_beta_near_1_by_the_inverse_count() -> None:
    assert class_balanced_weights([7, 3, 1], 0.0).tolist() == [1.0, 1.0, 1.0]
    weights = class_balanced_weights([300, 100], 1 - 1e-12)
    assert (weights[1] / weights[0]).item() == pytest.approx(3.0)


@pytest.mark.parametrize("beta", [-0.1, 1.0, 1.5, float("nan")])
def test_beta_out_of_range_is_refused(beta: float) -> None:
    with pytest.raises(ArgumentError, match="`beta`"):
        class_balanced_weights([3, 1], beta)


@pytest.mark.parametrize("counts", [[], [5], [5, 0], [5, -1], [5, float("nan")], [5, float("inf")]])
def test_classes_without_samples_are_refused_by_every_loss(counts: list[int]) -> None:
    for make in (
        lambda: ClassBalancedLoss(counts),
        lambda: DeferredReweightingLoss(torch.nn.Identity(), counts, epochs=1),
        lambda: LDAMLoss(counts),
        lambda: LogitAdjustedLoss(counts),
        lambda: adjusted_logits(torch.zeros(2), counts),
        lambda: VSLoss(counts),
        lambda: EqualizationLoss(counts, 0.1),
        lambda: SoftmaxEqualizationLoss(counts, 0.1, gamma=1.0),
    ):
        with pytest.raises(ArgumentError, match="`counts`"):
            make()


@pytest.mark.parametrize("weights", [[], [1.0], [1.0, 0.0]])
def test_class_weights_are_positive_and_of_two_classes_or_more(weights: list[float]) -> None:
    with pytest.raises(ArgumentError, match="`weights`"):
        ClassWeightedLoss(weights)
