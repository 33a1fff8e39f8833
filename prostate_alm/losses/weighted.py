"""Losses that weigh each sample by its class."""

from collections.abc import Sequence

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.baseline import binary_cross_entropy, cross_entropy
from prostate_alm.losses.batch import Reduction
from prostate_alm.losses.class_counts import checked_class_weights, class_balanced_weights
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class WeightedBCELoss(PerSampleLoss):
    """Cost-weighted binary cross-entropy (W-BCE): ``c y softplus(-z) + (1 - y) softplus(z)``.

    Source: Zadrozny, Langford, Abe 2003. The mean is over the batch, not over the weights.

    Args:
        weight: cost c > 0 of the critical class; 1 is BCE. The paper searches N/3, 2N/3 and N for 1:N imbalance.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(self, weight: float, *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction)
        self.weight = checked_positive("weight", weight)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        values = binary_cross_entropy(scores, targets)
        return torch.where(targets, self.weight * values, values)


class ClassWeightedLoss(PerSampleLoss):
    """Cross-entropy, of one logit or of C, with a weight a class: ``w_y CE``.

    The mean is over the batch; torch's own weighted mean divides by the sum of the batch's weights instead.

    Args:
        weights: weight of each class, > 0; two in the binary case.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    weights: torch.Tensor

    def __init__(self, weights: Sequence[float], *, reduction: Reduction = "mean") -> None:
        super().__init__(reduction, classes=len(weights))
        self.register_buffer("weights", checked_class_weights(weights), persistent=False)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return self.weights.to(scores)[targets.long()] * binary_cross_entropy(scores, targets)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return self.weights.to(scores)[targets] * cross_entropy(scores, targets)


class ClassBalancedLoss(ClassWeightedLoss):
    """Class-balanced cross-entropy (CB-BCE, CB-CE): ``w_y CE`` with ``w_c ~ (1 - beta) / (1 - beta ** n_c)``.

    Source: Cui et al. 2019 (class-balanced softmax cross-entropy). See `class_balanced_weights`.

    Args:
        counts: training samples of each class, >= 1.
        beta: in [0, 1); 0 is cross-entropy. The paper searches 0.99, 0.999, 0.9999.
        normalize: scale the weights to the sum C, as Cui et al. do. The code of Sangalli et al. does not, which leaves
            the loss about a hundredth of its size at beta 0.99; False does the same.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(
        self, counts: Sequence[int], beta: float = 0.9999, *, normalize: bool = True, reduction: Reduction = "mean"
    ) -> None:
        weights = class_balanced_weights(counts, beta, normalize=normalize)
        super().__init__([float(weight) for weight in weights], reduction=reduction)


class DeferredReweightingLoss(PerSampleLoss):
    """Deferred re-weighting (DRW): the base loss, times class-balanced weights in the last epochs.

    Source: Cao et al. 2019, Algorithm 1. Their code divides by the sum of the batch's weights; the mean here is over
    the batch, and the weights sum to C.

    Call `set_epoch_` at the start of each epoch. The epoch is kept in the `state_dict`.

    Args:
        base: loss with a value a sample: its own `reduction` is "none".
        counts: training samples of each class, >= 1.
        epochs: length of the training.
        start: share of the epochs, in [0, 1], from which the weights hold.
        beta: of `class_balanced_weights`.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    weights: torch.Tensor
    epoch: torch.Tensor

    def __init__(
        self,
        base: nn.Module,
        counts: Sequence[int],
        *,
        epochs: int,
        start: float = 0.8,
        beta: float = 0.9999,
        reduction: Reduction = "mean",
    ) -> None:
        weights = class_balanced_weights(counts, beta).float()
        super().__init__(reduction, classes=weights.numel())
        if not (epochs >= 1 and 0.0 <= start <= 1.0):
            raise ArgumentError(f"expected `epochs` >= 1 and `start` in [0, 1]; got {epochs} and {start}.")
        self.base, self.epochs, self.start = base, epochs, start
        self.register_buffer("weights", weights, persistent=False)
        self.register_buffer("epoch", torch.tensor(0))

    @property
    def active(self) -> bool:
        """Whether the weights hold in this epoch."""
        return int(self.epoch) >= self.start * self.epochs

    def set_epoch_(self, epoch: int) -> None:
        """Say which epoch begins, counted from 0.

        Raises:
            ArgumentError: it is negative.
        """
        if epoch < 0:
            raise ArgumentError(f"`epoch` counts from 0, got {epoch}.")
        self.epoch.fill_(epoch)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return self._reweighted(self.base(scores, targets), targets.long())

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return self._reweighted(self.base(scores, targets), targets)

    def _reweighted(self, values: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if values.shape != targets.shape:
            raise ArgumentError(
                f"`base` must give a value a sample, {tuple(targets.shape)}, not {tuple(values.shape)}; "
                "make it with reduction='none'."
            )
        return self.weights.to(values)[targets] * values if self.active else values
