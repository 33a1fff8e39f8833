"""The cells of the tables from results made by hand."""

import dataclasses

import numpy as np
import pytest

from prostate_alm.benchmark.cells import constraint_share, figure, filled_cells, improvement_notes
from prostate_alm.benchmark.experiments import EXPERIMENTS, find_experiment
from prostate_alm.benchmark.records import Failure
from prostate_alm.benchmark.studies import Method, Outcome
from prostate_alm.benchmark.table import table_layout
from prostate_alm.errors import ArgumentError

Outcomes = dict[tuple[int | None, str], Outcome]
# 7 of 8 pairs won; the lowest positive is at 2, which one negative of four reaches
LOGITS, LABELS = np.array([0.0, 1.0, 2.5, -1.0, 2.0, 3.0]), np.array([0, 0, 0, 0, 1, 1])
PERFECT = np.array([-3.0, -2.0, -1.0, -4.0, 1.0, 2.0])


@pytest.fixture
def outcome_factory(spec_factory, record_factory):
    """Make the outcome of a method from the test logits ``[N]`` or ``[N, C]`` of its members."""

    def make(name, *members, labels=LABELS, critical=(1,), failures=0):
        runs = [
            record_factory(
                spec_factory(place), logits=logits.reshape(len(labels), -1), labels=labels, critical=critical
            )
            for place, logits in enumerate(members)
        ]
        failed = [Failure(spec=spec_factory(90 + place), message="killed") for place in range(failures)]
        return Outcome(Method(name, {}), {}, [], runs, failed)

    return make


@pytest.mark.parametrize("number", sorted(EXPERIMENTS))
def test_every_column_of_a_table_can_be_filled(number, outcome_factory):
    """Whatever its metrics are called: with results for a row, no cell of it is left."""
    experiment, table = find_experiment(number), table_layout(number)
    rng = np.random.default_rng(number)
    classes = 1 if experiment.binary else 10 if experiment.archive == "cifar10" else 100
    labels = np.tile(np.arange(max(classes, 2)), 6)  # table 15 asks for the FPR at 5 misses
    row = table.rows[0].method
    made: Outcomes = {
        (ratio, row): outcome_factory(
            row,
            *rng.standard_normal((2, len(labels), classes)).astype(np.float32),
            labels=labels,
            critical=(1,) if classes == 1 else (classes - 1, classes - 2) if number == 9 else (classes - 1,),
        )
        for ratio in experiment.ratios
    }
    cells = filled_cells(table, made, resamples=40)
    assert set(cells) == {(row, column.ratio, column.metric) for column in table.columns}
    for cell in cells.values():
        assert cell.status == "run"
        assert cell.value is not None
        assert cell.low is None or cell.high is None or cell.low <= cell.value <= cell.high
    table.filled(cells)  # refuses what is no cell of the table


def test_where_every_positive_may_be_missed_there_is_no_figure(outcome_factory):
    cell = figure("fpr@fn=2", outcome_factory("BCE", LOGITS), outcome_factory("S-FL", PERFECT))
    assert (cell.status, cell.value, cell.p_value) == ("not run", None, None)
    assert "2 positives" in cell.note
    assert figure("fpr@fn=1", outcome_factory("BCE", LOGITS)).value == 0.0


def test_binary_cells_are_the_ensembles_figures_in_percent(outcome_factory):
    cells = filled_cells(table_layout(1), {(100, "BCE"): outcome_factory("BCE", LOGITS - 1, LOGITS + 1)}, resamples=200)
    assert cells["BCE", 100, "auc"].value == pytest.approx(87.5)
    at = cells["BCE", 100, "fpr@tpr=0.98"]
    assert at.value == pytest.approx(25.0)
    assert at.low is not None
    assert at.high is not None
    assert 0 <= at.low <= 25 <= at.high <= 100
    assert at.p_value is None  # a baseline is compared with nothing


def test_the_mean_auc_is_over_the_members(outcome_factory):
    made: Outcomes = {(100, "BCE"): outcome_factory("BCE", LOGITS, PERFECT)}
    cells = filled_cells(table_layout(10), made, resamples=40)
    cell = cells["BCE", 100, "auc_mean"]
    assert cell.value == pytest.approx((87.5 + 100) / 2)
    assert cell.sd == pytest.approx(12.5 / np.sqrt(2))  # of a sample of two


