"""Weights a class, and when they start to hold."""

import pytest
import torch
from torch.nn import functional

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import (
    BCELoss,
    ClassBalancedLoss,
    ClassWeightedLoss,
    CrossEntropyLoss,
    DeferredReweightingLoss,
    WeightedBCELoss,
    class_balanced_weights,
)

Z = torch.tensor([0.5, -2.0, 3.0, 0.0, 1.0], dtype=torch.float64)
Y = torch.tensor([1, 0, 0, 0, 0])
LOGITS, LABELS = torch.randn(12, 3, dtype=torch.float64), torch.arange(12) % 3


def test_weighted_bce_is_torch_with_pos_weight() -> None:
    expected = functional.binary_cross_entropy_with_logits(Z, Y.double(), pos_weight=torch.tensor(9.0))
    torch.testing.assert_close(WeightedBCELoss(9.0)(Z, Y), expected)
    assert WeightedBCELoss(1.0)(Z, Y) == BCELoss()(Z, Y)


def test_class_weights_multiply_and_the_mean_is_over_the_batch() -> None:
    weights = torch.tensor([0.5, 1.0, 4.0], dtype=torch.float64)
    expected = functional.cross_entropy(LOGITS, LABELS, weight=weights, reduction="sum") / 12
    torch.testing.assert_close(ClassWeightedLoss(weights.tolist())(LOGITS, LABELS), expected)
    assert ClassWeightedLoss([1.0, 9.0])(Z, Y).item() == pytest.approx(WeightedBCELoss(9.0)(Z, Y).item())


@pytest.mark.parametrize("normalize", [True, False])
def test_class_balanced_loss_weighs_by_the_effective_number(normalize: bool) -> None:
    weights = class_balanced_weights([2025, 20], 0.99, normalize=normalize)
    loss = ClassBalancedLoss([2025, 20], 0.99, normalize=normalize, reduction="none")
    torch.testing.assert_close(loss(Z, Y), weights[Y] * BCELoss("none")(Z, Y), rtol=1e-6, atol=0)


def test_beta_0_is_cross_entropy() -> None:
    torch.testing.assert_close(ClassBalancedLoss([50, 5, 1], 0.0)(LOGITS, LABELS), CrossEntropyLoss()(LOGITS, LABELS))
    torch.testing.assert_close(ClassBalancedLoss([50, 5], 0.0)(Z, Y), BCELoss()(Z, Y))


@pytest.mark.parametrize(("epochs", "start", "first"), [(200, 0.8, 160), (5, 0.5, 3), (4, 0.0, 0)])
def test_deferred_weights_hold_from_the_share_of_the_epochs(epochs: int, start: float, first: int) -> None:
    counts = [50, 5, 1]
    loss = DeferredReweightingLoss(CrossEntropyLoss("none"), counts, epochs=epochs, start=start, beta=0.9)
    plain, weighted = CrossEntropyLoss()(LOGITS, LABELS), ClassBalancedLoss(counts, 0.9)(LOGITS, LABELS)
    for epoch in range(epochs):
        loss.set_epoch_(epoch)
        assert loss.active == (epoch >= first)
        torch.testing.assert_close(loss(LOGITS, LABELS), weighted if epoch >= first else plain)


def test_the_epoch_is_saved() -> None:
    loss = DeferredReweightingLoss(BCELoss("none"), [9, 1], epochs=10)
    loss.set_epoch_(8)
    resumed = DeferredReweightingLoss(BCELoss("none"), [9, 1], epochs=10)
    assert not resumed.active
    resumed.load_state_dict(loss.state_dict())
    assert resumed.active
    assert resumed(Z, Y) == loss(Z, Y)


def test_a_base_that_is_reduced_already_is_refused() -> None:
    for base, batch in [(BCELoss(), (Z, Y)), (CrossEntropyLoss(), (LOGITS, LABELS))]:
        loss = DeferredReweightingLoss(base, [9, 1] if base.__class__ is BCELoss else [5, 5, 1], epochs=10)
        with pytest.raises(ArgumentError, match="reduction='none'"):
            loss(*batch)


@pytest.mark.parametrize("kwargs", [{"epochs": 0}, {"epochs": 5, "start": 1.1}, {"epochs": 5, "start": -0.1}])
def test_a_schedule_out_of_range_is_refused(kwargs: dict[str, float]) -> None:
    with pytest.raises(ArgumentError, match="`epochs`"):
        DeferredReweightingLoss(BCELoss("none"), [9, 1], **kwargs)  # pyright: ignore[reportArgumentType] - wrong ones


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ArgumentError, match="`epoch`"):
        DeferredReweightingLoss(BCELoss("none"), [9, 1], epochs=10).set_epoch_(-1)
