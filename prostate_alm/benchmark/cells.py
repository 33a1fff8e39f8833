"""The cells of a table from its runs: figures with intervals, and tests against the baseline."""

import math
import warnings
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from prostate_alm.benchmark.studies import Outcome
from prostate_alm.benchmark.table import Cell, CellKey, Choice, Column, ResultTable
from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.bootstrap import (
    FewPositivesWarning,
    RateInterval,
    fpr_at_false_negatives_difference,
    fpr_at_false_negatives_interval,
    fpr_at_tpr_difference,
    fpr_at_tpr_interval,
)
from prostate_alm.evaluation.comparisons import holm, improvement_correlation, paired_seeds
from prostate_alm.evaluation.delong import delong_interval, delong_test
from prostate_alm.evaluation.ensembles import MemberSummary, average_and_ensemble
from prostate_alm.evaluation.multiclass import (
    accuracy_difference,
    accuracy_interval,
    error_at_tpr,
    error_at_tpr_difference,
    error_at_tpr_interval,
)

FEWEST_PAIRS = 4  # below, Fisher's interval does not exist
ALIKE = 1e-9  # AUCs this near are equal but for rounding: one pair of images weighs more, whatever the subset


def filled_cells(
    table: ResultTable, outcomes: Mapping[tuple[int | None, str], Outcome], *, resamples: int = 2000
) -> dict[CellKey, Cell]:
    """Our results for the cells of a table, with intervals, and with p-values for rows under the constraint.

    The p-values of all cells are adjusted together (Holm).

    Args:
        table: the layout.
        outcomes: what was found, by ratio and method; what is missing was not run.
        resamples: of the bootstrap.
    """
    cells: dict[CellKey, Cell] = {}
    for row in table.rows:
        for column in table.columns:
            if (column.ratio, row.method) not in outcomes:
                continue
            outcome = outcomes[column.ratio, row.method]
            baseline = outcomes.get((column.ratio, row.pair)) if row.pair else None
            cells[row.method, column.ratio, column.metric] = _cell(column, outcome, baseline, resamples)
    tested = [key for key, cell in cells.items() if cell.p_value is not None]
    if tested:
        adjusted = holm([cells[key].p_value or 0.0 for key in tested])
        for key, value in zip(tested, adjusted, strict=True):
            cells[key] = cells[key].model_copy(update={"p_adjusted": float(value)})
    return cells


def improvement_notes(table: ResultTable, outcomes: Mapping[tuple[int | None, str], Outcome]) -> list[str]:
    """Does the constraint improve the AUC more where the baseline is worse (section 5.3)? A sentence a class ratio.

    The paper correlates baseline and improvement and finds r = -0.85; noise alone makes that negative, so Oldham's r of
    mean and improvement stands beside it. A ratio with too few pairs, or whose pairs are alike, has no sentence: r is
    undefined there.
    """
    notes: list[str] = []
    for ratio in table.ratios():
        pairs = [(outcomes.get((ratio, r.pair)), outcomes.get((ratio, r.method))) for r in table.rows if r.pair]
        aucs = [(summary(a).mean_auc, summary(b).mean_auc) for a, b in pairs if a and b and _whole(a) and _whole(b)]
        before, after = np.array(aucs).reshape(-1, 2).T
        if len(aucs) < FEWEST_PAIRS or min(np.ptp(x) for x in (before, before + after, after - before)) < ALIKE:
            continue
        found = improvement_correlation(before, after)
        paper, oldham = found.with_baseline, found.with_mean
        place = "" if ratio is None else f"1:{ratio}, "
        notes.append(
            f"{place}{len(aucs)} pairs: Pearson's r of baseline's average AUC and improvement {paper.r:.2f} "
            f"({paper.low:.2f} to {paper.high:.2f}; the paper prints -0.85); of their mean and improvement, which "
            f"noise does not bend, {oldham.r:.2f} ({oldham.low:.2f} to {oldham.high:.2f})."
        )
    return notes


