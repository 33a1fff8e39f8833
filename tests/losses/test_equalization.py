"""Equalization losses against their formulas."""

import math

import pytest
import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import CrossEntropyLoss, EqualizationLoss, SoftmaxEqualizationLoss

COUNTS = [90, 8, 2]
ROWS, LABELS = [[0.5, -1.0, 2.0], [1.0, 1.5, 0.0], [0.0, 0.25, -3.0]], [2, 1, 0]
LOGITS, TARGETS = torch.tensor(ROWS, dtype=torch.float64), torch.tensor(LABELS)


@pytest.mark.parametrize(("threshold", "rare"), [(0.0, []), (0.02, []), (0.05, [2]), (0.1, [1, 2]), (1.0, [0, 1, 2])])
def test_sigmoid_form_is_its_formula(threshold: float, rare: list[int]) -> None:
    expected = [
        sum(math.log(1 + math.exp(-z if k == y else z)) * (1 - (k in rare) * (1 - (k == y))) for k, z in enumerate(row))
        for row, y in zip(ROWS, LABELS, strict=True)
    ]
    found = EqualizationLoss(COUNTS, threshold, reduction="none")(LOGITS, TARGETS)
    assert found.tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("threshold", "rare"), [(0.05, [2]), (0.1, [1, 2]), (1.0, [0, 1, 2])])
def test_softmax_form_is_its_formula(threshold: float, rare: list[int]) -> None:
    expected: list[float] = []
    for row, y in zip(ROWS, LABELS, strict=True):
        weights = [1 - (k in rare) * (1 - (k == y)) for k in range(3)]
        expected.append(-math.log(math.exp(row[y]) / sum(w * math.exp(z) for w, z in zip(weights, row, strict=True))))
    found = SoftmaxEqualizationLoss(COUNTS, threshold, gamma=1.0, reduction="none")(LOGITS, TARGETS)
    assert found.tolist() == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_gamma_0_and_threshold_0_are_cross_entropy() -> None:
    expected = CrossEntropyLoss()(LOGITS, TARGETS)
    torch.testing.assert_close(SoftmaxEqualizationLoss(COUNTS, 1.0, gamma=0.0)(LOGITS, TARGETS), expected)
    torch.testing.assert_close(SoftmaxEqualizationLoss(COUNTS, 0.0, gamma=1.0)(LOGITS, TARGETS), expected)


def test_a_rare_class_gets_no_gradient_from_the_others() -> None:
    for loss in (EqualizationLoss(COUNTS, 0.05), SoftmaxEqualizationLoss(COUNTS, 0.05, gamma=1.0)):
        logits = LOGITS.clone().requires_grad_()
        loss(logits, TARGETS).backward()
        assert logits.grad is not None
        assert logits.grad[1:, 2].tolist() == [0.0, 0.0]
        assert logits.grad[0, 2] < 0


def test_beta_is_drawn_with_probability_gamma_from_the_generator() -> None:
    logits, labels = torch.zeros(20_000, 3), torch.zeros(20_000, dtype=torch.long)

    def drawn(seed: int) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed)
        return SoftmaxEqualizationLoss(COUNTS, 0.05, generator=generator, reduction="none")(logits, labels)

    values, again, other = drawn(1), drawn(1), drawn(2)
    left_out = torch.isclose(values, torch.tensor(math.log(2)))
    assert (left_out | torch.isclose(values, torch.tensor(math.log(3)))).all()
    assert left_out.float().mean().item() == pytest.approx(0.9, abs=0.01)
    assert torch.equal(values, again)
    assert not torch.equal(values, other)


def test_it_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    loss = SoftmaxEqualizationLoss(COUNTS, 0.05, generator=torch.Generator())
    first, second = loss(LOGITS.repeat(99, 1), TARGETS.repeat(99)), loss(LOGITS.repeat(99, 1), TARGETS.repeat(99))
    assert first != second
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan])
def test_a_threshold_that_is_no_share_is_refused(threshold: float) -> None:
    for make in (EqualizationLoss, SoftmaxEqualizationLoss):
        with pytest.raises(ArgumentError, match="`threshold`"):
            make(COUNTS, threshold)


def test_a_probability_out_of_range_or_without_a_generator_is_refused() -> None:
    for gamma in (-0.1, 1.1, math.nan):
        with pytest.raises(ArgumentError, match="`gamma`"):
            SoftmaxEqualizationLoss(COUNTS, 0.05, gamma=gamma)
    with pytest.raises(ArgumentError, match="`generator`"):
        SoftmaxEqualizationLoss(COUNTS, 0.05)
