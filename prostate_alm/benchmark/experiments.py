"""What has to be run for each table of the paper, and its cells from the runs."""

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from prostate_alm.benchmark.budgets import Budget
from prostate_alm.benchmark.methods import BINARY_LOSSES, binary_methods, multiclass_methods
from prostate_alm.benchmark.studies import Method, Outcome, Protocol, Settings
from prostate_alm.benchmark.table import Cell, CellKey, Column, ResultTable
from prostate_alm.datasets.cifar.subsets import DEFAULT_PAIRS
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
    error_at_tpr_difference,
    error_at_tpr_interval,
)

FEWEST_PAIRS = 4  # below, Fisher's interval does not exist
ALIKE = 1e-9  # AUCs this near are equal but for rounding: one pair of images weighs more, whatever the subset
MAJOR_MULTICLASS, OTHER_MULTICLASS = ("CE", "FL", "CB-CE", "LDAM"), ("S-ML", "A-ML", "A-FL")


@dataclass(frozen=True)
class Experiment:
    """The runs behind a table; tables that show other figures of the same runs share them.

    Attributes:
        bundle: what is trained.
        archive: cifar10 or cifar100.
        ratios: of the table's blocks.
        settings: of the bundle, but budget and ratio.
        losses: rows without the constraint.
        mbauc: whether MBAUC is a row.
    """

    bundle: str
    archive: str
    ratios: Sequence[int]
    settings: Settings = field(default_factory=dict)
    losses: Sequence[str] = BINARY_LOSSES
    mbauc: bool = True

    @property
    def binary(self) -> bool:
        """Whether there are two classes."""
        return self.bundle.endswith("binary")

    def methods(self, budget: Budget) -> list[Method]:
        """The rows."""
        if self.binary:
            return binary_methods(budget.binary_grids, self.losses, mbauc=self.mbauc)
        return multiclass_methods(budget.multiclass_grids, self.losses)

    def only(self, names: Sequence[str]) -> "Experiment":
        """The same with these losses alone, in the table's order; all for none.

        Raises:
            ArgumentError: the table has no such loss.
        """
        if not names:
            return self
        rows = {name.lower(): name for name in (*self.losses, *(["MBAUC"] if self.mbauc and self.binary else []))}
        if stray := [name for name in names if name.lower() not in rows]:
            raise ArgumentError(f"the table has no loss {stray[0]!r}. Available: {', '.join(rows.values())}.")
        kept = {rows[name.lower()] for name in names}
        return replace(self, losses=[loss for loss in self.losses if loss in kept], mbauc="MBAUC" in kept)

    def protocol(self, budget: Budget, ratio: int, data_sha256: str) -> Protocol:
        """What the rows of one ratio share."""
        kind = 0 if self.binary else 1
        settings = {**budget.settings.get(self.bundle, {}), **self.settings, "ratio": ratio}
        return Protocol(self.bundle, settings, budget.members[kind], budget.search_members[kind], data_sha256)


_FIRST_PAIR, _SECOND_PAIR = ({"majority": majority, "minority": minority} for majority, minority in DEFAULT_PAIRS)
_CIFAR10 = Experiment("cifar10_binary", "cifar10", (100, 200), _FIRST_PAIR)
_CIFAR100 = Experiment("cifar100_binary", "cifar100", (100, 200))
_TAILED = Experiment("cifar10_long_tailed", "cifar10", (100, 200), losses=MAJOR_MULTICLASS)
EXPERIMENTS: Mapping[int, Experiment] = {
    1: _CIFAR10,
    2: _CIFAR100,
    4: _TAILED,
    5: Experiment("cifar10_binary", "cifar10", (50,), _FIRST_PAIR),
    6: Experiment("cifar10_binary", "cifar10", (100, 200), _SECOND_PAIR),
    7: Experiment("cifar10_long_tailed", "cifar10", (100, 200), losses=OTHER_MULTICLASS),
    8: Experiment("cifar100_long_tailed", "cifar100", (20, 50), losses=MAJOR_MULTICLASS),
    9: Experiment("cifar10_long_tailed", "cifar10", (100, 200), {"critical": 2}, losses=MAJOR_MULTICLASS),
    10: _CIFAR10,
    11: _CIFAR100,
    12: replace(_CIFAR10, mbauc=False),
    13: replace(_CIFAR100, mbauc=False),
    16: Experiment(
        "cifar10_binary",
        "cifar10",
        (2, 9, 19),
        {**_FIRST_PAIR, "consistent": True},
        losses=[loss for loss in BINARY_LOSSES if loss != "LDAM"],
    ),
}


