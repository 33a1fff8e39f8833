"""Sums of hinges over all pairs of thresholds and scores, exact, in linearithmic time.

A score n_k lies above the ``b_k`` lowest of the ascending thresholds ``t_(0) <= ... <= t_(P-1)``. That puts it into bin
``b_k - 1``, with the excess ``e_k = n_k - t_(b_k - 1)``. With the gaps ``g_j = t_(j+1) - t_(j)``, the number ``C_j`` of
scores above ``t_(j)`` and the sums ``E_j``, ``S_j`` of the excesses and of their squares in bin j,

    q_(j) = sum_k max(0, n_k - t_(j))   = q_(j+1) + g_j C_(j+1) + E_j,
    s_(j) = sum_k max(0, n_k - t_(j))^2 = s_(j+1) + g_j (2 q_(j+1) + g_j C_(j+1)) + S_j.

Only the thresholds are sorted: O((P + N) log P) time, O(P + N) memory. Every term is >= 0, so nothing cancels, however
large an offset of all scores. A log-linear evaluation of all-pairs hinge losses is due to Rust and Hocking (2023,
arXiv 2302.11062); theirs sorts all scores and gives the sum over j, here each q_j is needed.
"""

from typing import Any, NamedTuple, cast

import torch
from torch.autograd.function import once_differentiable


def hinge_sums(thresholds: torch.Tensor, scores: torch.Tensor, row: torch.Tensor | None = None) -> torch.Tensor:
    """Compute ``q_rj = sum_k max(0, n_k - t_rj)`` over the scores k of row r; differentiable.

    At a tie the subgradient 0 is taken.

    Args:
        thresholds: ``[R, P]``, P > 0.
        scores: ``[N]``, N > 0.
        row: ``[N]`` int64 in [0, R), the row that each score belongs to; None where R is 1.

    Returns:
        ``[R, P]``.
    """
    return _HingeSums.apply(thresholds, scores, row)  # pyright: ignore - torch leaves `apply` untyped


