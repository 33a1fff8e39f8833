"""The mini-batch AUC loss."""

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import Reduction, as_binary, checked_reduction


class MiniBatchAUCLoss(nn.Module):
    """Mini-batch AUC (MBAUC): the mean of ``(1 - (sigmoid(z_j) - sigmoid(z_k)))^2`` over critical j and other k.

    In O(B) and exact: with ``a = 1 - sigmoid(z_j)`` and ``b = sigmoid(z_k)`` it is ``E[a^2] + 2 E[a] E[b] + E[b^2]``.

    Source: Gultekin et al. 2020, in the form that Sangalli et al. 2021 use for deep networks (the original is a linear
    model with a closed form).

    Args:
        reduction: "mean" over the pairs, or "sum". A value belongs to a pair of samples, so there is no "none". A batch
            of one class has no pairs and costs 0.

    Raises:
        ArgumentError: another `reduction`.
    """

    def __init__(self, reduction: Reduction = "mean") -> None:
        super().__init__()
        self.reduction: Reduction = checked_reduction(reduction)
        if reduction == "none":
            raise ArgumentError("`reduction` is 'none', but MBAUC has no value a sample. Available: 'mean', 'sum'.")

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of `logits` ``[B]`` or ``[B, 1]`` for `labels` in {0, 1} of as many elements."""
        scores, is_critical = as_binary(logits, labels)
        misses, alarms = (-scores[is_critical]).sigmoid(), scores[~is_critical].sigmoid()
        critical, others = misses.numel(), alarms.numel()
        pairs = critical * others  # with 0 of them, the sums below are all multiplied by 0
        total = others * misses.square().sum() + 2 * misses.sum() * alarms.sum() + critical * alarms.square().sum()
        return total / max(pairs, 1) if self.reduction == "mean" else total
