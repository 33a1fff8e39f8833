"""Losses, the ranking constraint and its augmented Lagrangian; torch only."""

from prostate_alm.losses.adjusted import LogitAdjustedLoss, VSLoss, adjusted_logits
from prostate_alm.losses.alm import ALMLoss, Terms
from prostate_alm.losses.baseline import BCELoss, CrossEntropyLoss
from prostate_alm.losses.class_counts import class_balanced_weights
from prostate_alm.losses.constraint import RankingConstraint, Violations
from prostate_alm.losses.equalization import EqualizationLoss, SoftmaxEqualizationLoss
from prostate_alm.losses.focal import FocalLoss
from prostate_alm.losses.ldam import LDAMLoss
from prostate_alm.losses.margin import MarginLoss
from prostate_alm.losses.multiclass import MultiClassRankingConstraint
from prostate_alm.losses.named import named_loss
from prostate_alm.losses.penalty import FeasibilitySchedule, MetricSchedule, Safeguards
from prostate_alm.losses.per_sample import PerSampleLoss
from prostate_alm.losses.ranking_auc import MiniBatchAUCLoss
from prostate_alm.losses.sampler import ClassAwareBatchSampler
from prostate_alm.losses.squared_error import MeanFalseErrorLoss, MeanSquaredFalseErrorLoss
from prostate_alm.losses.violation import violation
from prostate_alm.losses.weighted import ClassBalancedLoss, ClassWeightedLoss, DeferredReweightingLoss, WeightedBCELoss
from prostate_alm.networks.normalised_linear import NormalisedLinear

__all__ = [
    "ALMLoss",
    "BCELoss",
    "ClassAwareBatchSampler",
    "ClassBalancedLoss",
    "ClassWeightedLoss",
    "CrossEntropyLoss",
    "DeferredReweightingLoss",
    "EqualizationLoss",
    "FeasibilitySchedule",
    "FocalLoss",
    "LDAMLoss",
    "LogitAdjustedLoss",
    "MarginLoss",
    "MeanFalseErrorLoss",
    "MeanSquaredFalseErrorLoss",
    "MetricSchedule",
    "MiniBatchAUCLoss",
    "MultiClassRankingConstraint",
    "NormalisedLinear",
    "PerSampleLoss",
    "RankingConstraint",
    "Safeguards",
    "SoftmaxEqualizationLoss",
    "Terms",
    "VSLoss",
    "Violations",
    "WeightedBCELoss",
    "adjusted_logits",
    "class_balanced_weights",
    "named_loss",
    "violation",
]
