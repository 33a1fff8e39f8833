"""What all losses that are a sum over samples have in common."""

from collections.abc import Sequence

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import Reduction, as_binary, as_classes, checked_reduction, reduced


class PerSampleLoss(nn.Module):
    """A loss with one value a sample: of one logit, of C logits, or of either; a subclass says which.

    Logits ``[B]`` or ``[B, 1]`` with labels in {0, 1} are binary: 1 is the critical class. Logits ``[B, C]`` with
    C >= 2 and integer labels in [0, C) are multi-class. Half precision is computed in float32. Two-class
    logits ``(0, z)`` have the value of the one logit ``z``, where a loss does not say otherwise.

    Args:
        reduction: "mean" over the batch (0 for an empty one), "sum", or "none" for ``[B]``.
        classes: number of classes that the loss knows something about; None fits any.
        critical_classes: what an asymmetric loss treats as critical; None is a symmetric loss.

    Raises:
        ArgumentError: an unknown `reduction`, or `critical_classes` that are no set of classes.
    """

    def __init__(
        self,
        reduction: Reduction = "mean",
        *,
        classes: int | None = None,
        critical_classes: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.reduction: Reduction = checked_reduction(reduction)
        self.classes = classes
        self.critical_classes = None if critical_classes is None else tuple(sorted(set(critical_classes)))
        if self.critical_classes is not None and (not self.critical_classes or self.critical_classes[0] < 0):
            raise ArgumentError(
                f"`critical_classes` must name at least one class, counted from 0, or be None; got {critical_classes}."
            )

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Loss of a batch.

        Raises:
            ArgumentError: logits and labels are not a batch as above, or not of this loss's classes.
        """
        if logits.ndim == 2 and logits.shape[1] >= 2:
            scores, targets = as_classes(logits, labels)
            self._check_classes(scores.shape[1])
            values = self.multi_class(scores, targets)
        else:
            scores, targets = as_binary(logits, labels)
            self._check_classes(2)
            values = self.binary(scores, targets)
        return reduced(values, self.reduction)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]`` of scores ``[B]`` and targets ``[B]`` bool."""
        raise ArgumentError(f"{type(self).__name__} is for `logits` [B, C] with C >= 2; one logit a sample came.")

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]`` of scores ``[B, C]`` and targets ``[B]`` int64."""
        raise ArgumentError(f"{type(self).__name__} is for one logit a sample; {scores.shape[1]} came.")

    def is_critical(self, targets: torch.Tensor) -> torch.Tensor:
        """``[B]`` bool, which samples are of a critical class; all of them in a symmetric loss."""
        if self.critical_classes is None:
            return torch.ones_like(targets, dtype=torch.bool)
        return torch.stack([targets == c for c in self.critical_classes]).any(dim=0)

    def _check_classes(self, found: int) -> None:
        if self.classes is not None and self.classes != found:
            raise ArgumentError(f"this loss was made for {self.classes} classes, the `logits` are of {found}.")
        if self.critical_classes is not None and self.critical_classes[-1] >= found:
            raise ArgumentError(
                f"critical class {self.critical_classes[-1]} is not there: the `logits` are of {found} classes."
            )


def checked_positive(name: str, value: float, *, or_zero: bool = False) -> float:
    """Return a finite number > 0, or >= 0.

    Raises:
        ArgumentError: it is not.
    """
    if not (0.0 < value < float("inf") or (or_zero and value == 0.0)):
        raise ArgumentError(f"`{name}` must be a finite number {'>=' if or_zero else '>'} 0, got {value}.")
    return float(value)
