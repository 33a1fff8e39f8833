"""Focal losses: samples that are classified well count less."""

from collections.abc import Sequence

import torch
from torch.nn import functional

from prostate_alm.losses.baseline import one_hot, signed
from prostate_alm.losses.batch import Reduction
from prostate_alm.losses.per_sample import PerSampleLoss, checked_positive


class FocalLoss(PerSampleLoss):
    """Focal loss ``-(1 - p_y)^gamma log p_y``; symmetric (S-FL) or asymmetric (A-FL).

    The asymmetric form leaves critical classes their full cross-entropy:
    ``-(1 - p_y)^(gamma 1[y not critical]) log p_y``. Binary ``p_1 = sigmoid(z)``, multi-class ``p = softmax(Z)``.
    Computed as ``exp(gamma log(1 - p_y))``, so that the gradient is finite for every gamma >= 0 and finite logit, where
    a power of ``1 - p_y`` gives NaN below gamma 1.

    Source: Lin et al. 2017, Eq. 4 (without their alpha); Li, Kamnitsas, Glocker 2019 (asymmetric focal loss).

    Args:
        gamma: exponent >= 0; 0 is cross-entropy. The paper searches 0.5, 1, 2.
        critical_classes: None for S-FL, or the classes whose loss is not attenuated (A-FL); ``[1]`` in the binary
            case.
        reduction: "mean" over the batch, "sum", or "none" for a value a sample.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(
        self, gamma: float = 2.0, critical_classes: Sequence[int] | None = None, *, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(reduction, critical_classes=critical_classes)
        self.gamma = checked_positive("gamma", gamma, or_zero=True)

    def binary(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        own = signed(scores, targets)
        return self._attenuated(functional.logsigmoid(own), functional.logsigmoid(-own), targets)

    def multi_class(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Values ``[B]``."""
        log_p = scores.log_softmax(dim=1)
        others = log_p.masked_fill(one_hot(scores, targets), -torch.inf)
        own = log_p.gather(1, targets[:, None]).reshape(-1)
        return self._attenuated(own, others.logsumexp(dim=1), targets)

    def _attenuated(self, log_p: torch.Tensor, log_rest: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross-entropy by ``log p_y`` and ``log (1 - p_y)``."""
        if self.critical_classes is not None:
            log_rest = log_rest.masked_fill(self.is_critical(targets), 0.0)
        return -(self.gamma * log_rest).exp() * log_p
