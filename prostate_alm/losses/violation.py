"""The violation ``q_j`` of the ranking constraint, by its definition where that is faster, else by sorting."""

from typing import NamedTuple

import torch

from prostate_alm.losses.hinge import hinge_and_square_sums, hinge_sums


class DenseLimit(NamedTuple):
    """Up to how many pairs the dense form is faster, measured on a CPU (docs/benchmarks.md).

    It grows with the samples, as sorting does, so the memory of the faster form is O(P + N) too.
    """

    fixed: int
    per_critical: int
    per_other: int

    def holds(self, critical: int, others: int) -> bool:
        """Whether to go pair by pair for so many samples."""
        return critical * others <= self.fixed + self.per_critical * critical + self.per_other * others


VIOLATION_LIMIT = DenseLimit(200_000, 40, 22)
SQUARE_LIMIT = DenseLimit(80_000, 20, 8)


def violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """Compute ``q_j = sum_k max(0, -(f(x_j) - f(x_k)) + delta)`` (Sangalli et al. 2021, below Eq. 5).

    Exact and differentiable; takes the faster of the dense and the sorted form.

    Args:
        critical_scores: ``[P]``.
        other_scores: ``[N]``.
        delta: margin, in the unit of the scores.

    Returns:
        ``[P]``, >= 0; 0 exactly where a critical sample out-ranks every other by `delta`. At an exact tie the
        subgradient 0 is taken. Either set may be empty. A NaN among the scores makes a violation NaN.

    >>> violation(torch.tensor([0.5, 0.9]), torch.tensor([0.4, 0.6]), 0.25)
    tensor([0.5000, 0.0000])
    """
    dense = VIOLATION_LIMIT.holds(critical_scores.numel(), other_scores.numel())
    return (dense_violation if dense else sorted_violation)(critical_scores, other_scores, delta)


def violation_and_square(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute `violation` and the sum over k of the squares of its terms, each ``[P]``.

    >>> violation_and_square(torch.tensor([0.5]), torch.tensor([0.25, 0.75]), 0.5)
    (tensor([1.]), tensor([0.6250]))
    """
    dense = SQUARE_LIMIT.holds(critical_scores.numel(), other_scores.numel())
    return (dense_violation_and_square if dense else sorted_violation_and_square)(critical_scores, other_scores, delta)


def dense_violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """`violation` by its definition, pair by pair: O(P N) time and memory."""
    return _hinges(critical_scores, other_scores, delta).sum(dim=1)


def sorted_violation(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    """`violation` by sorting: O((P + N) log P) time, O(P + N) memory."""
    if critical_scores.numel() == 0 or other_scores.numel() == 0:
        return dense_violation(critical_scores, other_scores, delta)
    return hinge_sums((critical_scores - delta)[None], other_scores)[0]


def dense_violation_and_square(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`violation_and_square` pair by pair."""
    hinges = _hinges(critical_scores, other_scores, delta)
    return hinges.sum(dim=1), hinges.square().sum(dim=1)


def sorted_violation_and_square(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """`violation_and_square` by sorting."""
    if critical_scores.numel() == 0 or other_scores.numel() == 0:
        return dense_violation_and_square(critical_scores, other_scores, delta)
    return hinge_and_square_sums(critical_scores - delta, other_scores)


def _hinges(critical_scores: torch.Tensor, other_scores: torch.Tensor, delta: float) -> torch.Tensor:
    return (other_scores[None, :] - (critical_scores - delta)[:, None]).relu()
