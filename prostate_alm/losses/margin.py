"""Margin losses: the logit of a sample's own class must win by a margin."""

from collections.abc import Sequence

import torch

from prostate_alm.losses.baseline import cross_entropy, one_hot, signed
from prostate_alm.losses.batch import Reduction
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class MarginLoss(PerSampleLoss):
    """Cross-entropy after the label's own logit was lowered by a margin; symmetric (S-ML) or asymmetric (A-ML).

    - binary, S-ML: ``y softplus(-(z - m)) + (1 - y) softplus(z + m)``;
      A-ML with critical class 1: ``y softplus(-(z - m)) + (1 - y) softplus(z)``
    - multi-class: ``CE(Z - m onehot(y) 1[y critical], y)``

    Source: Li, Kamnitsas, Glocker 2019 (asymmetric large margin loss). For S-ML Sangalli et al. 2021 cite the
    multiplicative margin of Liu et al. 2016; the additive one here is what they and Li et al. compare with.

    Args:
        margin: m >= 0, in logits; 0 is cross-entropy. The paper searches 0.5, 2, 4.
        critical_classes: None for the margin in every class (S-ML), or the classes that get it (A-ML); ``[1]`` in
            the binary case.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(
        self, margin: float, critical_classes: Sequence[int] | None = None, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction, critical_classes=critical_classes)
        self.margin = checked_positive("margin", margin, or_zero=True)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return binary_margin(scores, targets, self.margin * self.is_critical(targets).to(scores))

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return multi_class_margin(scores, targets, self.margin * self.is_critical(targets).to(scores))


def binary_margin(scores: torch.Tensor, targets: torch.Tensor, margins: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy ``[B]`` with the margin ``[B]`` of each sample."""
    return -torch.nn.functional.logsigmoid(signed(scores, targets) - margins)


def multi_class_margin(scores: torch.Tensor, targets: torch.Tensor, margins: torch.Tensor) -> torch.Tensor:
    """Cross-entropy ``[B]`` of ``[B, C]`` with the margin ``[B]`` of each sample."""
    return cross_entropy(scores - margins[:, None] * one_hot(scores, targets), targets)
