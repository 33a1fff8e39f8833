"""Laws of the violation, the forms of the constraint, and the edges of its arguments."""

from fractions import Fraction
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ALMLoss, BCELoss, RankingConstraint, Violations, violation

FORMS = ["per_critical", "per_other", "per_pair"]
NORMALIZATIONS = ["paper", "mean"]
scores = st.lists(st.integers(-64, 64).map(lambda n: n / 8), max_size=8)  # exact in binary, so ties are ties
some_scores = scores.filter(bool)
forms = st.sampled_from(FORMS)
normalizations = st.sampled_from(NORMALIZATIONS)
shares = st.sampled_from([None, 0.07, 0.5, 1.0])
every = {"form": forms, "normalize": normalizations, "hardest": shares}


def tensor(values: list[float]) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def batch(critical: list[float], others: list[float]) -> tuple[torch.Tensor, torch.Tensor]:
    return tensor(critical + others), torch.tensor([1] * len(critical) + [0] * len(others), dtype=torch.long)


def in_logits(delta: float = 0.5, **kwargs: Any) -> RankingConstraint:
    return RankingConstraint(delta, "logit", **kwargs)


def cost(found: Violations) -> torch.Tensor:
    """Penalty with mu 1 and multiplier term with lambda 1."""
    return ((found.square / 2 + found.q) / found.pairs.clamp_min(1.0)).sum()


@given(scores, scores, st.sampled_from([0.0, 0.125, 1.0]), st.integers(-8, 8), st.fixed_dictionaries(every))
def test_a_constant_added_to_all_scores_changes_nothing(
    p: list[float], n: list[float], delta: float, c: int, kwargs: dict[str, Any]
) -> None:
    assert torch.equal(violation(tensor(p) + c, tensor(n) + c, delta), violation(tensor(p), tensor(n), delta))
    logits, labels = batch(p, n)
    constraint = in_logits(delta, **kwargs)
    assert cost(constraint(logits + c, labels)) == cost(constraint(logits, labels))


@given(scores, scores, st.sampled_from([0.0, 0.125, 1.0]), st.fixed_dictionaries(every))
def test_zero_exactly_when_every_critical_sample_out_ranks_by_the_margin(
    p: list[float], n: list[float], delta: float, kwargs: dict[str, Any]
) -> None:
    q = violation(tensor(p), tensor(n), delta)
    assert (q == 0).tolist() == [all(a >= b + delta for b in n) for a in p]
    found = in_logits(delta, **kwargs)(*batch(p, n))
    satisfied = all(a >= b + delta for a in p for b in n)
    assert (bool((found.q == 0).all()), bool((found.square == 0).all())) == (satisfied, satisfied)


@given(some_scores, some_scores, st.integers(0, 7), st.floats(0, 4), st.fixed_dictionaries(every))
def test_raising_a_negative_never_lowers_a_violation_or_the_cost(
    p: list[float], n: list[float], which: int, by: float, kwargs: dict[str, Any]
) -> None:
    raised = [value + by * (k == which % len(n)) for k, value in enumerate(n)]
    assert (violation(tensor(p), tensor(raised), 0.5) >= violation(tensor(p), tensor(n), 0.5)).all()
    constraint = in_logits(**kwargs)
    assert cost(constraint(*batch(p, raised))) >= cost(constraint(*batch(p, n))) * (1 - 1e-12)


@given(st.permutations(range(9)), st.fixed_dictionaries(every))
def test_permuting_a_batch_permutes_its_constraints(order: list[int], kwargs: dict[str, Any]) -> None:
    logits, labels = batch([0.5, -1.0, 0.25], [0.0, 0.75, -2.0, 1.0, 0.125, -0.5])
    constraint = in_logits(**kwargs)
    here, there = constraint(logits, labels), constraint(logits[order], labels[order])
    found = {
        order[int(s)]: (q, sq) for s, q, sq in zip(there.sample, there.q.tolist(), there.square.tolist(), strict=True)
    }
    assert found == {
        int(s): (q, sq) for s, q, sq in zip(here.sample, here.q.tolist(), here.square.tolist(), strict=True)
    }
    assert there.pairs.tolist() == here.pairs.tolist()


def by_hand(p: list[float], n: list[float], delta: float, form: str, normalize: str) -> list[tuple[float, ...]]:
    """The q, square, sample and pairs of each constraint, in fractions, pair by pair."""
    hinge = [[max(Fraction(0), Fraction(b) - Fraction(a) + Fraction(delta)) for b in n] for a in p]
    rows = [list(column) for column in zip(*hinge, strict=True)] if form == "per_other" else hinge
    rows = rows if p else [[] for _ in n] if form == "per_other" else []
    terms = len(p) if form == "per_other" else len(n)
    found: list[tuple[float, ...]] = []
    for j, row in enumerate(rows):
        share = max(terms, 1) if normalize == "mean" else 1
        q = sum(row, Fraction(0)) / share
        square = sum((h * h for h in row), Fraction(0)) / share if form == "per_pair" else q * q
        sample = j + len(p) if form == "per_other" else j
        found.append((float(q), float(square), sample, len(rows) * (1 if normalize == "mean" else terms)))
    return found


@given(scores, scores, st.sampled_from([0.0, 0.125, 1.0]), forms, normalizations)
def test_each_form_is_its_definition(p: list[float], n: list[float], delta: float, form: Any, normalize: Any) -> None:
    found = in_logits(delta, form=form, normalize=normalize)(*batch(p, n))
    expected = by_hand(p, n, delta, form, normalize)
    assert torch.stack([value.double() for value in found], dim=1).tolist() == [pytest.approx(row) for row in expected]


