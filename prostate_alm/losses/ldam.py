"""Label-distribution-aware margins."""

from collections.abc import Sequence

import torch

from prostate_alm.losses.batch import Reduction
from prostate_alm.losses.class_counts import checked_counts
from prostate_alm.losses.margin import binary_margin, multi_class_margin
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class LDAMLoss(PerSampleLoss):
    """Label-distribution-aware margin loss: ``CE(s (cos - m_y onehot(y)), y)``, ``m_c = K n_c^(-1/4)``.

    Takes the scaled cosines ``s cos`` of `NormalisedLinear`, ``[B, C]``, or its binary score ``s (cos_1 - cos_0)``,
    so that the loss, the constraint and the ROC curve see the same score.

    Source: Cao et al. 2019, Eq. 12 and 13; for their schedule wrap it in `DeferredReweightingLoss`.

    Args:
        counts: training samples of each class, >= 1.
        max_margin: margin of the rarest class, >= 0, in cosines; it sets K.
        scale: s > 0; the same as that of `NormalisedLinear`.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    margins: torch.Tensor

    def __init__(
        self,
        counts: Sequence[int],
        *,
        max_margin: float = 0.5,
        scale: float = 30.0,
        reduction: Reduction = "mean",
    ) -> None:
        raw = checked_counts(counts) ** -0.25
        super().__init__(reduction, classes=raw.numel())
        scaled = checked_positive("scale", scale) * checked_positive("max_margin", max_margin, or_zero=True)
        self.register_buffer("margins", (scaled * raw / raw.max()).float(), persistent=False)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return binary_margin(scores, targets, self.margins.to(scores)[targets.long()])

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        return multi_class_margin(scores, targets, self.margins.to(scores)[targets])
