"""Losses and scores adjusted by the class priors."""

from collections.abc import Sequence

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.baseline import binary_cross_entropy, cross_entropy
from prostate_alm.losses.batch import Reduction, full_precision
from prostate_alm.losses.class_counts import checked_class_weights, checked_counts, priors
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class LogitAdjustedLoss(PerSampleLoss):
    """Logit-adjusted cross-entropy: ``CE(Z + tau log pi, y)``; binary with ``z + tau log(pi_1 / pi_0)``.

    At tau 1 this is the balanced softmax. Score with the network's own logits: they are already adjusted.

    Source: Menon et al. 2021, Eq. 10; Ren et al. 2020 (balanced softmax).

    Args:
        counts: training samples of each class, >= 1; their shares are the priors ``pi``.
        tau: strength >= 0; 0 is cross-entropy.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    adjustment: torch.Tensor

    def __init__(self, counts: Sequence[int], tau: float = 1.0, *, reduction: Reduction = "mean") -> None:
        adjustment = checked_positive("tau", tau, or_zero=True) * priors(counts).log()
        super().__init__(reduction, classes=adjustment.numel())
        self.register_buffer("adjustment", adjustment.float(), persistent=False)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        adjustment = self.adjustment.to(scores)
        return binary_cross_entropy(scores + (adjustment[1] - adjustment[0]), targets)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return cross_entropy(scores + self.adjustment.to(scores), targets)


def adjusted_logits(logits: torch.Tensor, counts: Sequence[int], tau: float = 1.0) -> torch.Tensor:
    """Adjust the logits of a network that was trained with plain cross-entropy: ``Z - tau log pi``.

    In the binary case every logit moves by the same ``tau log(pi_1 / pi_0)``: the threshold changes, the ROC curve does
    not.

    Source: Menon et al. 2021, Eq. 9.

    Args:
        logits: ``[B]`` or ``[B, 1]``, or ``[B, C]``.
        counts: training samples of each class, >= 1.
        tau: strength >= 0; 0 changes nothing.

    Returns:
        The shape of `logits`, in at least float32.

    Raises:
        ArgumentError: an argument is out of range, or `counts` are not of as many classes.

    >>> adjusted_logits(torch.zeros(1), [75, 25])
    tensor([1.0986])
    """
    adjustment = (checked_positive("tau", tau, or_zero=True) * priors(counts).log()).float()
    scores = full_precision(logits)
    columns = scores.shape[1] if scores.ndim == 2 and scores.shape[1] >= 2 else 2
    if adjustment.numel() != columns:
        raise ArgumentError(f"`counts` are of {adjustment.numel()} classes, the `logits` of {columns}.")
    adjustment = adjustment.to(scores)
    return scores - (adjustment if columns == scores.shape[-1] else adjustment[1] - adjustment[0])


class VSLoss(PerSampleLoss):
    """Vector-scaling loss: ``-w_y log softmax(Delta * Z + iota)_y``.

    ``Delta_c = (n_c / n_max)^gamma`` and ``iota_c = tau log pi_c``. The binary form is
    ``w_y softplus(-Delta_y s z - s (iota_1 - iota_0))`` with s = 1 for label 1 and -1 for 0: its factor is that of
    the label, so unlike the other losses' it is that of two-class logits ``(0, z)`` only at gamma 0, where both are
    `LogitAdjustedLoss`.

    Source: Kini et al. 2021 (VS-loss, binary and multi-class).

    Args:
        counts: training samples of each class, >= 1.
        gamma: exponent >= 0 of the multiplicative adjustment; 0 is none.
        tau: strength >= 0 of the additive adjustment; 0 is none. The defaults are those of Kini et al. for CIFAR-10.
        weights: weight w of each class, > 0; None is 1.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    factor: torch.Tensor
    adjustment: torch.Tensor
    weights: torch.Tensor

    def __init__(
        self,
        counts: Sequence[int],
        *,
        gamma: float = 0.15,
        tau: float = 1.25,
        weights: Sequence[float] | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        values = checked_counts(counts)
        super().__init__(reduction, classes=values.numel())
        factor = (values / values.max()) ** checked_positive("gamma", gamma, or_zero=True)
        adjustment = checked_positive("tau", tau, or_zero=True) * priors(counts).log()
        class_weights = checked_class_weights([1.0] * values.numel() if weights is None else weights)
        if class_weights.numel() != values.numel():
            raise ArgumentError(f"`weights` are of {class_weights.numel()} classes, `counts` of {values.numel()}.")
        self.register_buffer("factor", factor.float(), persistent=False)
        self.register_buffer("adjustment", adjustment.float(), persistent=False)
        self.register_buffer("weights", class_weights, persistent=False)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        own, adjustment = targets.long(), self.adjustment.to(scores)
        scaled = self.factor.to(scores)[own] * scores + (adjustment[1] - adjustment[0])
        return self.weights.to(scores)[own] * binary_cross_entropy(scaled, targets)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        scaled = self.factor.to(scores) * scores + self.adjustment.to(scores)
        return self.weights.to(scores)[targets] * cross_entropy(scaled, targets)
