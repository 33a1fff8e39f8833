"""Base losses from logits, in numerically stable form."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from prostate_alm.errors import ArgumentError

Reduction = Literal["mean", "sum", "none"]


class BCELoss(nn.Module):
    """Binary cross-entropy: ``y softplus(-z) + (1 - y) softplus(z)``.

    Args:
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an unknown `reduction`.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        if reduction not in ("mean", "sum", "none"):
            raise ArgumentError(f"`reduction` is {reduction!r}. Available: 'mean', 'sum', 'none'.")
        self.reduction: Reduction = reduction

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of `logits` ``[B]`` or ``[B, 1]`` for `labels` in {0, 1} of as many elements."""
        scores, targets = as_binary(logits, labels)
        return functional.binary_cross_entropy_with_logits(scores, targets.to(scores.dtype), reduction=self.reduction)


def as_binary(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits as ``[B]`` in at least float32 and labels as ``[B]`` bool.

    Raises:
        ArgumentError: the shapes do not agree, or a label is neither 0 nor 1.
    """
    scores, targets = logits.reshape(-1), labels.reshape(-1)
    if scores.shape != targets.shape or logits.shape[:1] != scores.shape:
        raise ArgumentError(
            f"expected one logit and one label a sample, `logits` [B] or [B, 1] and `labels` [B] or [B, 1]; "
            f"got {tuple(logits.shape)} and {tuple(labels.shape)}."
        )
    if not ((targets == 0) | (targets == 1)).all():
        raise ArgumentError("`labels` must be 0 or 1; map your classes before the loss.")
    if scores.dtype in (torch.float16, torch.bfloat16):
        scores = scores.float()
    return scores, targets.bool()