def hinge_and_square_sums(thresholds: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute ``q_j = sum_k max(0, n_k - t_j)`` and ``s_j``, the same sum of squares; differentiable.

    Args:
        thresholds: ``[P]``, P > 0.
        scores: ``[N]``, N > 0.

    Returns:
        Two tensors ``[P]``.
    """
    sums = _HingeAndSquareSums.apply(thresholds[None], scores)  # pyright: ignore - torch leaves `apply` untyped
    q, squares = cast(tuple[torch.Tensor, torch.Tensor], sums)
    return q[0], squares[0]


class _Bins(NamedTuple):
    """Where the scores lie among the thresholds of their row.

    Attributes:
        order: ``[R, P]`` that sorts each row.
        gaps: ``[R, P-1]`` between neighbours, in the dtype that sums are made in.
        cell: ``[N]`` place of each score in a flat ``[R, P+1]``: row, and number of thresholds below it.
        excess: ``[N]`` distance to the next threshold below, 0 where there is none.
        above: ``[R, P]`` number of scores above each sorted threshold.
    """

    order: torch.Tensor
    gaps: torch.Tensor
    cell: torch.Tensor
    excess: torch.Tensor
    above: torch.Tensor


def _binned(thresholds: torch.Tensor, scores: torch.Tensor, row: torch.Tensor | None) -> _Bins:
    ascending, order = thresholds.sort(dim=1)
    rows, width = ascending.shape[0], ascending.shape[1] + 1
    if row is None:
        cell = torch.searchsorted(ascending[0], scores)
    else:
        cell = row * width + _thresholds_below(ascending, scores, row)
    nearest = torch.cat([ascending[:, :1], ascending], dim=1).reshape(-1)[cell]
    inside = torch.bincount(cell, minlength=rows * width).view(rows, width)[:, 1:]
    return _Bins(order, ascending.to(_wide(scores)).diff(dim=1), cell, (scores - nearest).relu(), _tails(inside))


def _thresholds_below(ascending: torch.Tensor, scores: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Bisect each score in its own row: `torch.searchsorted` would need the scores padded to ``[R, max]``."""
    width = ascending.shape[1]
    flat, first = ascending.reshape(-1), row * width
    low, high = torch.zeros_like(row), torch.full_like(row, width)
    for _ in range(width.bit_length()):
        middle = (low + high) // 2
        reached = flat[first + middle.clamp_max(width - 1)] >= scores
        right = (middle < high) & ~reached  # a NaN goes to the right, where it shows in every sum
        low, high = torch.where(right, middle + 1, low), torch.where(right, high, middle)
    return low


def _wide(scores: torch.Tensor) -> torch.dtype:
    """Long sums are made in float64; Apple's GPUs have none."""
    return scores.dtype if scores.device.type == "mps" else torch.float64


def _tails(values: torch.Tensor) -> torch.Tensor:
    """Sum of each value and those after it in its row."""
    return values.flip(1).cumsum(1).flip(1)


def _bin_sums(values: torch.Tensor, bins: _Bins) -> torch.Tensor:
    """``[R, P]`` sums of `values` ``[N]`` by bin; scores below all thresholds are in none."""
    rows, width = bins.order.shape[0], bins.order.shape[1] + 1
    sums = values.new_zeros(rows * width, dtype=bins.gaps.dtype)
    return sums.index_add_(0, bins.cell, values.to(sums.dtype)).view(rows, width)[:, 1:]


def _sorted_q(bins: _Bins) -> torch.Tensor:
    steps = _bin_sums(bins.excess, bins)
    steps[:, :-1] += bins.gaps * bins.above[:, 1:]
    return _tails(steps)


def _unsorted(values: torch.Tensor, order: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return torch.empty_like(values, dtype=dtype).scatter_(1, order, values.to(dtype))


class _HingeSums(torch.autograd.Function):
    """Gradient: a threshold loses its weight for each score above it, a score gathers those of all thresholds below."""

    @staticmethod
    def forward(ctx: Any, thresholds: torch.Tensor, scores: torch.Tensor, row: torch.Tensor | None) -> torch.Tensor:
        bins = _binned(thresholds, scores, row)
        ctx.save_for_backward(bins.order, bins.cell, bins.above)
        return _unsorted(_sorted_q(bins), bins.order, scores.dtype)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator renames `ctx`
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, None]:
        order, cell, above = ctx.saved_tensors
        (weight,) = gradients
        weights = weight.gather(1, order)
        below = torch.cat([weights.new_zeros(len(weights), 1), weights.cumsum(1)], dim=1)
        return _unsorted(-weights * above, order, weight.dtype), below.reshape(-1)[cell], None


class _HingeAndSquareSums(torch.autograd.Function):
    """Both sums over one row of thresholds; ``ds_j/dt_j = -2 q_j``."""

    @staticmethod
    def forward(ctx: Any, thresholds: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bins = _binned(thresholds, scores, None)
        q = _sorted_q(bins)
        steps = _bin_sums(bins.excess.square(), bins)
        steps[:, :-1] += bins.gaps * (2 * q[:, 1:] + bins.gaps * bins.above[:, 1:])
        ctx.save_for_backward(*bins, q)
        return tuple(_unsorted(values, bins.order, scores.dtype) for values in (q, _tails(steps)))  # pyright: ignore[reportReturnType] - two of two

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator renames `ctx`
        ctx: Any, *gradients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        order, gaps, cell, excess, above, q = ctx.saved_tensors
        linear, square = (g.gather(1, order) for g in gradients)
        thresholds = -linear * above - 2 * square * q
        start = square.new_zeros(1, 1)
        total = torch.cat([start, square.cumsum(1)], dim=1)  # weights of the thresholds below a score
        reach = torch.cat(
            [start, start, (gaps * total[:, 1:-1]).cumsum(1)], dim=1
        )  # and how far they lie below the next
        slopes = torch.cat([start, linear.cumsum(1)], dim=1) + 2 * reach
        scores = slopes[0, cell] + 2 * total[0, cell] * excess
        return _unsorted(thresholds, order, excess.dtype), scores.to(excess.dtype)
