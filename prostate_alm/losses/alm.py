"""The augmented Lagrangian of the ranking constraint around any base loss (Eq. 5, Algorithm 1)."""

# torch leaves some of its functions untyped
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn

from prostate_alm.errors import ArgumentError, LossStateError
from prostate_alm.losses.constraint import Constraint
from prostate_alm.losses.distributed import joined_batch, shared_gradient, world_size
from prostate_alm.losses.penalty import MetricSchedule, PenaltySchedule, Progress, Safeguards

Method = Literal["augmented", "penalty", "multipliers"]


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
    epoch `step_penalty_` lets `mu` grow. Multipliers, `mu` and what the schedule remembers live in the `state_dict`.

    Under `torch.distributed` the loss is that of the joined batch of all ranks, on every rank: wrap the network in
    `DistributedDataParallel`, not the loss. Each rank then makes the same update of the same multipliers.

    Args:
        base: the loss F, called as ``base(logits, labels)``.
        constraint: gives the violations of a batch.
        num_samples: one more than the largest sample index.
        mu: initial penalty coefficient, > 0.
        rho: growth factor of `mu`, >= 1; the paper uses 2 or 3.
        mu_max: cap of `mu`; None is ``mu * rho ** 5``, the authors' own cap for small `mu`. Without a cap a noisy
            metric drives `mu` without end.
        schedule: when `mu` grows; None is `MetricSchedule()`, Algorithm 1.
        safeguards: None is none.
        method: "augmented", or one of its two ancestors of appendix B: "penalty" (no multiplier term) or
            "multipliers" (no quadratic term).
        fingerprint: of the datalist that the indices count; a saved state with another one is refused.

    Raises:
        ArgumentError: an argument is out of its range.
    """

    multipliers: torch.Tensor
    averages: torch.Tensor
    mu: torch.Tensor
    mu_max: torch.Tensor
    history: torch.Tensor

    def __init__(
        self,
        base: nn.Module,
        constraint: Constraint,
        *,
        num_samples: int,
        mu: float = 1e-4,
        rho: float = 2.0,
        mu_max: float | None = None,
        schedule: PenaltySchedule | None = None,
        safeguards: Safeguards | None = None,
        method: Method = "augmented",
        fingerprint: str = "",
    ) -> None:
        super().__init__()
        if not (num_samples >= 1 and mu > 0 and rho >= 1):
            raise ArgumentError(
                f"expected `num_samples` >= 1, `mu` > 0 and `rho` >= 1; got {num_samples}, {mu} and {rho}."
            )
        if mu_max is not None and not mu_max >= mu:
            raise ArgumentError(f"`mu_max` {mu_max} must not be below the initial `mu` {mu}.")
        if method not in ("augmented", "penalty", "multipliers"):
            raise ArgumentError(f"`method` is {method!r}. Available: 'augmented', 'penalty', 'multipliers'.")
        self.base, self.constraint = base, constraint
        self.rho, self.method, self.fingerprint = rho, method, fingerprint
        self.schedule: PenaltySchedule = schedule or MetricSchedule()
        self.safeguards = safeguards or Safeguards()
        self.register_buffer("multipliers", torch.zeros(num_samples))
        self.register_buffer("averages", torch.full((num_samples if self.safeguards.moving_average else 0,), torch.nan))
        self.register_buffer("mu", torch.tensor(float(mu)))
        self.register_buffer("mu_max", torch.tensor(mu * rho**5 if mu_max is None else float(mu_max)))
        self.register_buffer("history", torch.tensor([0.0, torch.nan, torch.nan]))  # epochs, previous, best
        self._terms: Terms | None = None
        self._update_due = False
        self._next_index: torch.Tensor | None = None
        self._violations: list[float] = []

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, index: torch.Tensor | None = None) -> torch.Tensor:
        """Return the loss of a batch.

        Args:
            logits: ``[B]`` or ``[B, 1]``; ``[B, C]`` for a multi-class constraint.
            labels: ``[B]`` or ``[B, 1]``; which are critical is the constraint's affair.
            index: ``[B]`` integers in [0, num_samples), stable over epochs; None takes the one handed over by
                `set_index_`, once.

        Raises:
            LossStateError: there is no index, one is out of range, or one stands twice in the batch.
        """
        batch_index = self._take_index(index, labels)
        if world_size() > 1:
            return shared_gradient(self._joined(*joined_batch(logits, labels, batch_index)))
        if batch_index.unique().numel() != batch_index.numel():
            raise LossStateError("an index stands twice in one batch; draw batches without replacement.")
        return self._joined(logits, labels, batch_index)

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

    @property
    def active(self) -> bool:
        """Whether the warm-up is over."""
        return int(self.history[0]) >= self.safeguards.warm_up_epochs

    @property
    def mean_violation(self) -> float:
        """Mean of the updates' mean `q` since the penalty was stepped last; for a `FeasibilitySchedule`.

        Raises:
            LossStateError: no batch with a constraint was seen since then.
        """
        if not self._violations:
            raise LossStateError("no batch since the last `step_penalty_` held a constraint.")
        return sum(self._violations) / len(self._violations)

    @torch.no_grad()
    def update_multipliers_(self) -> None:
        """``lambda_j += mu q_j`` for the constraints of the last forward, within the safeguards; once a forward.

        Raises:
            LossStateError: no forward since the last update, or a violation is not finite.
        """
        if not self._update_due:
            raise LossStateError(
                "the multipliers are up to date: call the loss on the next batch before updating again."
            )
        q, index = self.terms.q, self.terms.index
        if not q.isfinite().all():
            raise LossStateError("a violation is not finite: the network's output diverged; lower the learning rate.")
        self._update_due = False
        if q.numel():
            self._violations.append(float(q.mean()))
        if self.active:
            kept = (1.0 - self.safeguards.multiplier_decay) * self.multipliers[index]
            updated = kept + self.mu * self._averaged(q.to(self.multipliers.dtype), index)
            self.multipliers[index] = updated.clamp_max(self.safeguards.multiplier_max or torch.inf)

    @torch.no_grad()
    def step_penalty_(self, metric: float) -> None:
        """End an epoch: let `mu` grow by `rho`, up to `mu_max`, if the schedule says so.

        Args:
            metric: validation AUC or accuracy for a `MetricSchedule`, a violation for a `FeasibilitySchedule`.

        Raises:
            ArgumentError: `metric` is not finite.
        """
        if not -float("inf") < metric < float("inf"):
            raise ArgumentError(f"`metric` must be finite, got {metric}; a validation fold needs both classes.")
        epoch, previous, best = self.history.tolist()
        if self.active and self.schedule.grows(Progress(int(epoch), previous, best, metric)):
            self.mu.copy_(torch.minimum(self.mu * self.rho, self.mu_max))
        best = metric if epoch == 0 else max(best, metric)
        self.history.copy_(torch.tensor([epoch + 1, metric, best]))
        self._violations = []

    def calibrate_mu_(self, logits: torch.Tensor, labels: torch.Tensor, *, ratio: float = 0.1) -> None:
        """Set `mu` so that on this batch the penalty's gradient is `ratio` of the base loss's, and its cap with it.

        Both gradients are taken with respect to the logits and compared in the 2-norm. Best done on a large batch
        after a short warm-up; it replaces a grid over orders of magnitude.

        Raises:
            ArgumentError: `ratio` is not positive, or no constraint of the batch is violated.
        """
        with torch.enable_grad():
            leaf = logits.detach().clone().requires_grad_()
            _, square, _, pairs = self.constraint(leaf, labels)
            half = (square / pairs.clamp_min(1.0)).sum() / 2
            norms = [torch.autograd.grad(value, leaf)[0].norm() for value in (self.base(leaf, labels), half)]
        if not (ratio > 0 and norms[1] > 0 and norms[0] > 0):
            raise ArgumentError(
                "expected `ratio` > 0 and a batch with a violated constraint and a base loss that is not flat."
            )
        factor = ratio * norms[0] / norms[1] / self.mu
        self.mu.mul_(factor)
        self.mu_max.mul_(factor)

    def get_extra_state(self) -> dict[str, Any]:
        """What a saved state must agree with."""
        return {"fingerprint": self.fingerprint, "num_samples": self.multipliers.numel()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Refuse the state of another datalist.

        Raises:
            LossStateError: count or fingerprint differ.
        """
        if state != self.get_extra_state():
            raise LossStateError(
                f"the saved multipliers count {state['num_samples']} samples of datalist `{state['fingerprint']}`, "
                f"this loss {self.multipliers.numel()} of `{self.fingerprint}`; continue with the datalist that the "
                "run began with."
            )

    def _joined(self, logits: torch.Tensor, labels: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """Eq. 5 of a whole batch."""
        q, square, sample, pairs = self.constraint(logits, labels)
        weight = 1.0 / pairs.clamp_min(1.0)  # without others there are no pairs, and q is 0
        constrained = index[sample]
        base = self.base(logits, labels)
        on = float(self.active)
        penalty = on * (self.method != "multipliers") * self.mu.to(q.dtype) / 2 * (weight * square).sum()
        lambdas = self.multipliers[constrained].to(q.dtype)
        multiplier = on * (self.method != "penalty") * (weight * lambdas * q).sum()
        self._terms = Terms(base.detach(), penalty.detach(), multiplier.detach(), q.detach(), constrained)
        self._update_due = True
        return base + penalty + multiplier

    def _averaged(self, q: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        """The moving average of each sample's violation, or the violation itself."""
        past = self.safeguards.moving_average
        if not past:
            return q
        before = self.averages[index]
        self.averages[index] = torch.where(before.isnan(), q, past * before + (1.0 - past) * q)
        return self.averages[index]

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
