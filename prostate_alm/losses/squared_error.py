"""Mean false error: every class's mean error counts alike, however few its samples are."""

import torch
from torch import nn

from prostate_alm.losses.baseline import one_hot, signed
from prostate_alm.losses.batch import Reduction, as_binary, as_classes, checked_reduction


class MeanFalseErrorLoss(nn.Module):
    """Mean false error (MFE): ``sum_c e_c``, with ``e_c`` the mean error of class c in the batch.

    Binary: ``FPE + FNE`` with a sample's error ``(sigmoid(z) - y)^2 / 2``. Multi-class: the error is
    ``sum_k (softmax(Z)_k - onehot(y)_k)^2 / 2``, for two outputs twice that of the one.

    Source: Wang et al. 2016.

    Args:
        reduction: what to do with the classes' terms: "sum" as in the paper, "mean", or "none" for ``[C]``, in the
            binary case (FPE, FNE). A class that is not in the batch has term 0.

    Raises:
        ArgumentError: an unknown `reduction`.
    """

    def __init__(self, reduction: Reduction = "sum") -> None:
        super().__init__()
        self.reduction: Reduction = checked_reduction(reduction)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of `logits` ``[B]`` or ``[B, 1]`` with labels in {0, 1}, or ``[B, C]`` with labels in [0, C)."""
        terms = self.terms(_class_errors(logits, labels))
        if self.reduction == "none":
            return terms
        return terms.sum() if self.reduction == "sum" else terms.mean()

    def terms(self, errors: torch.Tensor) -> torch.Tensor:
        """Terms ``[C]`` of the classes' mean errors ``[C]``."""
        return errors


class MeanSquaredFalseErrorLoss(MeanFalseErrorLoss):
    """Mean squared false error (MSFE): ``sum_c e_c^2``; binary ``FPE^2 + FNE^2``.

    Source: Wang et al. 2016. The squares make the sum small only when both errors are. Errors and arguments as in
    `MeanFalseErrorLoss`.
    """

    def terms(self, errors: torch.Tensor) -> torch.Tensor:
        """Terms ``[C]`` of the classes' mean errors ``[C]``."""
        return errors.square()


def _class_errors(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean error of each class of the batch ``[C]``, 0 for one that is not in it."""
    if logits.ndim == 2 and logits.shape[1] >= 2:
        scores, targets = as_classes(logits, labels)
        own = one_hot(scores, targets)
        errors = (scores.softmax(dim=1) - own.to(scores)).square().sum(dim=1) / 2
    else:
        scores, targets = as_binary(logits, labels)
        own = torch.stack([~targets, targets], dim=1)
        errors = (-signed(scores, targets)).sigmoid().square() / 2
    return (errors[:, None] * own).sum(dim=0) / own.sum(dim=0).clamp_min(1)
