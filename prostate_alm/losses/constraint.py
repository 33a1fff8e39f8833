"""The ranking constraint: every critical sample out-ranks every other sample by a margin."""

from typing import Literal, NamedTuple, Protocol

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import as_binary
from prostate_alm.losses.violation import violation

Space = Literal["probability", "logit"]


class Violations(NamedTuple):
    """How far a batch is from satisfying its Q constraints, each of which belongs to one sample.

    Attributes:
        q: ``[Q]`` >= 0, differentiable; what the multiplier of the constraint weighs.
        square: ``[Q]`` what the quadratic penalty weighs: ``q ** 2`` where a sample has one constraint.
        sample: ``[Q]`` int64, the position in the batch of the sample whose multiplier it is.
        pairs: ``[Q]`` the normaliser ``|p| |n|`` of each.
    """

    q: torch.Tensor
    square: torch.Tensor
    sample: torch.Tensor
    pairs: torch.Tensor


class Constraint(Protocol):
    """Anything that gives the violations of a batch."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch."""
        ...


class RankingConstraint:
    """Eq. 4 of the paper for one logit a sample: one constraint a critical sample.

    Args:
        delta: margin by which a critical sample must out-rank, >= 0. In probability space at most 1: a larger
            margin can't be met.
        space: "probability" as in the paper (section 4.1), or "logit" as in the authors' code.

    Raises:
        ArgumentError: `delta` or `space` is out of range.
    """

    def __init__(self, delta: float = 0.25, space: Space = "probability") -> None:
        self.delta, self.space = checked_margin(delta, space)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch of `logits` ``[B]`` or ``[B, 1]`` with `labels` in {0, 1}; 1 is critical."""
        scores, critical = as_binary(logits, labels)
        if self.space == "probability":
            scores = scores.sigmoid()
        others = scores[~critical]
        q = violation(scores[critical], others, self.delta)
        return Violations(q, q.square(), critical.nonzero().reshape(-1), torch.full_like(q, q.numel() * others.numel()))


def checked_margin(delta: float, space: str) -> tuple[float, Space]:
    """Return a margin and its space when they fit together.

    Raises:
        ArgumentError: they do not.
    """
    if space not in ("probability", "logit"):
        raise ArgumentError(f"`space` is {space!r}. Available: 'probability', 'logit'.")
    if not 0.0 <= delta < float("inf"):
        raise ArgumentError(f"`delta` must be a finite number >= 0, got {delta}.")
    if space == "probability" and delta > 1.0:
        raise ArgumentError(
            f"`delta` is {delta}: no two probabilities are more than 1 apart; use <= 1 or space='logit'."
        )
    return delta, space