def _cell(column: Column, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    if not _whole(outcome):
        return Cell(failed=True, note=f"{len(outcome.failures)} runs failed")
    if baseline is not None and not _whole(baseline):
        baseline = None
    return figure(column.metric, outcome, baseline, resamples=resamples)


def _whole(outcome: Outcome) -> bool:
    """Whether all runs ended well; the figures of the others alone are another method's."""
    return bool(outcome.runs) and not outcome.failures


def figure(metric: str, outcome: Outcome, baseline: Outcome | None = None, *, resamples: int = 2000) -> Cell:
    """Return a figure of an outcome that has runs, in percent: value, interval, p-value against a baseline.

    Args:
        metric: as the columns of `paper_values` are named.
        outcome: whose.
        baseline: what it is tested against.
        resamples: of the bootstrap.

    Raises:
        ArgumentError: there is no such metric, or its number is none.
    """
    make = _FIGURES.get(metric.partition("=")[0])
    if make is None:
        raise ArgumentError(f"`metric` is {metric!r}, which nobody computes. Available: {', '.join(_FIGURES)}.")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FewPositivesWarning)  # the cell's note says it
        return make(metric, outcome, baseline, resamples)


def choices(table: ResultTable, outcomes: Mapping[tuple[int | None, str], Outcome]) -> list[Choice]:
    """What was chosen for each row that ran."""
    found = [(ratio, row.method) for ratio in table.ratios() for row in table.rows]
    return [
        Choice(
            method=method,
            ratio=ratio,
            settings=dict(outcomes[ratio, method].chosen),
            share=constraint_share(outcomes[ratio, method]),
        )
        for ratio, method in found
        if (ratio, method) in outcomes
    ]


def constraint_share(outcome: Outcome) -> float | None:
    """Part of the training loss that is the constraint's (penalty and multipliers), in percent.

    The mean over epochs and runs; None for runs without the constraint or whose loss is not finite. Where it is small,
    a row is its baseline trained once more.
    """
    shares = [
        (row["penalty"] + row["multiplier"]) / row["loss"]
        for run in outcome.runs
        for row in run.epochs
        if "penalty" in row and row["loss"] > 0
    ]
    return 100 * float(np.mean(shares)) if shares and np.isfinite(shares).all() else None


TESTS = {
    True: "p-values of an ensemble are over test images, for these trained networks; of a mean AUC, over members.",
    False: "A p-value is the larger of two: over test images (paired bootstrap) and over seeds (paired t test).",
}
"""What the p-values of a table mean, for two classes and for more."""
COHORT_TESTS = TESTS[True].replace("images", "patients")


def summary(outcome: Outcome) -> MemberSummary:
    """The members of a binary outcome and their ensemble, on the test images."""
    return average_and_ensemble([run.test.critical.array() for run in outcome.runs], labels(outcome))


def labels(outcome: Outcome) -> NDArray[np.int64]:
    """Labels of the test images."""
    return outcome.runs[0].test.labels.array()


def _auc_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """`auc` of the ensemble, DeLong; `auc_mean` over the members, t test over members that share a split."""
    found = summary(outcome)
    if metric == "auc_mean":
        p = None
        if baseline is not None and len(found.member_aucs) == len(baseline.runs) > 1:
            p = paired_seeds(found.member_aucs, summary(baseline).member_aucs).p_t
        sd = None if math.isnan(found.sd_auc) else 100 * found.sd_auc
        return Cell(value=100 * found.mean_auc, sd=sd, p_value=p)
    interval = delong_interval(found.ensemble_logits, labels(outcome))
    p = None
    if baseline is not None:
        p = delong_test(found.ensemble_logits, summary(baseline).ensemble_logits, labels(outcome)).p_value
    return Cell(value=100 * interval.auc, low=100 * interval.low, high=100 * interval.high, p_value=p)


def _fpr_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """FPR of the ensemble at a TPR."""
    tpr, truth = _asked(metric), labels(outcome)
    scores = summary(outcome).ensemble_logits
    p = None
    if baseline is not None:
        p = fpr_at_tpr_difference(scores, summary(baseline).ensemble_logits, truth, tpr, resamples=resamples).p_value
    return _rate_cell(fpr_at_tpr_interval(scores, truth, tpr, resamples=resamples), p)


def _fpr_at_misses_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """FPR of the ensemble with at most so many false negatives."""
    misses, truth = _asked(metric), labels(outcome)
    if not misses.is_integer():
        raise ArgumentError(f"`metric` is {metric!r}. Expected a whole number of false negatives, such as fpr@fn=2.")
    scores, k, positives = summary(outcome).ensemble_logits, int(misses), int((truth == 1).sum())
    if k >= positives:
        return Cell(note=f"undefined: the test set has no more than {positives} positives")
    p = None
    if baseline is not None:
        other = summary(baseline).ensemble_logits
        p = fpr_at_false_negatives_difference(scores, other, truth, k, resamples=resamples).p_value
    return _rate_cell(fpr_at_false_negatives_interval(scores, truth, k, resamples=resamples), p)