@pytest.mark.parametrize("form", ["per_critical", "per_other"])
def test_the_mean_is_the_paper_with_mu_divided_and_does_not_grow_with_the_batch(form: Any) -> None:
    """Over several steps, so the multipliers agree too; and a batch that is repeated k times costs the same."""
    torch.manual_seed(0)
    logits, labels = batch([0.5, -1.0, 0.25], [0.0, 0.75, -2.0, 1.0])
    terms = 4 if form == "per_critical" else 3
    losses = [
        ALMLoss(BCELoss(), in_logits(form=form, normalize=kind), num_samples=7, mu=mu).double()
        for kind, mu in (("mean", 0.5), ("paper", 0.5 / terms))
    ]
    for _ in range(3):
        noisy = logits + 0.1 * torch.randn_like(logits)
        values = [loss(noisy, labels, index=torch.arange(7)) for loss in losses]
        assert values[0].item() == pytest.approx(values[1].item(), rel=1e-6)
        for loss in losses:
            loss.update_multipliers_()
    assert losses[0].multipliers.tolist() == pytest.approx(losses[1].multipliers.tolist(), rel=1e-6)
    mean = in_logits(form=form, normalize="mean")
    assert cost(mean(logits.repeat(5), labels.repeat(5))) == pytest.approx(float(cost(mean(logits, labels))))


def test_the_hardest_share_is_the_constraint_over_the_highest_others() -> None:
    logits, labels = batch([0.5, 0.0], [k / 64 for k in range(100)])
    for share, kept in ((0.07, 7), (0.071, 8), (1e-15, 1), (1.0, 100)):  # 0.07 * 100 is 7.000000000000001
        others = [k / 64 for k in range(100 - kept, 100)]
        found, expected = in_logits(hardest=share)(logits, labels), in_logits()(*batch([0.5, 0.0], others))
        assert [v.tolist() for v in found] == [v.tolist() for v in expected]
    per_other = in_logits(hardest=0.07, form="per_other")(logits, labels)
    assert sorted(per_other.sample.tolist()) == list(range(95, 102))


def test_only_the_hardest_share_has_a_gradient() -> None:
    logits, labels = batch([0.0], [3.0, 1.0, 2.0, -1.0])
    logits.requires_grad_()
    in_logits(hardest=0.5)(logits, labels).q.sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [-2.0, 1.0, 0.0, 1.0, 0.0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("hardest", [None, 0.4])
@pytest.mark.parametrize("space", ["probability", "logit"])
def test_gradient_agrees_with_finite_differences(form: Any, normalize: Any, hardest: float | None, space: Any) -> None:
    torch.manual_seed(3)
    labels = torch.tensor([1, 0, 0, 1, 0, 0, 1, 0, 0])
    logits = torch.randn(9, 1, dtype=torch.float64, requires_grad=True)
    constraint = RankingConstraint(0.3, space, normalize=normalize, hardest=hardest, form=form)
    assert torch.autograd.gradcheck(lambda z: cost(constraint(z, labels)), logits)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("hardest", [None, 0.5])
def test_a_batch_of_one_class_costs_nothing(label: int, form: Any, normalize: Any, hardest: float | None) -> None:
    logits = torch.tensor([0.3, -1.0], requires_grad=True)
    found = in_logits(form=form, normalize=normalize, hardest=hardest)(logits, torch.full((2,), label))
    cost(found).backward()
    assert cost(found).item() == 0.0
    assert logits.grad is not None
    assert logits.grad.tolist() == [0.0, 0.0]


def test_probability_space_squashes_first() -> None:
    logits, labels = torch.tensor([[0.0], [2.0]]), torch.tensor([1, 0])
    assert RankingConstraint(0.25, "probability")(logits, labels).q.item() == pytest.approx(
        0.880797 - 0.5 + 0.25, abs=1e-6
    )
    assert RankingConstraint(0.25, "logit")(logits, labels).q.item() == pytest.approx(2.25)


@pytest.mark.parametrize(
    ("delta", "space"), [(-0.1, "logit"), (1.5, "probability"), (float("nan"), "logit"), (0.1, "odds")]
)
def test_a_margin_that_does_not_fit_its_space_is_refused(delta: float, space: str) -> None:
    with pytest.raises(ArgumentError):
        RankingConstraint(delta, space)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "kwargs",
    [{"normalize": "sum"}, {"form": "per_batch"}, {"hardest": 0.0}, {"hardest": 1.1}, {"hardest": float("nan")}],
)
def test_arguments_out_of_range_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=next(iter(kwargs))):
        RankingConstraint(**kwargs)


def test_labels_and_shapes_are_checked() -> None:
    with pytest.raises(ArgumentError, match="0 or 1"):
        RankingConstraint()(torch.zeros(2), torch.tensor([0, 2]))
    with pytest.raises(ArgumentError, match="one logit"):
        RankingConstraint()(torch.zeros(2, 2), torch.zeros(4))


def test_bce_is_finite_and_exact_far_out() -> None:
    logits = torch.tensor([1e4, -1e4], requires_grad=True)
    loss = BCELoss("none")(logits, torch.tensor([0, 1]))
    loss.sum().backward()
    assert loss.tolist() == [1e4, 1e4]
    assert logits.grad is not None
    assert logits.grad.tolist() == [1.0, -1.0]
