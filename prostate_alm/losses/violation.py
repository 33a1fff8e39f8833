"""The violation ``q_j`` of the ranking constraint, exact, in linearithmic time.

Two forms give the same values. The dense form is the definition, O(P N) in time and memory. The sorted form
evaluates, for ascending scores ``n_(0) <= ... <= n_(N-1)`` of the others and ``t_j = f(x_j) - delta``,

    q_j = H[i_j] + (N - i_j) (n_(i_j) - t_j),   i_j = number of n_k <= t_j,
    H[i] = sum_{k >= i} (n_(k) - n_(i)) = sum_{k >= i} (N - 1 - k) (n_(k+1) - n_(k)),

in O((P + N) log(P + N)) time and O(P + N) memory. Every term is >= 0, so nothing cancels and float32 suffices. A
log-linear evaluation of all-pairs hinge losses is due to Rust and Hocking (2023, arXiv 2302.11062); theirs gives the
sum over j, here each q_j is needed.
"""

from typing import Any

import torch
from torch.autograd.function import once_differentiable

DENSE_PAIRS = 200_000  # measured on CPU: below it, or for few critical samples, the dense form is faster
DENSE_CRITICAL = 16
DENSE_LIMIT = 50_000_000  # pairs above which the dense form is never taken: 200 MB of float32


def violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """Compute ``q_j = sum_k max(0, -(f(x_j) - f(x_k)) + delta)`` (Sangalli et al. 2021, below Eq. 5).

    Exact and differentiable; takes the faster of the dense and the sorted form.

    Args:
        critical_scores: ``[P]``.
        other_scores: ``[N]``.
        delta: margin, in the unit of the scores.

    Returns:
        ``[P]``, >= 0; 0 exactly where a critical sample out-ranks every other by `delta`. At an exact tie the
        subgradient 0 is taken. Either set may be empty.

    >>> violation(torch.tensor([0.5, 0.9]), torch.tensor([0.4, 0.6]), 0.25)
    tensor([0.5000, 0.0000])
    """
    pairs = critical_scores.numel() * other_scores.numel()
    if pairs <= DENSE_PAIRS or (critical_scores.numel() <= DENSE_CRITICAL and pairs <= DENSE_LIMIT):
        return dense_violation(critical_scores, other_scores, delta)
    return sorted_violation(critical_scores, other_scores, delta)


def dense_violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """`violation` by its definition, pair by pair: O(P N) time and memory."""
    gaps = other_scores[None, :] - (critical_scores - delta)[:, None]
    return gaps.relu().sum(dim=1)


def sorted_violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """`violation` by sorting: O((P + N) log(P + N)) time, O(P + N) memory."""
    if other_scores.numel() == 0:
        return dense_violation(critical_scores, other_scores, delta)
    return _HingeSum.apply(critical_scores - delta, other_scores)  # pyright: ignore - torch leaves `apply` untyped


class _HingeSum(torch.autograd.Function):
    """``q_j = sum_k max(0, n_k - t_j)`` for thresholds t ``[P]`` and scores n ``[N]``."""

    @staticmethod
    def forward(ctx: Any, thresholds: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        ascending = scores.sort().values
        total = ascending.numel()
        above = torch.arange(total - 1, 0, -1, device=scores.device, dtype=scores.dtype)
        steps = ascending.diff() * above
        tails = torch.cat([steps.flip(0).cumsum(0).flip(0), steps.new_zeros(2)])  # H[0] .. H[N]
        first = torch.searchsorted(ascending, thresholds, right=True)
        count = (total - first).to(scores.dtype)
        next_above = torch.cat([ascending, ascending[-1:]])[first]
        ctx.save_for_backward(thresholds, scores, count)
        return tails[first] + count * (next_above - thresholds)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator renames `ctx`
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """``dq_j/dt_j = -count_j``; a score gathers the weights of all thresholds below it."""
        thresholds, scores, count = ctx.saved_tensors
        (weight,) = gradients
        ascending, order = thresholds.sort()
        gathered = torch.cat([weight.new_zeros(1), weight[order].cumsum(0)])
        return -weight * count, gathered[torch.searchsorted(ascending, scores, right=False)]
