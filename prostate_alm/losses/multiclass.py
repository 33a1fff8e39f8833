"""The ranking constraint for more than two classes (Eq. 6 and Eq. 7 of Sangalli et al. 2021)."""

from collections.abc import Sequence

import torch

from prostate_alm.errors import ArgumentError
from prostate_alm.losses.batch import as_classes
from prostate_alm.losses.constraint import Normalize, Space, Violations, checked_margin, checked_normalize, normalized
from prostate_alm.losses.hinge import hinge_sums
from prostate_alm.losses.violation import DenseLimit, violation


class MultiClassRankingConstraint:
    """One constraint for each sample j of each critical class c.

    Its others are the samples k of all classes that are not critical; samples of another critical class are neither
    (the paper sums over the non-critical classes only). With ``f^c`` the score of class c and y(k) the class of k,

        q_cj = sum_k max(0, -(f^c(x_j) - f^c(x_k)) + delta)                              (Eq. 6)
             + sum_k max(0, (f^y(k)(x_j) - f^y(k)(x_k)) + delta)                         (Eq. 7 adds this)

    Eq. 6 wants the critical class' score higher for its own samples than for others, Eq. 7 also wants each other
    sample to out-rank the critical ones in the score of its own class. The paper gives no normaliser for several
    classes; here it is ``|p_c| |n|`` for class c, so that with one critical class the loss is Eq. 5.

    Args:
        critical_classes: the critical classes, at least one, each in [0, `classes`).
        classes: number of classes, columns of the logits; at least one is not critical.
        delta: margin, >= 0, in probability space at most 1. The paper searches 0.05 and 0.1.
        space: "probability" takes the softmax of the logits, "logit" the logits.
        own_class: False for Eq. 6, True for Eq. 7.
        normalize: "paper" as above. "mean" divides `q` by ``|n|`` and normalises by ``|p_c|``, so that `mu` means the
            same for each size of the batch.

    Raises:
        ArgumentError: an argument is out of range.
    """

    def __init__(
        self,
        critical_classes: Sequence[int],
        classes: int,
        *,
        delta: float = 0.1,
        space: Space = "probability",
        own_class: bool = False,
        normalize: Normalize = "paper",
    ) -> None:
        critical = set(critical_classes)
        if not critical or len(critical) < len(critical_classes) or not critical < set(range(classes)):
            raise ArgumentError(
                f"`critical_classes` must be different classes of 0 to {classes - 1}, at least one and not all; "
                f"got {list(critical_classes)}."
            )
        self.critical_classes = tuple(sorted(critical))
        self.classes = classes
        self.delta, self.space = checked_margin(delta, space)
        self.own_class = own_class
        self.normalize: Normalize = checked_normalize(normalize)

    def __call__(self, logits: torch.Tensor, labels: torch.Tensor) -> Violations:
        """Violations of a batch of `logits` ``[B, C]`` with integer `labels` in [0, C), class by class.

        Raises:
            ArgumentError: there are not `classes` columns, or `labels` do not fit them.
        """
        scores, targets = as_classes(logits, labels)
        if scores.shape[1] != self.classes:
            raise ArgumentError(f"expected `logits` of {self.classes} classes, got {tuple(logits.shape)}.")
        if self.space == "probability":
            scores = scores.softmax(dim=1)
        samples = [(targets == c).nonzero().reshape(-1) for c in self.critical_classes]
        is_other = torch.ones_like(targets, dtype=torch.bool)
        is_other[torch.cat(samples)] = False
        others = scores[is_other]
        ranked = zip(self.critical_classes, samples, strict=True)
        q = torch.cat([violation(scores[sample, c], others[:, c], self.delta) for c, sample in ranked])
        if self.own_class:
            q = q + own_class_violation(scores[torch.cat(samples)], others, targets[is_other], self.delta)
        parts = zip(torch.split(q, [len(sample) for sample in samples]), samples, strict=True)
        found = [normalized(part, sample, len(others), self.normalize) for part, sample in parts]
        return Violations(*(torch.cat(fields) for fields in zip(*found, strict=True)))


def own_class_violation(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, other_classes: torch.Tensor, delta: float
) -> torch.Tensor:
    """Compute ``sum_k max(0, (f^y(k)(x_j) - f^y(k)(x_k)) + delta)``, the second half of Eq. 7.

    Exact and differentiable; takes the faster of the dense and the sorted form.

    Args:
        critical_scores: ``[P, C]``.
        other_scores: ``[N, C]``.
        other_classes: ``[N]`` int64, y(k).
        delta: margin, in the unit of the scores.

    Returns:
        ``[P]``, >= 0. Either set may be empty.

    >>> critical, others = torch.tensor([[0.25, 0.75]]), torch.tensor([[0.5, 0.5], [0.125, 0.875]])
    >>> own_class_violation(critical, others, torch.tensor([0, 0]), 0.25)
    tensor([0.3750])
    """
    dense = own_class_dense_is_faster(critical_scores.shape[1], len(critical_scores), len(other_scores))
    form = dense_own_class_violation if dense else sorted_own_class_violation
    return form(critical_scores, other_scores, other_classes, delta)


def own_class_dense_is_faster(classes: int, critical: int, others: int) -> bool:
    """Whether to go pair by pair for so many; measured on a CPU (docs/benchmarks.md)."""
    return DenseLimit(80_000, 25 * classes, 20).holds(critical, others)  # sorting takes a threshold for each class


def dense_own_class_violation(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, other_classes: torch.Tensor, delta: float
) -> torch.Tensor:
    """`own_class_violation` by its definition: O(P (N + C)) time and memory."""
    own = other_scores.gather(1, other_classes[:, None]).reshape(-1)
    return ((critical_scores + delta).index_select(1, other_classes) - own[None, :]).relu().sum(dim=1)


def sorted_own_class_violation(
    critical_scores: torch.Tensor, other_scores: torch.Tensor, other_classes: torch.Tensor, delta: float
) -> torch.Tensor:
    """`own_class_violation` by sorting each class: O((P C + N) log P) time, O(P C + N) memory."""
    if len(critical_scores) == 0 or len(other_scores) == 0:
        return dense_own_class_violation(critical_scores, other_scores, other_classes, delta)
    own = other_scores.gather(1, other_classes[:, None]).reshape(-1)
    return hinge_sums(-(critical_scores + delta).T, -own, other_classes).sum(dim=0)
