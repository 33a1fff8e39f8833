"""The ranking constraint: every critical sample out-ranks every other sample by a margin."""

from typing import Literal, NamedTuple

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.baseline import as_binary
from prostate_alm.losses.violation import violation

Space = Literal["probability", "logit"]


class Violations(NamedTuple):
    """How far a batch is from satisfying the constraint.

    Attributes:
        q: ``[P]``, one a critical sample, >= 0; differentiable.
        critical: ``[B]`` bool, which samples of the batch are critical, in the order of `q`.
        others: number N of the other samples.
    """

    q: torch.Tensor
    critical: torch.Tensor
    others: int


class RankingConstraint:
    """Eq. 4 of the paper for one logit a sample.

    Args:
        delta: margin by which a critical sample must out-rank, > 0. In probability space below 1: a larger
            margin can't be met.
        space: "probability" as in the paper (section 4.1), or "logit" as in the authors' code.

    Raises:
        ArgumentError: `delta` or `space` is out of range.
    """

    def __init__(self, delta: float = 0.25, space: Space = "probability") -> None:
        if space not in ("probability", "logit"):
            raise ArgumentError(f"`space` is {space!r}. Available: 'probability', 'logit'.")
        if not 0.0 <= delta < float("inf"):
            raise ArgumentError(f"`delta` must be a finite number >= 0, got {delta}.")
        if space == "probability" and delta > 1.0:
            raise ArgumentError(
                f"`delta` is {delta}: no two probabilities are more than 1 apart; use <= 1 or `space='logit'`."
            )
        self.delta = delta
        self.space = space

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch of `logits` ``[B]`` or ``[B, 1]`` with `labels` in {0, 1}."""
        scores, critical = as_binary(logits, labels)
        if self.space == "probability":
            scores = scores.sigmoid()
        others = scores[~critical]
        return Violations(violation(scores[critical], others, self.delta), critical, others.numel())
