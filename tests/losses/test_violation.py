"""The sorted forms are the dense forms: values everywhere, gradients also at ties."""

from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.losses.violation import (
    SQUARE_LIMIT,
    VIOLATION_LIMIT,
    DenseLimit,
    dense_violation,
    dense_violation_and_square,
    sorted_violation,
    sorted_violation_and_square,
    violation,
    violation_and_square,
)

Form = Callable[[torch.Tensor, torch.Tensor, float], Sequence[torch.Tensor]]
dyadic = st.lists(st.integers(-40, 40).map(lambda n: n / 8), max_size=12)  # exact in binary, so ties are ties


def alone(form: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]) -> Form:
    return lambda p, n, delta: (form(p, n, delta),)


FORMS: list[tuple[Form, Form, Form]] = [
    (alone(dense_violation), alone(sorted_violation), alone(violation)),
    (dense_violation_and_square, sorted_violation_and_square, violation_and_square),
]


def with_gradients(form: Form, critical: torch.Tensor, others: torch.Tensor, delta: float) -> list[torch.Tensor]:
    """The sums, and the gradients of a cost in which each of them weighs differently, with either sign."""
    p, n = critical.clone().requires_grad_(), others.clone().requires_grad_()
    sums = form(p, n, delta)
    weights = torch.arange(1, len(p) + 1) * (-1.0) ** torch.arange(len(p))
    cost = sum(
        ((value.square() / 2 + value * weights).sum() * (1 + i) for i, value in enumerate(sums)), p.sum() + n.sum()
    )
    cost.backward()
    assert p.grad is not None
    assert n.grad is not None
    return [*(value.detach() for value in sums), p.grad, n.grad]


@pytest.mark.parametrize("forms", FORMS)
@given(critical=dyadic, others=dyadic, delta=st.sampled_from([0.0, 0.125, 1.0, 5.0]))
def test_sorted_equals_dense_at_every_tie(
    forms: tuple[Form, Form, Form], critical: list[float], others: list[float], delta: float
) -> None:
    p, n = (torch.tensor(values, dtype=torch.float64) for values in (critical, others))
    expected, *found = (with_gradients(form, p, n, delta) for form in forms)
    for values in found:
        for a, b in zip(values, expected, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize(("dense", "fast", "automatic"), FORMS)
@pytest.mark.parametrize(
    ("size", "offset"), [((257, 1023), 0.0), ((64, 4096), 100.0), ((1, 5000), 10.0), ((3, 1), 0.0)]
)
def test_sorted_is_as_exact_in_float32_as_dense(
    dense: Form, fast: Form, automatic: Form, size: tuple[int, int], offset: float
) -> None:
    """A sum of differences would lose digits to an offset of the scores; the gaps do not."""
    torch.manual_seed(0)
    p, n = torch.randn(size[0]) + offset, torch.randn(size[1]) + offset
    for form in (fast, automatic):
        for found, exact in zip(form(p, n, 0.5), dense(p.double(), n.double(), 0.5), strict=True):
            assert found.dtype == torch.float32
            assert ((found - exact).abs() <= 2e-6 * exact.clamp_min(1.0)).all()
        # the same float32 scores rank the same pairs, so each gradient counts the same ones
        for a, b in zip(with_gradients(form, p, n, 0.5), with_gradients(dense, p, n, 0.5), strict=True):
            assert torch.allclose(a, b, rtol=1e-4, atol=1e-5 * float(b.abs().max()))


@pytest.mark.parametrize("form", [sorted_violation, sorted_violation_and_square])
def test_gradient_agrees_with_finite_differences(form: Form) -> None:
    torch.manual_seed(1)
    for sizes in ((5, 9), (1, 4), (6, 1)):
        scores = [torch.randn(n, dtype=torch.float64, requires_grad=True) for n in sizes]
        assert torch.autograd.gradcheck(lambda p, n: form(p, n, 0.3), scores)


@pytest.mark.parametrize(("dense", "fast", "automatic"), FORMS)
@pytest.mark.parametrize("size", [(4, 60), (17, 20_000), (3, 100_000), (300, 1000), (2000, 200)])
def test_the_automatic_choice_changes_no_value(dense: Form, fast: Form, automatic: Form, size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    p, n = torch.randn(size[0], dtype=torch.float64), torch.randn(size[1], dtype=torch.float64)
    for a, b in zip(automatic(p, n, 0.25), dense(p, n, 0.25), strict=True):
        assert torch.allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("limit", [VIOLATION_LIMIT, SQUARE_LIMIT])
def test_few_pairs_are_dense_and_memory_never_grows_as_the_product(limit: DenseLimit) -> None:
    assert limit.holds(4, 60)
    assert limit.holds(1, 10**7)
    assert not limit.holds(1000, 100_000)


@pytest.mark.parametrize(("dense", "fast", "automatic"), FORMS)
@pytest.mark.parametrize("place", range(5))
def test_a_score_that_is_no_number_shows_in_both_forms(dense: Form, fast: Form, automatic: Form, place: int) -> None:
    scores = torch.tensor([0.1, 0.4, 0.2, 0.9, 0.3])
    scores[place] = torch.nan
    for form in (dense, fast, automatic):
        assert all(values.isnan().any() for values in form(scores[:2], scores[2:], 0.25))
