"""Losses, the ranking constraint and its augmented Lagrangian; torch only."""

from prostate_alm.losses.alm import ALMLoss, Terms
from prostate_alm.losses.baseline import BCELoss
from prostate_alm.losses.constraint import RankingConstraint, Violations
from prostate_alm.losses.violation import violation

__all__ = ["ALMLoss", "BCELoss", "RankingConstraint", "Terms", "Violations", "violation"]
