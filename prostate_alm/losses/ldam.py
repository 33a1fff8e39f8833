"""Label-distribution-aware margins, and the normalised classifier that they need."""

from collections.abc import Sequence

import torch
from torch import nn

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import Reduction, full_precision
from prostate_alm.losses.class_counts import checked_counts
from prostate_alm.losses.margin import binary_margin, multi_class_margin
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class NormalisedLinear(nn.Module):
    """Classifier layer whose logits are scaled cosines: ``s cos(x, w_c)``.

    With one output it has two weight vectors and gives the binary score ``s (cos_1 - cos_0)``. Computed in float32
    under autocast: in bfloat16 a cosine times 30 is off by 0.1. A sample without any activation has cosine 0 and no
    gradient.

    Args:
        in_features: length F of the features.
        classes: C >= 2 logits, or 1 for the binary score.
        scale: s > 0; the same as that of `LDAMLoss`.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(self, in_features: int, classes: int = 1, *, scale: float = 30.0) -> None:
        super().__init__()
        if in_features < 1 or classes < 1:
            raise ArgumentError(f"expected `in_features` and `classes` >= 1; got {in_features} and {classes}.")
        self.classes, self.scale = classes, checked_positive("scale", scale)
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(max(classes, 2), in_features)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, C]``, or ``[B, 1]`` with one output, of features ``[B, F]``."""
        with torch.autocast(features.device.type, enabled=False):
            logits = self.scale * (_unit(full_precision(features)) @ _unit(full_precision(self.weight)).T)
        return logits[:, 1:] - logits[:, :1] if self.classes == 1 else logits


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


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of length 1; a row of zeros stays, without a gradient."""
    largest = vectors.detach().abs().amax(dim=1, keepdim=True)
    scaled = vectors / torch.where(largest > 0, largest, torch.inf)  # squares neither vanish nor overflow
    return scaled / (scaled.square().sum(dim=1, keepdim=True) + (largest == 0)).sqrt()