def _asked(metric: str) -> float:
    """The number behind "=".

    Raises:
        ArgumentError: it is none.
    """
    name, _, number = metric.partition("=")
    try:
        return float(number)
    except ValueError:
        raise ArgumentError(f"`metric` is {metric!r}. Expected a number, as in {name}=2.") from None


def _rate_cell(rate: RateInterval, p_value: float | None) -> Cell:
    return Cell(value=100 * rate.value, low=100 * rate.low, high=100 * rate.high, p_value=p_value, note=rate.note)


def _error_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """Error on the classes that are not critical, at a TPR of the one that is; the mean over the runs."""
    tpr, truth = _asked(metric), labels(outcome)
    critical = int(truth.max())  # the smallest class of a long tail is the last
    ours = _scored(outcome)
    errors = _errors(ours, truth, critical, tpr)
    p = None
    if baseline is not None:
        theirs = _scored(baseline)
        over_images = error_at_tpr_difference(ours, theirs, truth, critical, tpr, resamples=resamples).p_value
        p = _over_both(over_images, errors, _errors(theirs, truth, critical, tpr))
    interval = error_at_tpr_interval(*ours, truth, critical, tpr, resamples=resamples)
    return _rate_cell(interval, p).model_copy(update={"sd": _sd(errors)})


def _errors(
    scored: tuple[NDArray[np.float64], NDArray[np.int64]], truth: NDArray[np.int64], critical: int, tpr: float
) -> NDArray[np.float64]:
    """Of each run: ``[R]``."""
    return np.array([error_at_tpr(*run, truth, critical, tpr) for run in zip(*scored, strict=True)])


def _accuracy_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """Accuracy over all classes, one critical class or the others; the mean over the runs."""
    truth = labels(outcome)
    kept = _rows_of(metric, truth)
    ours = _correct(outcome, kept)
    p = None
    if baseline is not None:
        theirs = _correct(baseline, kept)
        over_images = accuracy_difference(ours, theirs, truth[kept], resamples=resamples).p_value
        p = _over_both(over_images, ours.mean(axis=1), theirs.mean(axis=1))
    found = accuracy_interval(ours, truth[kept], resamples=resamples)
    return Cell(
        value=100 * found.value, low=100 * found.low, high=100 * found.high, p_value=p, sd=_sd(ours.mean(axis=1))
    )


def _over_both(over_images: float, ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float | None:
    """The larger p-value of two tests: over test images, and over seeds that both methods share (paired t).

    A difference of a few trained networks may be real for these networks and yet not come back with other seeds: both
    have to be small. None for a single run, which can't tell.
    """
    if len(ours) != len(theirs) or len(ours) < 2:
        return None
    return max(over_images, paired_seeds(ours, theirs).p_t)


def _sd(figures: NDArray[np.float64]) -> float | None:
    """Standard deviation over runs, in percent."""
    return 100 * float(figures.std(ddof=1)) if len(figures) > 1 else None


def _rows_of(metric: str, truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which test images an accuracy is about; critical class 1 is the smallest, the last one, 2 the one before."""
    last = int(truth.max())
    if metric == "accuracy":
        return np.ones(truth.shape, dtype=bool)
    if metric == "accuracy@other":
        return truth < last - 1
    return truth == last + 1 - _asked(metric)


def _scored(outcome: Outcome) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Critical scores and other predictions ``[R, N]``."""
    tests = [run.test for run in outcome.runs]
    return (
        np.stack([test.critical.array() for test in tests]),
        np.stack([test.other.array() for test in tests if test.other is not None]),
    )


def _correct(outcome: Outcome, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    predictions = [run.test.prediction.array() for run in outcome.runs if run.test.prediction is not None]
    return (np.stack(predictions) == labels(outcome))[:, kept]


_FIGURES: Mapping[str, Callable[[str, Outcome, Outcome | None, int], Cell]] = {
    "auc": _auc_cell,
    "auc_mean": _auc_cell,
    "fpr@tpr": _fpr_cell,
    "fpr@fn": _fpr_at_misses_cell,
    "error@tpr": _error_cell,
    "accuracy": _accuracy_cell,
    "accuracy@critical": _accuracy_cell,
    "accuracy@other": _accuracy_cell,
}
