"""The authors' published code as arguments: its state of September 2023, the last whose constraint follows Eq. 5.

Written from a description of what that code does; none of it is copied (it carries no licence). What it does
differently from the paper, and how to get each with the arguments here:

===========================================================  ======================================================
the authors' code                                            here
===========================================================  ======================================================
constraint on logits, not on probabilities                   ``RankingConstraint(space="logit")``
`mu` is capped at ``mu0 rho^5``, for mu0 >= 1e-3 ``mu0 rho^3``  ``mu_max``
`mu` grows when the validation AUC fell by more than 0.05,    `Authors2023Schedule`
once without condition at epoch 2, never at epochs 0 and 1,
and never again after an AUC of 1
`q_j` sums over the negatives of the batch, unnormalised     the same (``normalize="paper"``)
the update takes the `q_j` of the step, after it             the same
class-balanced weights are not normalised                    ``ClassBalancedLoss(..., normalize=False)``
LDAM: constraint and score on the cosine of class 1 alone    not offered: its decision rule is another statistic
===========================================================  ======================================================

Not reproduced because they are faults: validation images that are training images, a gradient that vanishes for
the worst misses (an epsilon inside a logarithm), NaN gradients of the focal loss at gamma 0.5, FPR 0 where a TPR is
not met exactly, and in the 2026 state a loss of only the last positive of each batch.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from prostate_alm.losses.alm import ALMLoss
from prostate_alm.losses.constraint import RankingConstraint
from prostate_alm.losses.penalty import Progress

UNCONDITIONAL_EPOCH = 2


@dataclass(frozen=True)
class Authors2023Schedule:
    """When `mu` grew in the authors' code of 2023; epochs count from 0."""

    margin: float = 0.05

    def grows(self, progress: Progress) -> bool:
        """Whether `mu` grows after this epoch."""
        if progress.epoch < UNCONDITIONAL_EPOCH or progress.best >= 1.0 or progress.current >= 1.0:
            return False
        return progress.epoch == UNCONDITIONAL_EPOCH or progress.current < progress.previous - self.margin


def authors_2023(
    base: nn.Module, *, num_samples: int, mu: float, rho: float = 2.0, delta: float = 0.25, **arguments: Any
) -> ALMLoss:
    """Return the augmented Lagrangian as the authors' code of September 2023 has it; see the module's table.

    Args:
        base: the base loss.
        num_samples: one more than the largest sample index.
        mu: initial penalty coefficient.
        rho: growth factor.
        delta: margin in logits.
        arguments: further arguments of `ALMLoss`.
    """
    cap = mu * rho ** (5 if mu < 1e-3 else 3)
    return ALMLoss(
        base,
        RankingConstraint(delta, space="logit"),
        num_samples=num_samples,
        mu=mu,
        rho=rho,
        mu_max=cap,
        schedule=Authors2023Schedule(),
        **arguments,
    )
