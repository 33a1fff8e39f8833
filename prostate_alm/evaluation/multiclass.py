"""Several classes, one of them critical: the error on the others at a fixed sensitivity (section 5.3, Tables 4, 7, 8).

A sample whose critical score reaches the threshold goes to the critical class, any other to the non-critical class
with the highest logit. A non-critical sample is therefore wrong if that class is not its own, or if its critical
score reaches the threshold: the error is the false-positive rate of `roc.fpr_at_tpr` with +inf as the score of those
that are wrong anyway, and has the same bootstrap.

Where several runs ``[R, N]`` are given, the figure is the mean over the runs, each with its own threshold.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.resampling import (
    PairedDifference,
    RateInterval,
    Resampling,
    StratifiedScores,
    difference_of,
    interval_of,
    rate_difference,
    rate_interval,
)
from prostate_alm.evaluation.roc import Scores, lowest_positive, misses_allowed, split_scores

Classes = NDArray[np.int64]


class MulticlassScores(NamedTuple):
    """What the figures need of the logits.

    Attributes:
        critical_scores: ``[..., N]``, the logit of the critical class; with several critical classes
            ``[..., N, K]``, for which the error at a sensitivity is not defined and `error_at_tpr` refuses.
        other_prediction: ``[..., N]``, the non-critical class with the highest logit.
        prediction: ``[..., N]``, the class with the highest logit.
    """

    critical_scores: Scores
    other_prediction: Classes
    prediction: Classes


def from_logits(logits: ArrayLike, critical_classes: Sequence[int]) -> MulticlassScores:
    """Take the critical scores and both predictions from logits; ties go to the lower class.

    Args:
        logits: ``[N, C]`` or, for several runs, ``[R, N, C]``; finite.
        critical_classes: one class, or several (Table 9, accuracies only); at least one class is not critical.

    Raises:
        ArgumentError: the shape is another, a logit is not finite, or the critical classes are empty, repeated, out
            of range or all.
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim not in (2, 3):
        raise ArgumentError(f"`logits` must be [N, C] or [R, N, C], got shape {values.shape}.")
    if not np.isfinite(values).all():
        raise ArgumentError(f"`logits` must be finite, {int((~np.isfinite(values)).sum())} of {values.size} are not.")
    count, critical = values.shape[-1], list(critical_classes)
    if not set(critical) < set(range(count)) or not critical or len(set(critical)) != len(critical):
        raise ArgumentError(
            f"`critical_classes` must be different classes of 0..{count - 1}, at least one and not all, got {critical}."
        )
    others = np.array([one for one in range(count) if one not in critical])
    return MulticlassScores(
        critical_scores=values[..., critical[0]] if len(critical) == 1 else values[..., critical],
        other_prediction=others[values[..., others].argmax(axis=-1)],
        prediction=values.argmax(axis=-1),
    )


def critical_threshold(critical_scores: ArrayLike, is_critical: ArrayLike, tpr: float) -> float:
    """The highest threshold that at least a share `tpr` of the critical samples reaches (``score >= threshold``).

    Args:
        critical_scores: ``[N]``, finite.
        is_critical: ``[N]``, true or 1 for samples of the critical class.
        tpr: sensitivity asked for, 0 to 1; 0 is reached at +inf.

    Raises:
        ArgumentError: as `roc.split_scores`, or `tpr` is out of range.

    >>> critical_threshold([0.1, 0.7, 0.9, 0.5], [1, 1, 1, 0], 0.6)
    0.7
    """
    critical, _ = split_scores(critical_scores, is_critical)
    misses = misses_allowed(tpr, critical.size)
    return float("inf") if misses == critical.size else lowest_positive(critical, misses)


