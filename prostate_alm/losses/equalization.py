"""Equalization losses: samples of other classes do not push rare classes down."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.baseline import one_hot
from prostate_alm.losses.batch import Reduction
from prostate_alm.losses.class_counts import priors
from prostate_alm.losses.per_sample import PerSampleLoss


class EqualizationLoss(PerSampleLoss):
    """Sigmoid equalization loss (EQL) of C one-versus-rest logits: ``sum_c w_c BCE(Z_c, y_c)``.

    ``w_c = 1 - 1[f_c < threshold] (1 - y_c)`` with ``f_c`` the share of class c: a rare class learns from its own
    samples only. The factor E of the source, 0 for a detector's background proposals, is 1 here: an image has a class.

    Source: Tan et al. 2020 (EQL).

    Args:
        counts: training samples of each class, >= 1.
        threshold: share in [0, 1] below which a class is rare; 0 is the sum of binary cross-entropies.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    rare: torch.Tensor

    def __init__(self, counts: Sequence[int], threshold: float, *, reduction: Reduction = "mean") -> None:
        rare = _rare_classes(counts, threshold)
        super().__init__(reduction, classes=rare.numel())
        self.register_buffer("rare", rare, persistent=False)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        own = one_hot(scores, targets)
        values = -functional.logsigmoid(torch.where(own, scores, -scores))
        return values.masked_fill(self.rare.to(scores.device) & ~own, 0.0).sum(dim=1)


class SoftmaxEqualizationLoss(PerSampleLoss):
    """Softmax equalization loss (SEQL): ``-log(exp(Z_y) / sum_k w_k exp(Z_k))``.

    ``w_k = 1 - beta 1[f_k < threshold] (1 - y_k)`` with ``f_k`` the share of class k and beta drawn from {0, 1} anew
    for each sample and class: a rare class is mostly left out of the other classes' softmax.

    Source: Tan et al. 2020 (SEQL), who use gamma 0.9 to 0.95 and thresholds of 3e-3 to 5e-3.

    Args:
        counts: training samples of each class, >= 1.
        threshold: share in [0, 1] below which a class is rare; 0 is cross-entropy.
        gamma: probability in [0, 1] that beta is 1; 0 is cross-entropy.
        generator: what beta is drawn from, on any device; each forward advances it, and saving its state is the owner's
            affair. Processes that share a batch need one of the same seed each. None is needed only for gamma 0 or 1.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    rare: torch.Tensor

    def __init__(
        self,
        counts: Sequence[int],
        threshold: float,
        *,
        gamma: float = 0.9,
        generator: torch.Generator | None = None,
        reduction: Reduction = "mean",
    ) -> None:
        rare = _rare_classes(counts, threshold)
        super().__init__(reduction, classes=rare.numel())
        if not 0.0 <= gamma <= 1.0:
            raise ArgumentError(f"`gamma` is a probability in [0, 1], got {gamma}.")
        if generator is None and 0.0 < gamma < 1.0:
            raise ArgumentError("`generator` is missing: give a torch.Generator, seeded, to draw beta from.")
        self.gamma, self.generator = gamma, generator
        self.register_buffer("rare", rare, persistent=False)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        own = one_hot(scores, targets)
        left_out = self.rare.to(scores.device) & self._drawn(scores) & ~own
        log_p = scores.masked_fill(left_out, -torch.inf).log_softmax(dim=1)
        return -log_p.gather(1, targets[:, None]).reshape(-1)

    def _drawn(self, scores: torch.Tensor) -> torch.Tensor:
        """Beta ``[B, C]``, bool."""
        if self.generator is None:
            return torch.full_like(scores, self.gamma == 1.0, dtype=torch.bool)
        uniform = torch.rand(scores.shape, generator=self.generator, device=self.generator.device)
        return (uniform < self.gamma).to(scores.device)


def _rare_classes(counts: Sequence[int], threshold: float) -> torch.Tensor:
    """``[C]`` bool, which classes have a share below `threshold`."""
    shares = priors(counts)
    if not 0.0 <= threshold <= 1.0:
        raise ArgumentError(f"`threshold` is a share of the samples in [0, 1], got {threshold}.")
    return shares < threshold
