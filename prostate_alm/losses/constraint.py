"""The ranking constraint: every critical sample out-ranks every other sample by a margin."""

import math
from typing import Literal, NamedTuple, Protocol

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import as_binary
from prostate_alm.losses.violation import violation, violation_and_square

Space = Literal["probability", "logit"]
Normalize = Literal["paper", "mean"]
Form = Literal["per_critical", "per_other", "per_pair"]


class Violations(NamedTuple):
    """How far a batch is from satisfying its Q constraints, each of which belongs to one sample.

    Attributes:
        q: ``[Q]`` >= 0, differentiable; what the multiplier of the constraint weighs.
        square: ``[Q]`` what the quadratic penalty weighs: ``q ** 2``, or with one constraint a pair the sum of
            the squares of the pairs that share the multiplier.
        sample: ``[Q]`` int64, the position in the batch of the sample whose multiplier it is.
        pairs: ``[Q]`` the normaliser of each: ``|p| |n|``, or the number of constraints where `q` is a mean.
    """

    q: torch.Tensor
    square: torch.Tensor
    sample: torch.Tensor
    pairs: torch.Tensor


class Constraint(Protocol):
    """Anything that gives the violations of a batch."""

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch."""
        ...


class RankingConstraint:
    """Every critical sample out-ranks every other by `delta` (Sangalli et al. 2021), for one logit a sample.

    With ``h_jk = max(0, -(f(x_j) - f(x_k)) + delta)`` for critical j and other k, the augmented Lagrangian
    ``mu / 2 sum square / pairs + sum lambda q / pairs`` is made of

    - `form` "per_critical" (Eq. 4, 5): ``q_j = sum_k h_jk``, ``square_j = q_j ** 2``, a multiplier a critical sample;
    - `form` "per_other" (section 4.2): ``q_k = sum_j h_jk``, ``square_k = q_k ** 2``, a multiplier an other sample;
    - `form` "per_pair" (section 4.2): ``square_j = sum_k h_jk ** 2``, and ``q_j = sum_k h_jk`` as the pairs of a
      critical sample share its multiplier: one a pair would not fit a memory that grows with the samples.

    Args:
        delta: margin by which a critical sample must out-rank, >= 0. In probability space at most 1: a larger
            margin can't be met.
        space: "probability" as in the paper (section 4.1), or "logit" as in the authors' code.
        normalize: "paper": sums as above, ``pairs = |p| |n|`` of the batch. "mean": `q`, and `square` where it is a
            sum, are divided by the number of hinges in a sum (``|n|``; "per_other" ``|p|``), and ``pairs`` is the
            number of constraints (``|p|``; "per_other" ``|n|``), so that neither loss nor multipliers grow with
            the batch: "per_critical" is ``mu / (2 |p|) sum_j qm_j^2 + 1 / |p| sum_j lambda_j qm_j`` with
            ``qm_j = q_j / |n|``. In batches of one composition that is the paper's loss with ``mu / |n|``.
        hardest: share of the others in (0, 1] that counts: those ``ceil(hardest |n|)`` with the highest scores; ``|n|``
            becomes their number. That is the partial AUC at false positive rates up to the share. None is all.
            What satisfies the constraint is the same for each share.
        form: which pairs make one constraint; see above.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        delta: float = 0.25,
        space: Space = "probability",
        *,
        normalize: Normalize = "paper",
        hardest: float | None = None,
        form: Form = "per_critical",
    ) -> None:
        self.delta, self.space = checked_margin(delta, space)
        self.normalize: Normalize = checked_normalize(normalize)
        if hardest is not None and not 0.0 < hardest <= 1.0:
            raise ArgumentError(f"`hardest` is a share of the other samples in (0, 1], or None for all; got {hardest}.")
        if form not in ("per_critical", "per_other", "per_pair"):
            raise ArgumentError(f"`form` is {form!r}. Available: 'per_critical', 'per_other', 'per_pair'.")
        self.hardest = hardest
        self.form: Form = form

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch of `logits` ``[B]`` or ``[B, 1]`` with `labels` in {0, 1}; 1 is critical."""
        scores, is_critical = as_binary(logits, labels)
        if self.space == "probability":
            scores = scores.sigmoid()
        critical, others = is_critical.nonzero().reshape(-1), (~is_critical).nonzero().reshape(-1)
        if self.hardest is not None:
            others = others[scores[others].topk(_ceil_share(self.hardest, others.numel()), sorted=False).indices]
        if self.form == "per_other":  # the same sums, seen from the other side
            q = violation(-scores[others], -scores[critical], self.delta)
            return normalized(q, others, critical.numel(), self.normalize)
        if self.form == "per_pair":
            q, square = violation_and_square(scores[critical], scores[others], self.delta)
            return normalized(q, critical, others.numel(), self.normalize, square=square)
        q = violation(scores[critical], scores[others], self.delta)
        return normalized(q, critical, others.numel(), self.normalize)


def normalized(
    q: torch.Tensor, sample: torch.Tensor, terms: int, normalize: Normalize, *, square: torch.Tensor | None = None
) -> Violations:
    """Violations of constraints whose `q` are sums of `terms` hinges; `square` is None for the squares of `q`."""
    if normalize == "mean":
        q = q / max(terms, 1)
        square = None if square is None else square / max(terms, 1)
    pairs = q.numel() * (terms if normalize == "paper" else 1)
    return Violations(q, q.square() if square is None else square, sample, torch.full_like(q, pairs))


def _ceil_share(share: float, total: int) -> int:
    return min(total, max(1, math.ceil(share * total - 1e-9)))  # 0.07 * 100 is 7.000000000000001


def checked_normalize(normalize: str) -> Normalize:
    """Return `normalize` when it is one.

    Raises:
        ArgumentError: it is not.
    """
    if normalize not in ("paper", "mean"):
        raise ArgumentError(f"`normalize` is {normalize!r}. Available: 'paper', 'mean'.")
    return normalize


def checked_margin(delta: float, space: str) -> tuple[float, Space]:
    """Return a margin and its space when they fit together.

    Raises:
        ArgumentError: they do not.
    """
    if space not in ("probability", "logit"):
        raise ArgumentError(f"`space` is {space!r}. Available: 'probability', 'logit'.")
    if not 0.0 <= delta < float("inf"):
        raise ArgumentError(f"`delta` must be a finite number >= 0, got {delta}.")
    if space == "probability" and delta > 1.0:
        raise ArgumentError(
            f"`delta` is {delta}: no two probabilities are more than 1 apart; use <= 1 or space='logit'."
        )
    return delta, space