def error_at_tpr(
    critical_scores: ArrayLike, other_prediction: ArrayLike, labels: ArrayLike, critical_class: int, tpr: float
) -> float:
    """Share of the non-critical samples that don't end in their own class, at the sensitivity `tpr` (0 to 1).

    Args:
        critical_scores: ``[N]`` or ``[R, N]``, finite, logit of the critical class.
        other_prediction: ``[N]`` or ``[R, N]``, non-critical class with the highest logit, never `critical_class`.
        labels: ``[N]``, classes.
        critical_class: the one class that must not be missed.
        tpr: as `critical_threshold`.

    Raises:
        ArgumentError: shapes don't fit, a score is not finite, a side is empty, `other_prediction` holds the critical
            class, or `tpr` is out of range.
    """
    cases = _by_class(critical_scores, other_prediction, labels, critical_class)
    counts = cases.counts(misses_allowed(tpr, cases.sizes[0]), cases.as_they_are())
    return float(counts.sum()) / (cases.others * len(cases.scores))


def error_at_tpr_interval(
    critical_scores: ArrayLike,
    other_prediction: ArrayLike,
    labels: ArrayLike,
    critical_class: int,
    tpr: float,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> RateInterval:
    """`error_at_tpr` with a percentile bootstrap interval, stratified by class; all runs see the same images.

    Args:
        critical_scores: as `error_at_tpr`.
        other_prediction: as `error_at_tpr`.
        labels: as `error_at_tpr`.
        critical_class: as `error_at_tpr`.
        tpr: as `error_at_tpr`.
        resamples: bootstrap samples.
        seed: of the draws.
        level: two-sided, between 0 and 1.

    Raises:
        ArgumentError: as `error_at_tpr`, or `level` and `resamples` don't fit.

    Warns:
        FewPositivesWarning: fewer than 5 critical samples may be missed; see `resampling.few_misses_note`.
    """
    cases = _by_class(critical_scores, other_prediction, labels, critical_class)
    return rate_interval(cases, misses_allowed(tpr, cases.sizes[0]), Resampling(resamples, seed, level))


def error_at_tpr_difference(
    scored_a: tuple[ArrayLike, ArrayLike],
    scored_b: tuple[ArrayLike, ArrayLike],
    labels: ArrayLike,
    critical_class: int,
    tpr: float,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """`error_at_tpr` of a minus that of b, all runs of both on the same resampled images.

    Args:
        scored_a: critical scores and other predictions of a, as the first two arguments of `error_at_tpr`.
        scored_b: of b, on the same images in the same order; the number of runs may differ.
        labels: as `error_at_tpr`.
        critical_class: as `error_at_tpr`.
        tpr: as `error_at_tpr`.
        resamples: as `error_at_tpr_interval`.
        seed: as `error_at_tpr_interval`.
        level: as `error_at_tpr_interval`.

    Raises:
        ArgumentError: as `error_at_tpr_interval`.

    Warns:
        FewPositivesWarning: as `error_at_tpr_interval`.
    """
    a, b = (_by_class(*scored, labels, critical_class) for scored in (scored_a, scored_b))
    return rate_difference(a, b, misses_allowed(tpr, a.sizes[0]), Resampling(resamples, seed, level))


def per_class_accuracy(prediction: ArrayLike, labels: ArrayLike, classes: Sequence[int]) -> dict[int, float]:
    """Share of each class' samples that are predicted as it, by class; the mean over runs ``[R, N]``.

    Raises:
        ArgumentError: shapes don't fit, or a class has no sample.
    """
    predicted, truth = _runs(prediction, labels)
    missing = sorted(set(classes) - set(truth.tolist()))
    if missing:
        raise ArgumentError(f"each of `classes` must have a sample in `labels`, {missing} have none.")
    correct = (predicted == truth).mean(axis=0)
    return {wanted: float(correct[truth == wanted].mean()) for wanted in classes}


def overall_accuracy(prediction: ArrayLike, labels: ArrayLike) -> float:
    """Share of all samples predicted as their class, over all runs.

    Raises:
        ArgumentError: shapes don't fit.
    """
    predicted, truth = _runs(prediction, labels)
    return float((predicted == truth).mean())


def accuracy_interval(
    correct: ArrayLike, labels: ArrayLike, *, resamples: int = 2000, seed: int = 0, level: float = 0.95
) -> RateInterval:
    """The share of `correct` with a percentile bootstrap interval, stratified by class.

    Args:
        correct: ``[N]`` or ``[R, N]``, true or false.
        labels: ``[N]``, the strata; pass part of both for the accuracy of some classes.
        resamples: as `error_at_tpr_interval`.
        seed: as `error_at_tpr_interval`.
        level: as `error_at_tpr_interval`.

    Raises:
        ArgumentError: shapes don't fit, `correct` is not boolean, or `level` and `resamples` don't fit.
    """
    counts, sizes, runs = _correct_counts(correct, labels)
    plan = Resampling(resamples, seed, level)
    total = counts.size * runs
    draws = np.concatenate([counts.take(block).sum(axis=1) for block in plan.indices(sizes)]) / total
    return interval_of(float(counts.sum()) / total, draws, plan)


def accuracy_difference(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    labels: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> PairedDifference:
    """The share of correct samples of a minus that of b, on the same resampled images.

    Args:
        correct_a: as `accuracy_interval`.
        correct_b: of the same images; the number of runs may differ.
        labels: as `accuracy_interval`.
        resamples: as `error_at_tpr_interval`.
        seed: as `error_at_tpr_interval`.
        level: as `error_at_tpr_interval`.

    Raises:
        ArgumentError: as `accuracy_interval`.
    """
    counts_a, sizes, runs_a = _correct_counts(correct_a, labels)
    counts_b, _, runs_b = _correct_counts(correct_b, labels)
    plan = Resampling(resamples, seed, level)
    crossed = counts_a * runs_b - counts_b * runs_a  # whole numbers, so that no difference is exactly 0
    total = crossed.size * runs_a * runs_b
    draws = np.concatenate([crossed.take(block).sum(axis=1) for block in plan.indices(sizes)]) / total
    return difference_of(float(crossed.sum()) / total, draws, plan)


def _by_class(
    critical_scores: ArrayLike, other_prediction: ArrayLike, labels: ArrayLike, critical_class: int
) -> StratifiedScores:
    """Scores for the bootstrap: critical class first, then class by class; +inf where the class is wrong anyway."""
    predicted, truth = _runs(other_prediction, labels)
    scores = np.atleast_2d(np.asarray(critical_scores, dtype=np.float64))
    if scores.shape != predicted.shape:
        raise ArgumentError(
            f"`critical_scores` and `other_prediction` must have one shape, got {scores.shape} and {predicted.shape}."
        )
    for run in scores:
        split_scores(run, truth == critical_class)
    if (predicted == critical_class).any():
        raise ArgumentError(
            f"`other_prediction` must be the best of the non-critical classes, but holds the critical class "
            f"{critical_class}; take it from `from_logits`."
        )
    wrong_anyway = (predicted != truth) & (truth != critical_class)
    order = np.lexsort((truth, truth != critical_class))
    _, others = np.unique(truth[truth != critical_class], return_counts=True)
    sizes = (int((truth == critical_class).sum()), *others.tolist())
    return StratifiedScores(np.where(wrong_anyway, np.inf, scores)[:, order], sizes)


def _correct_counts(correct: ArrayLike, labels: ArrayLike) -> tuple[Classes, tuple[int, ...], int]:
    """In how many runs each sample is correct ``[N]``, ordered by class; the class sizes; the number of runs."""
    right, truth = _runs(correct, labels)
    if right.dtype != np.bool_:
        raise ArgumentError(f"`correct` must be true or false for each sample, got dtype {right.dtype}.")
    _, sizes = np.unique(truth, return_counts=True)
    ordered = right[:, np.argsort(truth, kind="stable")]
    return ordered.sum(axis=0, dtype=np.int64), tuple(sizes.tolist()), len(right)


def _runs(per_sample: ArrayLike, labels: ArrayLike) -> tuple[Classes, Classes]:
    """``[R, N]`` and ``[N]``, checked against each other."""
    values, truth = np.atleast_2d(np.asarray(per_sample)), np.asarray(labels)
    if values.ndim != 2 or truth.ndim != 1 or values.shape[1] != truth.size or values.size == 0:
        raise ArgumentError(
            f"there must be one value for each sample, [N] or [R, N], got shapes {values.shape} and {truth.shape}."
        )
    return values, truth
