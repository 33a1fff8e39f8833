"""Each name of the paper's tables is the loss with the parameter that the paper searches, written out here."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import named_loss
from prostate_alm.losses.named import NAMES

COUNTS = [300, 30, 3]
LOGITS = torch.tensor([[0.5, -1.0, 2.0], [1.5, 0.25, -0.5], [-0.75, 0.0, 1.25], [2.0, 1.0, 0.5]], dtype=torch.float64)
LABELS = torch.tensor([2, 0, 1, 2])
Oracle = Callable[[float], torch.Tensor]


def log_probabilities(logits: torch.Tensor) -> torch.Tensor:
    return logits.log_softmax(dim=1)[torch.arange(len(LABELS)), LABELS]


def margin(value: float, classes: list[int]) -> torch.Tensor:
    lowered = LOGITS.clone()
    for row, label in enumerate(LABELS.tolist()):
        lowered[row, label] -= value * (label in classes)
    return -log_probabilities(lowered).mean()


def focal(gamma: float, classes: list[int]) -> torch.Tensor:
    logs = log_probabilities(LOGITS)
    exponent = torch.tensor([gamma * (label in classes) for label in LABELS.tolist()])
    return -((1 - logs.exp()) ** exponent * logs).mean()


ORACLES: dict[str, tuple[float, Oracle]] = {
    "s-ml": (0.5, lambda value: margin(value, [0, 1, 2])),
    "a-ml": (0.5, lambda value: margin(value, [2])),
    "s-fl": (1.0, lambda gamma: focal(gamma, [0, 1, 2])),
    "a-fl": (1.0, lambda gamma: focal(gamma, [0, 1])),  # the critical class keeps its cross-entropy
}


@pytest.mark.parametrize("name", sorted(ORACLES))
@pytest.mark.parametrize("parameter", [None, 2.0])
def test_margin_and_focal_losses_with_several_classes(name: str, parameter: float | None) -> None:
    default, oracle = ORACLES[name]
    loss = named_loss(name, counts=COUNTS, critical_classes=(2,), parameter=parameter)
    expected = oracle(default if parameter is None else parameter)
    torch.testing.assert_close(loss(LOGITS, LABELS), expected)


def test_cross_entropy() -> None:
    torch.testing.assert_close(
        named_loss("ce", counts=COUNTS)(LOGITS, LABELS), functional.cross_entropy(LOGITS, LABELS)
    )
    logits, labels = torch.tensor([[0.3], [-1.2], [2.0]]), torch.tensor([1, 0, 0])
    expected = functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    torch.testing.assert_close(named_loss("bce", counts=[300, 3])(logits, labels), expected)


@pytest.mark.parametrize(("parameter", "weight"), [(None, 100 / 3), (2 / 3, 200 / 3), (1.0, 100.0)])
def test_the_cost_weight_is_a_share_of_the_imbalance(parameter: float | None, weight: float) -> None:
    """A negative costs 1, a positive `weight` times as much; at logit 0 each has the cross-entropy log 2."""
    loss = named_loss("w-bce", counts=[300, 3], parameter=parameter)
    alone = [float(loss(torch.zeros(1, 1), torch.tensor([label]))) for label in (0, 1)]
    assert alone[1] / alone[0] == pytest.approx(weight)


@pytest.mark.parametrize(("name", "counts"), [("cb-bce", [300, 3]), ("cb-ce", COUNTS)])
@pytest.mark.parametrize("beta", [None, 0.9999])
def test_class_balanced_weights_are_the_inverse_effective_numbers(
    name: str, counts: list[int], beta: float | None
) -> None:
    loss = named_loss(name, counts=counts, parameter=beta)
    chosen = 0.99 if beta is None else beta
    effective = [(1 - chosen**count) / (1 - chosen) for count in counts]
    logits = torch.zeros(1, 1 if name == "cb-bce" else len(counts), dtype=torch.float64)
    alone = [float(loss(logits, torch.tensor([label]))) for label in (0, len(counts) - 1)]
    assert alone[1] / alone[0] == pytest.approx(effective[0] / effective[-1])


@pytest.mark.parametrize("largest", [None, 0.25])
def test_ldam_gives_the_rarest_class_the_largest_margin(largest: float | None) -> None:
    """``s (cos - m)`` with m falling as the fourth root of the count; s is 30."""
    loss = named_loss("ldam", counts=COUNTS, parameter=largest)
    chosen = 0.5 if largest is None else largest
    lowered = LOGITS.clone()
    for row, label in enumerate(LABELS.tolist()):
        lowered[row, label] -= 30 * chosen * (COUNTS[2] / COUNTS[label]) ** 0.25
    torch.testing.assert_close(loss(LOGITS, LABELS), -log_probabilities(lowered).mean(), check_dtype=False)


def test_mbauc_falls_when_the_ranking_improves() -> None:
    loss, labels = named_loss("mbauc", counts=[300, 3]), torch.tensor([1, 0, 0])
    ranked, inverted = torch.tensor([[2.0], [-1.0], [0.0]]), torch.tensor([[-2.0], [1.0], [0.0]])
    assert loss(ranked, labels) < loss(inverted, labels)


def test_every_name_makes_a_loss_with_a_gradient() -> None:
    for name in NAMES:
        binary = name in ("bce", "w-bce", "cb-bce", "mbauc")
        logits = torch.randn(6, 1 if binary else 3, requires_grad=True)
        labels = torch.tensor([0, 0, 1, 0, 1, 0] if binary else [0, 1, 2, 0, 1, 2])
        named_loss(name, counts=[300, 3] if binary else COUNTS)(logits, labels).backward()
        assert logits.grad is not None, name
        assert logits.grad.abs().sum() > 0, name


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ArgumentError, match=r"`name` is 'BCE'. Available: bce, ce"):
        named_loss("BCE", counts=[3, 3])


@pytest.mark.parametrize("name", ["bce", "w-bce", "cb-bce", "mbauc"])
def test_losses_for_two_classes_refuse_more(name: str) -> None:
    with pytest.raises(ArgumentError, match="is for two classes, `counts` has 3"):
        named_loss(name, counts=COUNTS)


@pytest.mark.parametrize("name", ["bce", "ce", "mbauc"])
def test_a_parameter_where_there_is_none_is_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"has no parameter, got 0.5"):
        named_loss(name, counts=[300, 3], parameter=0.5)


@pytest.mark.parametrize(("name", "parameter"), [("s-ml", -1.0), ("s-fl", -1.0), ("w-bce", 0.0), ("cb-bce", 1.0)])
def test_a_parameter_out_of_range_is_refused(name: str, parameter: float) -> None:
    with pytest.raises(ArgumentError):
        named_loss(name, counts=[300, 3], parameter=parameter)
