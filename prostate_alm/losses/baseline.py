"""Cross-entropy, the base of every comparison."""

import torch
from torch import nn
from torch.nn import functional

from prostate_alm.losses.batch import Reduction, as_binary, checked_reduction, reduced


class BCELoss(nn.Module):
    """Binary cross-entropy: ``y softplus(-z) + (1 - y) softplus(z)``.

    Args:
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an unknown `reduction`.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of `logits` ``[B]`` or ``[B, 1]`` for `labels` in {0, 1} of as many elements."""
        scores, targets = as_binary(logits, labels)
        values = functional.binary_cross_entropy_with_logits(scores, targets.to(scores.dtype), reduction="none")
        return reduced(values, self.reduction)
