"""Losses, the ranking constraint and its augmented Lagrangian; torch only."""

from prostate_alm.losses.alm import ALMLoss, Terms
from prostate_alm.losses.baseline import BCELoss
from prostate_alm.losses.constraint import RankingConstraint, Violations
from prostate_alm.losses.multiclass import MultiClassRankingConstraint
from prostate_alm.losses.penalty import FeasibilitySchedule, MetricSchedule, Safeguards
from prostate_alm.losses.sampler import ClassAwareBatchSampler
from prostate_alm.losses.violation import violation

__all__ = [
    "ALMLoss",
    "BCELoss",
    "ClassAwareBatchSampler",
    "FeasibilitySchedule",
    "MetricSchedule",
    "MultiClassRankingConstraint",
    "RankingConstraint",
    "Safeguards",
    "Terms",
    "Violations",
    "violation",
]
