"""What holds for every base loss, and how each refuses what is no batch."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import (
    ALMLoss,
    BCELoss,
    ClassBalancedLoss,
    ClassWeightedLoss,
    CrossEntropyLoss,
    DeferredReweightingLoss,
    EqualizationLoss,
    FocalLoss,
    LDAMLoss,
    LogitAdjustedLoss,
    MarginLoss,
    MeanFalseErrorLoss,
    MeanSquaredFalseErrorLoss,
    MiniBatchAUCLoss,
    MultiClassRankingConstraint,
    PerSampleLoss,
    RankingConstraint,
    SoftmaxEqualizationLoss,
    VSLoss,
    WeightedBCELoss,
)

COUNTS = [900, 100]
MANY = [500, 20, 300, 4]
Make = Callable[..., nn.Module]


def deferred(base: nn.Module, counts: list[int], **kwargs: Any) -> DeferredReweightingLoss:
    loss = DeferredReweightingLoss(base, counts, epochs=10, **kwargs)
    loss.set_epoch_(8)
    return loss


BOTH: dict[str, Callable[..., nn.Module]] = {
    "S-ML": lambda counts, **kw: MarginLoss(2.0, **kw),
    "A-ML": lambda counts, **kw: MarginLoss(0.3, [1], **kw),
    "S-FL": lambda counts, **kw: FocalLoss(0.5, **kw),
    "A-FL": lambda counts, **kw: FocalLoss(2.0, [1], **kw),
    "weighted": lambda counts, **kw: ClassWeightedLoss([0.5 + c for c in range(len(counts))], **kw),
    "CB": lambda counts, **kw: ClassBalancedLoss(counts, 0.99, **kw),
    "LDAM": LDAMLoss,
    "DRW": lambda counts, **kw: deferred(LDAMLoss(counts, reduction="none"), counts, **kw),
    "LA": LogitAdjustedLoss,
    "VS at gamma 0": lambda counts, **kw: VSLoss(counts, gamma=0.0, **kw),
}
BINARY: dict[str, Make] = {
    "BCE": BCELoss,
    "W-BCE": lambda **kw: WeightedBCELoss(9.0, **kw),
    "VS": lambda **kw: VSLoss(COUNTS, **kw),
    **{name: (lambda make=make, **kw: make(COUNTS, **kw)) for name, make in BOTH.items()},
}
MULTI_CLASS: dict[str, Make] = {
    "CE": CrossEntropyLoss,
    "VS": lambda **kw: VSLoss(MANY, weights=[1.0, 2.0, 3.0, 4.0], **kw),
    "EQL": lambda **kw: EqualizationLoss(MANY, 0.05, **kw),
    "SEQL": lambda **kw: SoftmaxEqualizationLoss(MANY, 0.05, gamma=1.0, **kw),
    **{name: (lambda make=make, **kw: make(MANY, **kw)) for name, make in BOTH.items()},
}
OF_SAMPLES = [("binary", n, m) for n, m in BINARY.items()] + [("multi-class", n, m) for n, m in MULTI_CLASS.items()]
ALL = [
    *OF_SAMPLES,
    ("binary", "MBAUC", MiniBatchAUCLoss),
    *[(kind, "MFE", MeanFalseErrorLoss) for kind in ("binary", "multi-class")],
    *[(kind, "MSFE", MeanSquaredFalseErrorLoss) for kind in ("binary", "multi-class")],
]
of_samples = pytest.mark.parametrize(("kind", "make"), [pytest.param(k, m, id=f"{n}, {k}") for k, n, m in OF_SAMPLES])
every = pytest.mark.parametrize(("kind", "make"), [pytest.param(k, m, id=f"{n}, {k}") for k, n, m in ALL])


def batch(kind: str, size: int = 9, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits, and labels of every class in turn."""
    generator = torch.Generator().manual_seed(size)
    classes = 2 if kind == "binary" else len(MANY)
    shape = (size, 1) if kind == "binary" else (size, classes)
    logits = 3 * torch.randn(shape, generator=generator, dtype=dtype)
    return logits.requires_grad_(), torch.arange(size) % classes


@every
def test_gradients_are_those_of_the_value(kind: str, make: Make) -> None:
    logits, labels = batch(kind)
    assert torch.autograd.gradcheck(lambda z: make()(z, labels), logits)


@every
@pytest.mark.parametrize("size", [1e4, -1e4])
def test_value_and_gradient_are_finite_at_huge_logits(kind: str, make: Make, size: float) -> None:
    logits, labels = batch(kind, 8, torch.float32)
    huge = torch.where(torch.arange(8)[:, None] < 4, size, -size) * logits.detach().sign()
    huge.requires_grad_()
    value = make()(huge, labels)
    value.backward()
    assert huge.grad is not None
    assert value.isfinite()
    assert value >= 0
    assert huge.grad.isfinite().all()


@every
def test_half_precision_is_computed_in_float32(kind: str, make: Make) -> None:
    _, labels = batch(kind, 64)
    torch.manual_seed(0)
    layer, features = nn.Linear(5, 1 if kind == "binary" else len(MANY)), torch.randn(64, 5)
    with torch.autocast("cpu", torch.bfloat16):
        logits = layer(features)
        value = make()(logits, labels)
    value.backward()
    assert (logits.dtype, value.dtype) == (torch.bfloat16, torch.float32)
    torch.testing.assert_close(value, make()(logits.detach().float(), labels), rtol=0, atol=0)
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


@every
def test_an_empty_batch_costs_nothing_and_moves_nothing(kind: str, make: Make) -> None:
    logits, labels = batch(kind, 0)
    value = make()(logits, labels)
    value.backward()
    assert value == 0


