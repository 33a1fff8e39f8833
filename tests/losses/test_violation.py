"""The sorted form is the dense form: values everywhere, gradients also at ties."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prostate_alm.losses.violation import dense_violation, sorted_violation, violation

Form = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
dyadic = st.lists(st.integers(-40, 40).map(lambda n: n / 8), max_size=12)  # exact in binary, so ties are ties


def with_gradients(form: Form, critical: torch.Tensor, others: torch.Tensor, delta: float) -> list[torch.Tensor]:
    """q, and the gradients of a cost in which each q_j weighs differently."""
    p, n = critical.clone().requires_grad_(), others.clone().requires_grad_()
    q = form(p, n, delta)
    (q.square() / 2 + q * torch.arange(1, len(q) + 1)).sum().backward()
    zeros = [torch.zeros_like(p), torch.zeros_like(n)]
    return [q.detach(), *(z if g is None else g for g, z in zip((p.grad, n.grad), zeros, strict=True))]


@given(dyadic, dyadic, st.sampled_from([0.0, 0.125, 1.0, 5.0]))
def test_sorted_equals_dense_at_every_tie(critical: list[float], others: list[float], delta: float) -> None:
    p, n = (torch.tensor(values, dtype=torch.float64) for values in (critical, others))
    for a, b in zip(*(with_gradients(f, p, n, delta) for f in (dense_violation, sorted_violation)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("size", "offset"), [((257, 1023), 0.0), ((64, 4096), 100.0), ((1, 5000), 10.0)])
def test_sorted_is_as_exact_in_float32_as_dense(size: tuple[int, int], offset: float) -> None:
    """A sum of differences would lose digits to an offset of the scores; the gaps do not."""
    torch.manual_seed(0)
    p, n = torch.randn(size[0]) + offset, torch.randn(size[1]) + offset
    exact = dense_violation(p.double(), n.double(), 0.5)
    assert ((sorted_violation(p, n, 0.5) - exact).abs() <= 1e-5 * exact.clamp_min(1.0)).all()
    found, expected = (with_gradients(f, p, n, 0.5) for f in (sorted_violation, dense_violation))
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-4)


def test_gradient_agrees_with_finite_differences() -> None:
    torch.manual_seed(1)
    scores = [torch.randn(n, dtype=torch.float64, requires_grad=True) for n in (5, 9)]
    assert torch.autograd.gradcheck(lambda p, n: sorted_violation(p, n, 0.3), scores)


@pytest.mark.parametrize("size", [(4, 60), (17, 20_000), (3, 100_000)])
def test_the_automatic_choice_changes_no_value(size: tuple[int, int]) -> None:
    torch.manual_seed(2)
    p, n = torch.randn(size[0], dtype=torch.float64), torch.randn(size[1], dtype=torch.float64)
    assert torch.allclose(violation(p, n, 0.25), dense_violation(p, n, 0.25), rtol=1e-12)
