"""What is run for each table of the paper."""

import pytest

from prostate_alm.benchmark.budgets import PAPER, REDUCED, SMOKE
from prostate_alm.benchmark.experiments import EXPERIMENTS, find_experiment
from prostate_alm.benchmark.table import table_layout
from prostate_alm.errors import ArgumentError

TABLES = list(range(1, 17))


def test_every_table_has_an_experiment():
    assert sorted(EXPERIMENTS) == TABLES
    with pytest.raises(ArgumentError, match="table 17"):
        find_experiment(17)


def test_the_tables_of_the_prostate_cohort_are_figures_of_the_same_runs():
    protocols = [find_experiment(number).protocol(REDUCED, None, "0" * 64) for number in (3, 14, 15)]
    assert protocols[0] == protocols[1] == protocols[2]
    assert "ratio" not in protocols[0].settings


@pytest.mark.parametrize("budget", [SMOKE, REDUCED])
def test_methods_on_a_cohort_have_equally_many_trials_of_their_own(budget):
    methods = find_experiment(3).methods(budget)
    trials = {
        sum(len(stage) for stage in method.stages if len(stage) > 1) for method in methods if method.name != "MBAUC"
    }
    assert len(trials) == 1


@pytest.mark.parametrize("number", TABLES)
def test_an_experiment_has_the_rows_and_the_ratios_of_its_table(number):
    experiment, table = find_experiment(number), table_layout(number)
    methods = {method.name: method.baseline for method in experiment.methods(PAPER)}
    rows = {row.method: row.pair for row in table.rows}
    if number in (12, 13, 14):  # they print the constrained rows alone, which need their baselines all the same
        assert all(rows.values())
        rows |= dict.fromkeys(rows.values())
    assert methods == rows
    assert tuple(experiment.ratios) == table.ratios()


def test_some_losses_of_a_table_come_with_their_rows_under_the_constraint():
    def rows(number, *losses):
        return [method.name for method in find_experiment(number).only(losses).methods(PAPER)]

    assert rows(1, "ldam", "bce") == ["BCE", "LDAM", "ALM + BCE", "ALM + LDAM"]  # in the table's order
    assert rows(1, "mbauc", "S-FL") == ["S-FL", "MBAUC", "ALM + S-FL"]
    assert rows(4, "cb-ce") == ["CB-CE", "ALM_m1 + CB-CE", "ALM_m2 + CB-CE"]
    assert rows(2) == [method.name for method in find_experiment(2).methods(PAPER)]
    with pytest.raises(ArgumentError, match="'fl'"):
        find_experiment(1).only(["bce", "fl"])
    with pytest.raises(ArgumentError, match="'mbauc'"):
        find_experiment(12).only(["mbauc"])
