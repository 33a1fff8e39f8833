"""Laws of the violation, and the edges of the constraint's arguments."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import BCELoss, RankingConstraint, violation

scores = st.lists(st.integers(-64, 64).map(lambda n: n / 8), max_size=8)  # exact in binary, so ties are ties


def tensor(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@given(scores, scores, st.sampled_from([0.0, 0.125, 1.0]), st.integers(-8, 8))
def test_a_constant_added_to_all_scores_changes_nothing(p: list[float], n: list[float], delta: float, c: int) -> None:
    assert torch.equal(violation(tensor(p) + c, tensor(n) + c, delta), violation(tensor(p), tensor(n), delta))


@given(scores, scores, st.sampled_from([0.0, 0.125, 1.0]))
def test_zero_exactly_when_every_critical_sample_out_ranks_by_the_margin(
    p: list[float], n: list[float], delta: float
) -> None:
    q = violation(tensor(p), tensor(n), delta)
    assert (q == 0).tolist() == [all(a >= b + delta for b in n) for a in p]


@given(scores.filter(bool), scores.filter(bool), st.integers(0, 7), st.floats(0, 4))
def test_raising_a_negative_never_lowers_a_violation(p: list[float], n: list[float], which: int, by: float) -> None:
    raised = [value + by * (k == which % len(n)) for k, value in enumerate(n)]
    assert (violation(tensor(p), tensor(raised), 0.5) >= violation(tensor(p), tensor(n), 0.5)).all()


def test_probability_space_squashes_first() -> None:
    logits, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([1, 0])
    assert RankingConstraint(0.25, "probability")(logits, labels).q.item() == pytest.approx(
        0.880797 - 0.5 + 0.25, abs=1e-6
    )
    assert RankingConstraint(0.25, "logit")(logits, labels).q.item() == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("delta", "space"), [(-0.1, "logit"), (1.5, "probability"), (float("nan"), "logit"), (0.1, "odds")]
)
def test_arguments_out_of_range_are_refused(delta: float, space: str) -> None:
    with pytest.raises(ArgumentError):
        RankingConstraint(delta, space)  # pyright: ignore[reportArgumentType]


def test_labels_and_shapes_are_checked() -> None:
    with pytest.raises(ArgumentError, match="0 or 1"):
        BCELoss()(torch.zeros(2), torch.tensor([0, 2]))
    with pytest.raises(ArgumentError, match="one logit"):
        BCELoss()(torch.zeros(2, 2), torch.zeros(4))
    with pytest.raises(ArgumentError, match="reduction"):
        BCELoss("median")  # pyright: ignore[reportArgumentType]


def test_bce_is_finite_and_exact_far_out() -> None:
    logits = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = BCELoss("none")(logits, torch.tensor([0, 1]))
    loss.sum().backward()
    assert loss.tolist() == [1e4, 1e4]
    assert logits.grad is not None
    assert logits.grad.tolist() == [1.0, -1.0]
