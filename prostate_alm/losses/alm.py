"""The augmented Lagrangian of the ranking constraint around any base loss (Eq. 5, Algorithm 1)."""

from dataclasses import dataclass

import torch
from torch import nn

from prostate_alm.errors import ArgumentError, LossStateError
from prostate_alm.losses.constraint import Constraint


@dataclass(frozen=True, eq=False)
class Terms:
    """What the last batch's loss was made of, detached.

    Attributes:
        base: value of the base loss.
        penalty: ``mu / 2 * sum_j q_j^2 / (P N)``.
        multiplier: ``sum_j lambda_j q_j / (P N)``.
        q: ``[Q]`` violations of the constraints.
        index: ``[Q]`` indices of the samples they belong to.
    """

    base: torch.Tensor
    penalty: torch.Tensor
    multiplier: torch.Tensor
    q: torch.Tensor
    index: torch.Tensor


class ALMLoss(nn.Module):
    """Augmented Lagrangian of a constraint with one multiplier a critical sample (Sangalli et al. 2021).

    ``L = F + mu / (2 P N) sum_j q_j^2 + 1 / (P N) sum_j lambda_j q_j`` (Eq. 5) over the P critical and N other
    samples of the batch. A batch without critical or without other samples is legal: its constraint terms are 0.

    `forward` changes nothing that is saved; it only remembers this batch's terms. After the optimizer's step,
    `update_multipliers_` does ``lambda_j += mu q_j`` with the violations of that forward (Algorithm 1), and once an
    epoch `step_penalty_` lets `mu` grow. Multipliers, `mu` and the last metric live in the `state_dict`.

    Args:
        base: the loss F, called as ``base(logits, labels)``.
        constraint: gives the violations of a batch.
        num_samples: one more than the largest sample index.
        mu: initial penalty coefficient, > 0.
        rho: growth factor of `mu`, >= 1; the paper uses 2 or 3.
        margin: `mu` grows when the metric falls by more than this. The paper says "by a margin" without a value;
            its authors' code uses 0.05.
        mu_max: cap of `mu`; None is ``mu * rho ** 5``, the authors' own cap for small `mu`. Without a cap a noisy
            metric drives `mu` without end.

    Raises:
        ArgumentError: an argument is out of its range.
    """

    multipliers: torch.Tensor
    mu: torch.Tensor
    previous_metric: torch.Tensor

    def __init__(
        self,
        base: nn.Module,
        constraint: Constraint,
        *,
        num_samples: int,
        mu: float = 1e-4,
        rho: float = 2.0,
        margin: float = 0.01,
        mu_max: float | None = None,
    ) -> None:
        super().__init__()
        if num_samples < 1 or mu <= 0 or rho < 1 or margin < 0:
            raise ArgumentError(
                "expected `num_samples` >= 1, `mu` > 0, `rho` >= 1 and `margin` >= 0; "
                f"got {num_samples}, {mu}, {rho} and {margin}."
            )
        self.base = base
        self.constraint = constraint
        self.rho = rho
        self.margin = margin
        self.mu_max = mu * rho**5 if mu_max is None else mu_max
        if self.mu_max < mu:
            raise ArgumentError(f"`mu_max` {self.mu_max} must not be below the initial `mu` {mu}.")
        self.register_buffer("multipliers", torch.zeros(num_samples))
        self.register_buffer("mu", torch.tensor(float(mu)))
        self.register_buffer("previous_metric", torch.tensor(float("nan")))
        self._terms: Terms | None = None
        self._update_due = False
        self._next_index: torch.Tensor | None = None

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            logits: ``[B]`` or ``[B, 1]``.
            labels: ``[B]`` or ``[B, 1]`` in {0, 1}; 1 is critical.
            index: ``[B]`` integers in [0, num_samples), stable over epochs; None takes the one handed over by
                `set_index_`, once.

        Raises:
            LossStateError: there is no index, or one is out of range.
        """
        batch_index = self._take_index(index, labels)
        q, square, sample, pairs = self.constraint(logits, labels)
        weight = 1.0 / pairs.clamp_min(1.0)  # without others there are no pairs, and q is 0
        constrained = batch_index[sample]
        base = self.base(logits, labels)
        penalty = self.mu.to(q.dtype) / 2 * (weight * square).sum()
        multiplier = (weight * self.multipliers[constrained].to(q.dtype) * q).sum()
        self._terms = Terms(base.detach(), penalty.detach(), multiplier.detach(), q.detach(), constrained)
        self._update_due = True
        return base + penalty + multiplier

    def set_index_(self, index: torch.Tensor) -> None:
        """Hand over the sample indices of the next batch, for trainers that call ``loss(logits, labels)``."""
        self._next_index = index

    @property
    def terms(self) -> Terms:
        """The parts of the last forward.

        Raises:
            LossStateError: there was none.
        """
        if self._terms is None:
            raise LossStateError("there are no terms yet: call the loss on a batch first.")
        return self._terms

    @torch.no_grad()
    def update_multipliers_(self) -> None:
        """``lambda_j += mu q_j`` for the critical samples of the last forward; once a forward.

        Raises:
            LossStateError: no forward since the last update, or a violation is not finite.
        """
        if not self._update_due:
            raise LossStateError(
                "the multipliers are up to date: call the loss on the next batch before updating again."
            )
        q = self.terms.q
        if not q.isfinite().all():
            raise LossStateError("a violation is not finite: the network's output diverged; lower the learning rate.")
        self.multipliers.index_add_(0, self.terms.index, (self.mu * q).to(self.multipliers.dtype))
        self._update_due = False

    @torch.no_grad()
    def step_penalty_(self, metric: float) -> None:
        """Let `mu` grow by `rho`, up to `mu_max`, when `metric` fell by more than `margin` since the last call.

        Args:
            metric: validation AUC or accuracy, larger is better.

        Raises:
            ArgumentError: `metric` is not finite.
        """
        if not -float("inf") < metric < float("inf"):
            raise ArgumentError(f"`metric` must be finite, got {metric}; a validation fold needs both classes.")
        if metric < float(self.previous_metric) - self.margin:
            self.mu.mul_(self.rho).clamp_(max=self.mu_max)
        self.previous_metric.fill_(metric)

    def _take_index(self, index: torch.Tensor | None, labels: torch.Tensor) -> torch.Tensor:
        taken = self._next_index if index is None else index
        self._next_index = None
        if taken is None:
            raise LossStateError(
                "the multipliers are keyed by sample: pass `index`, or call `set_index_` before each batch."
            )
        taken = taken.reshape(-1).to(self.multipliers.device)
        if taken.numel() != labels.numel() or taken.is_floating_point():
            raise LossStateError(
                f"expected {labels.numel()} integer indices, one a sample; got {taken.numel()} of {taken.dtype}."
            )
        if taken.numel() and (int(taken.min()) < 0 or int(taken.max()) >= self.multipliers.numel()):
            raise LossStateError(
                f"`index` reaches from {int(taken.min())} to {int(taken.max())}, `num_samples` is "
                f"{self.multipliers.numel()}; set it to one more than the largest index."
            )
        return taken.long()
