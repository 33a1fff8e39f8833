"""Eq. 6 and Eq. 7 against loops written from the paper, their laws, and the sorted form against the dense one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.errors import ArgumentError
from prostate_alm.losses import ALMLoss, MultiClassRankingConstraint, RankingConstraint, Violations
from prostate_alm.losses.multiclass import (
    dense_own_class_violation,
    own_class_violation,
    sorted_own_class_violation,
)

Form = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float], torch.Tensor]
CLASSES = 4
dyadic = st.integers(-16, 16).map(lambda n: n / 8)
samples = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.lists(dyadic, min_size=4, max_size=4)), max_size=10)
critical_sets = st.sampled_from([(1,), (0, 3), (3, 1, 0)])


def batch(drawn: list[tuple[int, list[float]]]) -> tuple[torch.Tensor, torch.Tensor]:
    logits = torch.tensor([row for _, row in drawn], dtype=torch.float64).reshape(-1, CLASSES)
    return logits, torch.tensor([c for c, _ in drawn], dtype=torch.long)


def constraint(critical: tuple[int, ...] = (1,), **kwargs: Any) -> MultiClassRankingConstraint:
    return MultiClassRankingConstraint(critical, CLASSES, **({"space": "logit", "delta": 0.25} | kwargs))


def equation(
    scores: list[list[float]], labels: list[int], critical: tuple[int, ...], delta: float, own_class: bool
) -> dict[int, tuple[float, int]]:
    """q_cj and the normaliser by position in the batch, loop by loop as Eq. 6 and Eq. 7 are printed."""
    found: dict[int, tuple[float, int]] = {}
    for c in critical:
        members = [j for j, y in enumerate(labels) if y == c]
        others = [k for k, y in enumerate(labels) if y not in critical]
        for j in members:
            q = 0.0
            for i in set(range(len(scores[0]))) - set(critical):
                for k in (k for k in others if labels[k] == i):
                    q += max(0.0, -(scores[j][c] - scores[k][c]) + delta)
                    q += max(0.0, (scores[j][i] - scores[k][i]) + delta) if own_class else 0.0
            found[j] = q, len(members) * len(others)
    return found


@given(
    samples, critical_sets, st.booleans(), st.sampled_from(["probability", "logit"]), st.sampled_from([0.0, 0.125, 1.0])
)
def test_each_violation_is_the_equation(
    drawn: list[tuple[int, list[float]]], critical: tuple[int, ...], own_class: bool, space: Any, delta: float
) -> None:
    logits, labels = batch(drawn)
    scores = (logits.softmax(dim=1) if space == "probability" else logits).tolist()
    expected = equation(scores, labels.tolist(), critical, delta, own_class)
    found = constraint(critical, own_class=own_class, space=space, delta=delta)(logits, labels)
    assert sorted(found.sample.tolist()) == sorted(expected)
    for q, square, sample, pairs in zip(*(values.tolist() for values in found), strict=True):
        assert (q, pairs) == (pytest.approx(expected[sample][0], abs=1e-12), expected[sample][1])
        assert square == pytest.approx(q * q)
    mean = constraint(critical, own_class=own_class, space=space, delta=delta, normalize="mean")(logits, labels)
    others = sum(y not in critical for y in labels.tolist())
    assert mean.q.tolist() == pytest.approx([q / max(others, 1) for q in found.q.tolist()])
    assert mean.pairs.tolist() == [sum(labels.tolist()[s] == y for y in labels.tolist()) for s in found.sample.tolist()]


def penalty(found: Violations) -> torch.Tensor:
    return ((found.square / 2 + found.q) / found.pairs.clamp_min(1.0)).sum()


@pytest.mark.parametrize("own_class", [False, True])
@pytest.mark.parametrize("space", ["probability", "logit"])
def test_gradient_agrees_with_finite_differences(own_class: bool, space: Any) -> None:
    torch.manual_seed(0)
    logits = torch.randn(12, CLASSES, dtype=torch.float64, requires_grad=True)
    rank = constraint((0, 2), own_class=own_class, space=space)
    assert torch.autograd.gradcheck(lambda z: penalty(rank(z, torch.arange(12) % CLASSES)), logits)


own_samples = st.lists(st.tuples(st.integers(0, CLASSES - 1), dyadic), max_size=12)


@given(st.lists(st.lists(dyadic, min_size=4, max_size=4), max_size=6), own_samples, st.sampled_from([0.0, 0.125, 1.0]))
def test_sorted_equals_dense_at_every_tie(
    critical: list[list[float]], others: list[tuple[int, float]], delta: float
) -> None:
    classes = torch.tensor([i for i, _ in others], dtype=torch.long)
    values = torch.tensor([value for _, value in others], dtype=torch.float64)
    results: list[list[torch.Tensor]] = []
    for form in (dense_own_class_violation, sorted_own_class_violation, own_class_violation):
        p = torch.tensor(critical, dtype=torch.float64).reshape(-1, CLASSES).requires_grad_()
        n = values[:, None].repeat(1, CLASSES).requires_grad_()
        q = form(p, n, classes, delta)
        ((q * torch.arange(1, len(q) + 1)).sum() + p.sum() + n.sum()).backward()
        assert p.grad is not None
        assert n.grad is not None
        results.append([q.detach(), p.grad, n.grad])
    for found in results[1:]:
        for a, b in zip(found, results[0], strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("critical", "others", "classes"), [(3, 60, 4), (60, 2000, 10), (300, 3000, 5), (1, 40_000, 3)]
)
def test_every_form_is_exact_in_float32_with_an_offset(critical: int, others: int, classes: int) -> None:
    torch.manual_seed(1)
    p, n = torch.randn(critical, classes) + 50, torch.randn(others, classes) + 50
    y = torch.randint(classes, (others,))
    exact = dense_own_class_violation(p.double(), n.double(), y, 0.5)
    for form in (sorted_own_class_violation, own_class_violation):
        # the float32 scores themselves hold 50 to 4e-6
        assert ((form(p, n, y, 0.5) - exact).abs() <= 4e-6 * others + 2e-6 * exact).all()


def test_the_gradient_of_the_sorted_form_agrees_with_finite_differences() -> None:
    torch.manual_seed(2)
    p, n = (torch.randn(size, 3, dtype=torch.float64, requires_grad=True) for size in (5, 8))
    y = torch.tensor([0, 2, 2, 0, 2, 2, 0, 2])  # class 1 has no other sample
    assert torch.autograd.gradcheck(lambda a, b: sorted_own_class_violation(a, b, y, 0.3), (p, n))


@pytest.mark.parametrize("form", [dense_own_class_violation, sorted_own_class_violation])
@pytest.mark.parametrize("critical_first", [True, False])
def test_a_score_that_is_no_number_shows_in_both_forms(form: Form, critical_first: bool) -> None:
    p, n = torch.randn(3, 2), torch.randn(9, 2)
    (p if critical_first else n)[1] = torch.nan
    assert form(p, n, torch.arange(9) % 2, 0.25).isnan().any()


@given(samples, critical_sets, st.booleans(), st.integers(-8, 8), st.sampled_from(["probability", "logit"]))
def test_a_constant_added_to_all_scores_changes_nothing(
    drawn: list[tuple[int, list[float]]], critical: tuple[int, ...], own_class: bool, c: int, space: Any
) -> None:
    logits, labels = batch(drawn)
    rank = constraint(critical, own_class=own_class, space=space)
    assert torch.allclose(rank(logits + c, labels).q, rank(logits, labels).q, rtol=1e-12, atol=1e-12)


@given(samples, critical_sets, st.booleans(), st.randoms(use_true_random=False))
def test_permuting_a_batch_permutes_its_constraints(
    drawn: list[tuple[int, list[float]]], critical: tuple[int, ...], own_class: bool, random: Any
) -> None:
    order = random.sample(range(len(drawn)), len(drawn))
    rank = constraint(critical, own_class=own_class)
    here, there = rank(*batch(drawn)), rank(*batch([drawn[k] for k in order]))
    assert {order[s]: q for s, q in zip(there.sample.tolist(), there.q.tolist(), strict=True)} == dict(
        zip(here.sample.tolist(), here.q.tolist(), strict=True)
    )


@given(samples, critical_sets)
def test_zero_exactly_when_every_sample_out_ranks_by_the_margin(
    drawn: list[tuple[int, list[float]]], critical: tuple[int, ...]
) -> None:
    others = [(y, row) for y, row in drawn if y not in critical]
    found = constraint(critical, own_class=True)(*batch(drawn))
    for q, sample in zip(found.q.tolist(), found.sample.tolist(), strict=True):
        c, mine = drawn[sample]
        above = all(mine[c] >= row[c] + 0.25 for _, row in others)
        assert (q == 0) == (above and all(row[y] >= mine[y] + 0.25 for y, row in others))


def test_another_critical_class_is_neither_critical_nor_other() -> None:
    """Section 4.3: the sums run over the non-critical classes, so nothing of class 3 enters a constraint of class 1."""
    labels = torch.tensor([1, 3, 0, 2])
    logits = torch.zeros(4, CLASSES, requires_grad=True)
    found = constraint((1, 3), own_class=True, delta=1.0)(logits, labels)
    assert found.sample.tolist() == [0, 1]
    found.q[0].backward()
    assert logits.grad is not None
    assert logits.grad[1].tolist() == [0.0] * CLASSES
    assert logits.grad[0].tolist() == [1.0, -2.0, 1.0, 0.0]


@pytest.mark.parametrize("own_class", [False, True])
def test_two_classes_are_the_binary_constraint(own_class: bool) -> None:
    """Eq. 6 with softmax over (0, z) is Eq. 4 with the sigmoid of z; there Eq. 7 counts each pair twice."""
    torch.manual_seed(3)
    z, labels = torch.randn(9, dtype=torch.float64), torch.tensor([1, 0, 0, 1, 0, 0, 0, 1, 0])
    two = MultiClassRankingConstraint([1], 2, delta=0.25, own_class=own_class)(
        torch.stack([torch.zeros_like(z), z], dim=1), labels
    )
    one = RankingConstraint(0.25)(z, labels)
    assert two.q.tolist() == pytest.approx(((1 + own_class) * one.q).tolist())
    assert (two.sample.tolist(), two.pairs.tolist()) == (one.sample.tolist(), one.pairs.tolist())


@pytest.mark.parametrize("labels", [[0, 2, 0], [1, 1, 1], []])
@pytest.mark.parametrize("own_class", [False, True])
def test_a_batch_without_pairs_costs_nothing(labels: list[int], own_class: bool) -> None:
    logits = torch.randn(len(labels), CLASSES, requires_grad=True)
    found = constraint(own_class=own_class)(logits, torch.tensor(labels, dtype=torch.long))
    penalty(found).backward()
    assert penalty(found).item() == 0.0
    assert logits.grad is not None
    assert logits.grad.count_nonzero() == 0


def test_the_augmented_lagrangian_takes_it_with_any_multi_class_loss() -> None:
    torch.manual_seed(4)
    loss = ALMLoss(torch.nn.CrossEntropyLoss(), constraint((0, 2), own_class=True), num_samples=20, mu=0.5)
    logits, labels, index = torch.randn(8, CLASSES), torch.arange(8) % CLASSES, torch.arange(10, 18)
    value = loss(logits, labels, index=index)
    expected = equation(logits.tolist(), labels.tolist(), (0, 2), 0.25, True)
    cost = sum(0.5 / (2 * pairs) * q * q for q, pairs in expected.values())
    assert value.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item() + cost, rel=1e-5)
    loss.update_multipliers_()
    moved = {k: v for k, v in enumerate(loss.multipliers.tolist()) if v}
    assert moved == {10 + j: pytest.approx(0.5 * q, rel=1e-5) for j, (q, _) in expected.items()}


@pytest.mark.parametrize("critical", [[], [1, 1], [4], [-1], [0, 1, 2, 3]])
def test_critical_classes_that_are_not_there_are_refused(critical: list[int]) -> None:
    with pytest.raises(ArgumentError, match="critical_classes"):
        MultiClassRankingConstraint(critical, CLASSES)


@pytest.mark.parametrize("kwargs", [{"delta": 1.5, "space": "probability"}, {"space": "odds"}, {"normalize": "sum"}])
def test_arguments_out_of_range_are_refused(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        constraint(**kwargs)


def test_labels_and_shapes_are_checked() -> None:
    with pytest.raises(ArgumentError, match="of 4 classes"):
        constraint()(torch.zeros(2, 5), torch.tensor([0, 1]))
    with pytest.raises(ArgumentError, match="0 to 3"):
        constraint()(torch.zeros(2, CLASSES), torch.tensor([0, 4]))
