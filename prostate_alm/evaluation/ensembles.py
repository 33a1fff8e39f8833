"""Runs of one method taken one by one and as an ensemble, as the paper reports them (Tables 3, 10, 11)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.roc import Scores, auc


@dataclass(frozen=True, eq=False)
class MemberSummary:
    """AUCs (0 to 1) of the members and of their ensemble.

    Attributes:
        mean_auc: mean over the members.
        sd_auc: standard deviation over the members with K - 1 in the denominator; NaN for a single member.
        ensemble_auc: AUC of the mean logit, which is not the mean AUC.
        ensemble_logits: ``[N]``, mean over the members.
        member_aucs: ``[K]``.
    """

    mean_auc: float
    sd_auc: float
    ensemble_auc: float
    ensemble_logits: Scores
    member_aucs: Scores


def average_and_ensemble(member_logits: ArrayLike, labels: ArrayLike) -> MemberSummary:
    """Summarise K members on the same cases; the ensemble averages their logits (section 5.2).

    Args:
        member_logits: ``[K, N]``, finite, before the sigmoid; a mean of probabilities is another ensemble.
        labels: ``[N]``, 0 or 1.

    Raises:
        ArgumentError: `member_logits` is not ``[K, N]`` with K >= 1, or as `roc.split_scores`.
    """
    logits = np.asarray(member_logits, dtype=np.float64)
    if logits.ndim != 2 or logits.shape[0] == 0:
        raise ArgumentError(f"`member_logits` must be [members, cases], got shape {logits.shape}.")
    aucs = np.array([auc(member, labels) for member in logits])
    mean_logits = logits.mean(axis=0)
    return MemberSummary(
        mean_auc=float(aucs.mean()),
        sd_auc=float(aucs.std(ddof=1)) if aucs.size > 1 else math.nan,
        ensemble_auc=auc(mean_logits, labels),
        ensemble_logits=mean_logits,
        member_aucs=aucs,
    )
