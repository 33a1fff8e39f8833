"""A classifier layer whose logits are scaled cosines, as label-distribution-aware margins need it."""

import torch
from torch import nn

from prostate_alm.errors import ArgumentError


class NormalisedLinear(nn.Module):
    """Classifier layer whose logits are scaled cosines: ``s cos(x, w_c)``.

    With one output it has two weight vectors and gives the binary score ``s (cos_1 - cos_0)``. Computed in float32
    under autocast: in bfloat16 a cosine times 30 is off by 0.1. A sample without any activation has cosine 0 and no
    gradient.

    Source: Cao et al. 2019 (their code's normalised last layer).

    Args:
        in_features: length F of the features.
        classes: C >= 2 logits, or 1 for the binary score.
        scale: s > 0; the same as that of `prostate_alm.losses.LDAMLoss`.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(self, in_features: int, classes: int = 1, *, scale: float = 30.0) -> None:
        super().__init__()
        if in_features < 1 or classes < 1:
            raise ArgumentError(f"expected `in_features` and `classes` >= 1; got {in_features} and {classes}.")
        if not 0.0 < scale < float("inf"):
            raise ArgumentError(f"`scale` must be finite and > 0, got {scale}.")
        self.classes, self.scale = classes, float(scale)
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(max(classes, 2), in_features)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, C]``, or ``[B, 1]`` with one output, of features ``[B, F]``."""
        rows, columns = _unit(_at_least_float32(features)), _unit(_at_least_float32(self.weight))
        # products and sums: autocast would run a matrix product in bfloat16, and TorchScript can't switch it off
        logits = self.scale * (rows[:, None, :] * columns[None, :, :]).sum(dim=2)
        if self.classes == 1:
            logits = logits[:, 1:] - logits[:, :1]
        return logits


def _at_least_float32(values: torch.Tensor) -> torch.Tensor:
    return values.float() if values.element_size() < 4 else values


def _unit(vectors: torch.Tensor) -> torch.Tensor:
    """Rows of length 1; a row of zeros stays, without a gradient."""
    largest = vectors.detach().abs().amax(dim=1, keepdim=True)
    infinite = torch.full_like(largest, float("inf"))
    scaled = vectors / torch.where(largest > 0, largest, infinite)  # squares neither vanish nor overflow
    return scaled / (scaled.square().sum(dim=1, keepdim=True) + (largest == 0).to(scaled.dtype)).sqrt()
