"""Cross-entropy, the base of every comparison."""

import torch
from torch.nn import functional

from prostate_alm.losses.per_sample import PerSampleLoss


class BCELoss(PerSampleLoss):
    """Binary cross-entropy: ``y softplus(-z) + (1 - y) softplus(z)``.

    Args:
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an unknown `reduction`.
    """

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return binary_cross_entropy(scores, targets)


class CrossEntropyLoss(PerSampleLoss):
    """Cross-entropy of C logits: ``logsumexp_k Z_k - Z_y``.

    Args:
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an unknown `reduction`.
    """

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return cross_entropy(scores, targets)


def signed(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Logit of the label's own class: ``z`` for 1, ``-z`` for 0."""
    return torch.where(targets, scores, -scores)


def binary_cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy ``[B]`` of scores ``[B]`` and targets ``[B]`` bool."""
    return -functional.logsigmoid(signed(scores, targets))


def cross_entropy(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross-entropy ``[B]`` of scores ``[B, C]`` and targets ``[B]`` int64."""
    return functional.cross_entropy(scores, targets, reduction="none")


def one_hot(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """``[B, C]`` bool, true at each sample's own class."""
    return targets[:, None] == torch.arange(scores.shape[1], device=scores.device)