def find_experiment(table: int) -> Experiment:
    """Return what has to be run for a table.

    Raises:
        ArgumentError: there is none for it.
    """
    if table not in EXPERIMENTS:
        raise ArgumentError(
            f"there is no experiment on images for table {table}; 3, 14 and 15 need a prostate cohort. Available: "
            f"{', '.join(map(str, EXPERIMENTS))}."
        )
    return EXPERIMENTS[table]


def filled_cells(
    table: ResultTable, outcomes: Mapping[tuple[int, str], Outcome], *, resamples: int = 2000
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
            if column.ratio is None or (column.ratio, row.method) not in outcomes:
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


def improvement_notes(table: ResultTable, outcomes: Mapping[tuple[int, str], Outcome]) -> list[str]:
    """Does the constraint improve the AUC more where the baseline is worse (section 5.3)? A sentence a class ratio.

    The paper correlates baseline and improvement and finds r = -0.85; noise alone makes that negative, so Oldham's r of
    mean and improvement stands beside it. A ratio with too few pairs, or whose pairs are alike, has no sentence: r is
    undefined there.
    """
    notes: list[str] = []
    for ratio in (ratio for ratio in table.ratios() if ratio is not None):
        pairs = [(outcomes.get((ratio, r.pair)), outcomes.get((ratio, r.method))) for r in table.rows if r.pair]
        aucs = [(summary(a).mean_auc, summary(b).mean_auc) for a, b in pairs if a and b and _whole(a) and _whole(b)]
        before, after = np.array(aucs).reshape(-1, 2).T
        if len(aucs) < FEWEST_PAIRS or min(np.ptp(x) for x in (before, before + after, after - before)) < ALIKE:
            continue
        found = improvement_correlation(before, after)
        paper, oldham = found.with_baseline, found.with_mean
        notes.append(
            f"1:{ratio}, {len(aucs)} pairs: Pearson's r of baseline's average AUC and improvement {paper.r:.2f} "
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
    scores, k = summary(outcome).ensemble_logits, int(misses)
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
    interval = error_at_tpr_interval(*_scored(outcome), truth, critical, tpr, resamples=resamples)
    p = None
    if baseline is not None:
        p = error_at_tpr_difference(
            _scored(outcome), _scored(baseline), truth, critical, tpr, resamples=resamples
        ).p_value
    return _rate_cell(interval, p)


def _accuracy_cell(metric: str, outcome: Outcome, baseline: Outcome | None, resamples: int) -> Cell:
    """Accuracy over all classes, one critical class or the others; the mean over the runs."""
    truth = labels(outcome)
    kept = _rows_of(metric, truth)
    interval = accuracy_interval(_correct(outcome, kept), truth[kept], resamples=resamples)
    p = None
    if baseline is not None:
        difference = accuracy_difference(
            _correct(outcome, kept), _correct(baseline, kept), truth[kept], resamples=resamples
        )
        p = difference.p_value
    return Cell(value=100 * interval.value, low=100 * interval.low, high=100 * interval.high, p_value=p)


def _rows_of(metric: str, truth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which test images an accuracy is about; critical class 1 is the smallest, the last one, 2 the one before."""
    last = int(truth.max())
    if metric == "accuracy":
        return np.ones(truth.shape, dtype=bool)
    if metric == "accuracy@other":
        return truth < last - 1
    return truth == last + 1 - int(metric.partition("=")[2])


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