@every
@pytest.mark.parametrize("label", [0, 1])
def test_a_batch_of_one_class_is_finite(kind: str, make: Make, label: int) -> None:
    logits, labels = batch(kind)
    value = make()(logits, torch.full_like(labels, label))
    value.backward()
    assert logits.grad is not None
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@every
def test_the_order_of_a_batch_changes_nothing(kind: str, make: Make) -> None:
    logits, labels = batch(kind)
    torch.testing.assert_close(make()(logits.flip(0), labels.flip(0)), make()(logits, labels))


@of_samples
def test_reductions_are_of_one_value_a_sample(kind: str, make: Make) -> None:
    logits, labels = batch(kind)
    values = make(reduction="none")(logits, labels)
    assert values.shape == (9,)
    torch.testing.assert_close(make()(logits, labels), values.mean())
    torch.testing.assert_close(make(reduction="sum")(logits, labels), values.sum())


@every
def test_configuration_is_not_state(kind: str, make: Make) -> None:
    assert set(make().state_dict()) <= {"epoch"}  # that of DRW


@pytest.mark.parametrize("make", BOTH.values(), ids=BOTH.keys())
def test_one_logit_is_two_classes_of_which_the_other_has_logit_0(make: Make) -> None:
    logits, labels = batch("binary")
    loss = make(COUNTS, reduction="none")
    two = torch.cat([torch.zeros_like(logits), logits], dim=1)
    torch.testing.assert_close(loss(two, labels), loss(logits, labels))


@every
@pytest.mark.parametrize("wrong", [-1, 4, 0.5])
def test_labels_outside_the_classes_are_refused(kind: str, make: Make, wrong: float) -> None:
    logits, labels = batch(kind)
    with pytest.raises(ArgumentError, match="labels"):
        make()(logits, torch.cat([labels[1:], torch.tensor([wrong])]))


@every
def test_nan_logits_and_shapes_that_disagree_are_refused(kind: str, make: Make) -> None:
    logits, labels = batch(kind)
    with pytest.raises(ArgumentError, match="expected"):
        make()(logits, labels[1:])
    with pytest.raises(ArgumentError, match="NaN"):
        make()(torch.where(torch.arange(9)[:, None] == 3, torch.nan, logits), labels)
    with pytest.raises(ArgumentError, match="Available: 'mean', 'sum'"):
        make(reduction="median")


@pytest.mark.parametrize("make", [m for n, m in MULTI_CLASS.items() if n not in ("CE", "S-ML", "A-ML", "S-FL", "A-FL")])
def test_logits_of_other_classes_than_the_counts_are_refused(make: Make) -> None:
    with pytest.raises(ArgumentError, match="4 classes"):
        make()(torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize("loss", [BCELoss(), WeightedBCELoss(2.0)])
def test_a_binary_loss_refuses_several_logits(loss: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="one logit a sample; 3 came"):
        loss(torch.zeros(2, 3), torch.tensor([0, 1]))


@pytest.mark.parametrize(
    "loss", [CrossEntropyLoss(), EqualizationLoss(COUNTS, 0.2), SoftmaxEqualizationLoss(COUNTS, 0.2, gamma=1.0)]
)
def test_a_multi_class_loss_refuses_one_logit(loss: nn.Module) -> None:
    with pytest.raises(ArgumentError, match="C >= 2"):
        loss(torch.zeros(2), torch.tensor([0, 1]))


@pytest.mark.parametrize("make", [MarginLoss, FocalLoss])
def test_critical_classes_must_be_there(make: Make) -> None:
    for wrong in ([], [-1, 0]):
        with pytest.raises(ArgumentError, match="at least one class"):
            make(1.0, wrong)
    with pytest.raises(ArgumentError, match="critical class 2 is not there"):
        make(1.0, [1, 2])(torch.zeros(2), torch.tensor([0, 1]))
    with pytest.raises(ArgumentError, match="critical class 4 is not there"):
        make(1.0, [4])(torch.zeros(2, 4), torch.tensor([0, 1]))


@pytest.mark.parametrize("wrong", [-0.5, math.nan, math.inf])
def test_arguments_out_of_range_are_refused(wrong: float) -> None:
    makes: list[tuple[str, Callable[[], object]]] = [
        ("margin", lambda: MarginLoss(wrong)),
        ("gamma", lambda: FocalLoss(wrong)),
        ("weight", lambda: WeightedBCELoss(wrong)),
        ("weights", lambda: ClassWeightedLoss([1.0, wrong])),
        ("scale", lambda: LDAMLoss(COUNTS, scale=wrong)),
        ("max_margin", lambda: LDAMLoss(COUNTS, max_margin=wrong)),
        ("tau", lambda: LogitAdjustedLoss(COUNTS, wrong)),
        ("gamma", lambda: VSLoss(COUNTS, gamma=wrong)),
        ("tau", lambda: VSLoss(COUNTS, tau=wrong)),
    ]
    for name, make in makes:
        with pytest.raises(ArgumentError, match=f"`{name}`"):
            make()


def test_a_loss_of_ones_own_needs_one_method() -> None:
    class Hinge(PerSampleLoss):
        def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return (1 - torch.where(targets, scores, -scores)).relu()

    assert Hinge()(torch.tensor([0.5, 0.5]), torch.tensor([0, 1])) == 1.0


@of_samples
def test_the_constraint_goes_around_each(kind: str, make: Make) -> None:
    logits, labels = batch(kind)
    constraint = RankingConstraint() if kind == "binary" else MultiClassRankingConstraint([1, 3], 4)
    loss = ALMLoss(make(), constraint, num_samples=9)
    value = loss(logits, labels, index=torch.arange(9))
    assert value > loss.terms.base
    torch.testing.assert_close(loss.terms.base, make()(logits, labels).detach())