def test_a_constrained_row_is_compared_with_its_baseline_and_p_values_are_adjusted_together(outcome_factory):
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1], [60, 20])
    logits = [(rng.standard_normal(80) + signal * labels).astype(np.float32) for signal in (0.3, 2.0, 0.5, 0.6)]
    names = ("BCE", "ALM + BCE", "S-ML", "ALM + S-ML")
    made: Outcomes = {(100, n): outcome_factory(n, lg, labels=labels) for n, lg in zip(names, logits, strict=True)}
    cells = filled_cells(table_layout(1), made, resamples=200)
    tested = {key: cell.p_value for key, cell in cells.items() if cell.p_value is not None}
    assert {method for method, *_ in tested} == {"ALM + BCE", "ALM + S-ML"}
    assert len(tested) == len([c for c in table_layout(1).columns if c.ratio == 100]) * 2
    assert tested["ALM + BCE", 100, "auc"] < 0.05 < tested["ALM + S-ML", 100, "auc"]
    largest = 0.0
    for rank, (key, p) in enumerate(sorted(tested.items(), key=lambda item: item[1])):  # Holm 1979, step by step
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        assert cells[key].p_adjusted == pytest.approx(largest)


def test_what_failed_and_what_was_not_run_are_told_apart(outcome_factory):
    table = table_layout(1)
    made: Outcomes = {
        (100, "BCE"): outcome_factory("BCE", LOGITS, failures=1),
        (100, "ALM + BCE"): outcome_factory("ALM + BCE", PERFECT),
        (100, "S-ML"): outcome_factory("S-ML", failures=3),
    }
    filled = table.filled(filled_cells(table, made, resamples=40))
    assert filled.cell("BCE", 100, "auc").status == "failed"
    assert "1 run" in filled.cell("BCE", 100, "auc").note
    assert filled.cell("S-ML", 100, "auc").status == "failed"
    assert filled.cell("A-ML", 100, "auc").status == "not run"
    assert filled.cell("BCE", 200, "auc").status == "not run"
    constrained = filled.cell("ALM + BCE", 100, "auc")
    assert (constrained.value, constrained.p_value) == (100, None)  # its baseline has no result


def test_table_9_tells_the_two_smallest_classes_from_the_others(outcome_factory):
    labels = np.repeat(np.arange(10), 4)
    predicted = labels.copy()
    predicted[labels == 9] = [9, 0, 0, 0]  # 1 of 4 of the smallest class
    predicted[labels == 8] = [8, 8, 8, 0]  # 3 of 4 of the next
    predicted[labels == 0] = [0, 0, 1, 1]  # 30 of the 32 others
    made: Outcomes = {(100, "CE"): outcome_factory("CE", 5.0 * np.eye(10)[predicted], labels=labels, critical=(9, 8))}
    cells = filled_cells(table_layout(9), made, resamples=40)
    found = {metric: cell.value for (_, _, metric), cell in cells.items()}
    assert found["accuracy@critical=1"] == pytest.approx(25.0)
    assert found["accuracy@critical=2"] == pytest.approx(75.0)
    assert found["accuracy@other"] == pytest.approx(100 * 30 / 32)
    assert found.get("accuracy", 100 * 34 / 40) == pytest.approx(100 * 34 / 40)


def test_the_fpr_at_false_negatives_counts_misses(outcome_factory):
    """Lowest positive 0, which every negative reaches; the next is above them all. Read as a TPR, 0 would be 0 %."""
    logits, labels = np.array([0.0, 3.0, 4.0, 1.0, 2.0, 2.5]), np.array([1, 1, 1, 0, 0, 0])
    outcome = outcome_factory("BCE", logits, labels=labels)
    assert figure("fpr@fn=0", outcome, resamples=40).value == 100
    one = figure("fpr@fn=1", outcome, outcome, resamples=40)
    assert (one.value, one.p_value) == (0, 1)
    assert "At most 1 of 3" in one.note


@pytest.mark.parametrize("metric", ["precision", "auc_median", "fpr", "fpr@", "fpr@tpr=high", "fpr@tpr", "fpr@fn=0.5"])
def test_an_unknown_metric_is_refused(metric, outcome_factory):
    with pytest.raises(ArgumentError, match=f"`metric` is '{metric}'"):
        figure(metric, outcome_factory("BCE", LOGITS), resamples=40)


BASES = ("BCE", "S-ML", "A-ML", "LDAM")


