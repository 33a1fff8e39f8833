"""Eq. 5 and Algorithm 1 against a scalar implementation written from the paper."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError, LossStateError
from prostate_alm.losses import ALMLoss, BCELoss, MetricSchedule, RankingConstraint


def make_loss(*, num_samples: int = 64, delta: float = 0.25, space: str = "probability", **kwargs: Any) -> ALMLoss:
    return ALMLoss(BCELoss(), RankingConstraint(delta, space), num_samples=num_samples, **kwargs)  # pyright: ignore[reportArgumentType]


def scalar_equation_5(
    scores: list[float], labels: list[int], lambdas: list[float], mu: float, delta: float
) -> tuple[float, list[float]]:
    """Penalty + multiplier term and the q_j, pair by pair as the paper writes them."""
    positives = [j for j, y in enumerate(labels) if y == 1]
    negatives = [k for k, y in enumerate(labels) if y == 0]
    q = [sum(max(0.0, -(scores[j] - scores[k]) + delta) for k in negatives) for j in positives]
    pairs = len(positives) * len(negatives)
    if pairs == 0:
        return 0.0, q
    penalty = mu * sum(value * value for value in q) / (2 * pairs)
    multiplier = sum(lambdas[j] * value for j, value in zip(positives, q, strict=True)) / pairs
    return penalty + multiplier, q


@given(
    st.lists(st.tuples(st.floats(-6, 6), st.integers(0, 1), st.floats(0, 3)), min_size=1, max_size=12),
    st.sampled_from(["probability", "logit"]),
    st.floats(1e-4, 10),
    st.floats(0, 1),
)
def test_loss_is_equation_5(batch: list[tuple[float, int, float]], space: str, mu: float, delta: float) -> None:
    logits = torch.tensor([b[0] for b in batch], dtype=torch.float64)
    labels = [b[1] for b in batch]
    loss = make_loss(num_samples=len(batch), delta=delta, space=space, mu=mu).double()
    loss.multipliers.copy_(torch.tensor([b[2] for b in batch]))
    value = loss(logits, torch.tensor(labels), index=torch.arange(len(batch)))
    scores = logits.sigmoid().tolist() if space == "probability" else logits.tolist()
    expected, q = scalar_equation_5(scores, labels, [b[2] for b in batch], mu, delta)
    base = torch.nn.functional.binary_cross_entropy_with_logits(logits, torch.tensor(labels).double())
    assert value.item() == pytest.approx(base.item() + expected, rel=1e-6, abs=1e-9)
    assert loss.terms.q.tolist() == pytest.approx(q, rel=1e-9, abs=1e-12)
    assert (loss.terms.base + loss.terms.penalty + loss.terms.multiplier).item() == pytest.approx(value.item())


def test_gradient_agrees_with_finite_differences() -> None:
    torch.manual_seed(0)
    loss = make_loss(num_samples=8, mu=0.7).double()
    loss.multipliers.uniform_(0, 2)
    labels = torch.tensor([1, 0, 0, 1, 0, 0, 1, 0])
    logits = torch.randn(8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: loss(z, labels, index=torch.arange(8)), logits)


@pytest.mark.parametrize("label", [0, 1])
def test_batch_of_one_class_is_legal(label: int) -> None:
    loss = make_loss()
    logits = torch.tensor([0.3, -1.0], requires_grad=True)
    labels = torch.full((2,), label)
    value = loss(logits, labels, index=torch.tensor([4, 9]))
    value.backward()
    loss.update_multipliers_()
    assert value.item() == pytest.approx(BCELoss()(logits, labels).item())
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()
    assert loss.multipliers.count_nonzero() == 0


def test_multipliers_follow_their_sample_whatever_the_batch_order() -> None:
    logits, labels, index = torch.tensor([0.2, -0.4, 1.0, 0.1]), torch.tensor([1, 0, 0, 1]), torch.tensor([7, 3, 5, 0])
    results = []
    for order in (torch.arange(4), torch.tensor([2, 0, 3, 1])):
        loss = make_loss(mu=0.5)
        loss(logits[order], labels[order], index=index[order])
        loss.update_multipliers_()
        results.append(loss.multipliers.clone())
    assert torch.equal(results[0], results[1])
    q = scalar_equation_5(logits.sigmoid().tolist(), labels.tolist(), [0.0] * 4, 0.5, 0.25)[1]
    assert results[0][[7, 0]].tolist() == pytest.approx([0.5 * q[0], 0.5 * q[1]])
    assert results[0].count_nonzero() == 2


def test_the_loss_uses_the_multipliers_of_before_the_update() -> None:
    loss = make_loss(num_samples=2, space="logit", delta=1.0, mu=0.5)
    logits, labels, index = torch.tensor([0.0, 0.0]), torch.tensor([1, 0]), torch.tensor([0, 1])
    loss(logits, labels, index=index)
    assert loss.terms.multiplier.item() == 0.0
    loss.update_multipliers_()
    loss(logits, labels, index=index)
    assert loss.terms.multiplier.item() == pytest.approx(0.5)


def test_a_satisfied_constraint_never_moves_a_multiplier() -> None:
    loss = make_loss(space="logit", delta=1.0)
    loss(torch.tensor([2.0, 1.0, -3.0]), torch.tensor([1, 0, 0]), index=torch.arange(3))
    loss.update_multipliers_()
    assert loss.multipliers.count_nonzero() == 0


def test_penalty_grows_only_when_the_metric_falls_by_the_margin_up_to_the_cap() -> None:
    loss = make_loss(mu=1.0, rho=2.0, schedule=MetricSchedule(0.05), mu_max=3.0)
    seen = []
    for metric in (0.70, 0.66, 0.60, 0.80, 0.74, 0.60):
        loss.step_penalty_(metric)
        seen.append(loss.mu.item())
    assert seen == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize("metric", [float("nan"), float("inf")])
def test_penalty_refuses_a_metric_that_is_not_finite(metric: float) -> None:
    with pytest.raises(ArgumentError, match="finite"):
        make_loss().step_penalty_(metric)


def test_state_continues_in_another_loss() -> None:
    torch.manual_seed(1)
    first, second = make_loss(mu=0.5), make_loss(mu=0.1)
    labels = torch.tensor([1, 0, 1, 0])
    for metric in (0.9, 0.5):
        first(torch.randn(4), labels, index=torch.arange(4))
        first.update_multipliers_()
        first.step_penalty_(metric)
    second.load_state_dict(first.state_dict())
    logits = torch.randn(4)
    for loss in (first, second):
        loss.step_penalty_(0.3)
    assert first(logits, labels, index=torch.arange(4)) == second(logits, labels, index=torch.arange(4))
    assert first.mu == second.mu


def test_index_is_demanded_for_every_batch() -> None:
    loss = make_loss()
    logits, labels = torch.zeros(2), torch.tensor([0, 1])
    with pytest.raises(LossStateError, match="set_index_"):
        loss(logits, labels)
    loss.set_index_(torch.tensor([1, 2]))
    loss(logits, labels)
    with pytest.raises(LossStateError, match="set_index_"):
        loss(logits, labels)


@pytest.mark.parametrize("index", [[0], [0, 64], [-1, 0], [0.0, 1.0], [3, 3]])
def test_index_out_of_order_is_refused(index: list[float]) -> None:
    with pytest.raises(LossStateError):
        make_loss()(torch.zeros(2), torch.tensor([0, 1]), index=torch.tensor(index))


def test_multipliers_are_updated_once_a_batch_and_never_from_diverged_scores() -> None:
    loss = make_loss(space="logit")
    with pytest.raises(LossStateError, match="first"):
        _ = loss.terms
    loss(torch.zeros(2), torch.tensor([0, 1]), index=torch.arange(2))
    loss.update_multipliers_()
    with pytest.raises(LossStateError, match="up to date"):
        loss.update_multipliers_()
    loss(torch.tensor([float("inf"), 0.0]), torch.tensor([0, 1]), index=torch.arange(2))
    with pytest.raises(LossStateError, match="not finite"):
        loss.update_multipliers_()


@pytest.mark.parametrize(
    "kwargs", [{"mu": 0.0}, {"rho": 0.5}, {"num_samples": 0}, {"mu_max": 1e-6}, {"method": "lagrange"}]
)
def test_arguments_out_of_range_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        make_loss(**kwargs)