def by_auc(won):
    """Logits on `LABELS`; a positive that out-ranks `won` of the four negatives beside one that out-ranks all."""
    return np.array([0.0, 1.0, 2.0, 3.0, won - 0.5, 9.0])


def pairs(outcome_factory, before, after, **failures) -> Outcomes:
    rows = [*zip(BASES, before, strict=True), *((f"ALM + {name}", won) for name, won in zip(BASES, after, strict=True))]
    return {(100, n): outcome_factory(n, by_auc(won), failures=failures.get(n.replace(" ", "_"), 0)) for n, won in rows}


def test_the_notes_correlate_baseline_and_improvement(outcome_factory):
    made = pairs(outcome_factory, [0, 1, 2, 3], [4, 4, 4, 3])
    r = np.corrcoef([0, 1, 2, 3], [4, 3, 2, 0])[0, 1]
    (note,) = improvement_notes(table_layout(1), made)
    assert note.startswith(f"1:100, 4 pairs: Pearson's r of baseline's average AUC and improvement {r:.2f}")


@pytest.mark.parametrize(
    ("before", "after"),
    [([0, 1, 2, 3], [1, 2, 3, 4]), ([2, 2, 2, 2], [1, 2, 3, 4]), ([0, 1, 3, 4], [4, 3, 1, 0])],
    ids=["all improve alike", "baselines alike", "means alike"],
)
def test_there_is_no_note_where_r_is_undefined(before, after, outcome_factory):
    assert improvement_notes(table_layout(1), pairs(outcome_factory, before, after)) == []


def test_a_pair_with_a_failed_run_is_no_pair_of_the_notes(outcome_factory):
    made = pairs(outcome_factory, [0, 1, 2, 3], [4, 4, 4, 3], LDAM=1)
    assert improvement_notes(table_layout(1), made) == []  # three pairs are too few


def constant_networks(predictions):
    """Logits ``[N, 3]`` of networks that say the same of every image, one after the other."""
    return [np.tile(np.eye(3)[prediction], (60, 1)) for prediction in predictions]


@pytest.mark.parametrize(("ours", "theirs"), [([0, 0], [1, 2]), ([0], [1])])
def test_with_more_classes_a_difference_has_to_come_back_with_other_seeds(outcome_factory, ours, theirs):
    """60 images of class 0 tell networks that say 0 from networks that don't; two seeds that differ don't."""
    labels = np.repeat([0, 1, 2], [40, 10, 10])
    better = outcome_factory("ALM", *constant_networks(ours), labels=labels, critical=(2,))
    worse = outcome_factory("CE", *constant_networks(theirs), labels=labels, critical=(2,))
    found = figure("accuracy", better, worse)
    assert found.value == pytest.approx(100 * 40 / 60)
    # one run has no p-value; of two, differences of 30 and 30 of 60 images are the same with any seed
    assert found.p_value == (None if len(ours) == 1 else pytest.approx(0.0, abs=1e-3))
    mixed = figure("accuracy", outcome_factory("ALM", *constant_networks([0, 1]), labels=labels, critical=(2,)), worse)
    if len(ours) > 1:
        assert mixed.p_value == pytest.approx(0.5)  # differences of 30 and 0: t = 1 with one degree of freedom
        assert mixed.sd == pytest.approx(100 * np.std([40 / 60, 10 / 60], ddof=1))


def test_the_constraints_share_is_its_part_of_the_loss(outcome_factory):
    outcome = outcome_factory("ALM + BCE", LOGITS, PERFECT)
    rows = [
        [{"loss": 2.0, "penalty": 0.4, "multiplier": 0.6}, {"loss": 1.0, "penalty": 0.1, "multiplier": 0.0}],
        [{"loss": 4.0, "penalty": 1.0, "multiplier": 1.0}, {"loss": 1.0, "penalty": 0.0, "multiplier": 0.1}],
    ]
    runs = [run.model_copy(update={"epochs": epochs}) for run, epochs in zip(outcome.runs, rows, strict=True)]
    assert constraint_share(dataclasses.replace(outcome, runs=runs)) == pytest.approx((50 + 10 + 50 + 10) / 4)
    plain = [run.model_copy(update={"epochs": [{"loss": 1.0}]}) for run in outcome.runs]
    assert constraint_share(dataclasses.replace(outcome, runs=plain)) is None
