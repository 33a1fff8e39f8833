"""The transcription of the paper's tables, held against what the paper says twice.

The same AUC stands in up to three tables, rates must fall with the sensitivity asked for, what is underlined is the
best of its column, and section 5.3 gives a correlation computed from all the AUCs.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from pydantic import ValidationError

from prostate_alm.benchmark.paper_values import PaperBlock, metric_key, paper_cell, paper_table, paper_tables
from prostate_alm.errors import ArgumentError

BASELINES = ["BCE", "S-ML", "S-FL", "A-ML", "A-FL", "CB-BCE", "W-BCE", "LDAM"]
ROWS = {
    1: 17, 2: 17, 3: 17, 4: 12, 5: 17, 6: 17, 7: 9, 8: 12, 9: 12, 10: 17, 11: 17, 12: 8, 13: 8, 14: 8, 15: 16, 16: 15,
}  # fmt: skip
RATIOS = {
    1: [100, 200], 2: [100, 200], 3: [None], 4: [100, 200], 5: [50], 6: [100, 200], 7: [100, 200], 8: [20, 50],
    9: [100, 200], 10: [100, 200], 11: [100, 200], 12: [100, 200], 13: [100, 200], 14: [None], 15: [None],
    16: [2, 9, 19],
}  # fmt: skip
# the column sums of four tables, added up by awk from the text of the paper and not from the JSON
SUMS = {
    (1, 100): [1031.0, 765.0, 529.0, 1518.7], (1, 200): [1330.0, 1069.0, 775.0, 1427.3],
    (2, 100): [1494.0, 1048.0, 713.0, 1397.5], (2, 200): [1508.0, 1197.0, 873.0, 1367.4],
    (4, 100): [344.35, 392.70, 856.03], (4, 200): [419.98, 476.62, 781.15],
    (6, 100): [1332.0, 657.0, 295.0, 1645.8], (6, 200): [1399.0, 883.0, 488.0, 1609.6],
}  # fmt: skip
# The paper's own disagreements: (table, ratio, method) where another table prints another AUC.
MISMATCHES = {(10, 100, "CB-BCE"), (10, 200, "CB-BCE"), (10, 200, "ALM + CB-BCE"), (11, 200, "A-FL")}


def blocks():
    return [(table, block) for table in paper_tables().values() for block in table.blocks]


class Printed(NamedTuple):
    number: int
    ratio: int | None
    method: str
    metric: str
    value: float | None


def printed(number, ratio, method, metric) -> float:
    value = paper_cell(number, ratio, method, metric)
    assert value is not None
    return value


def cells() -> list[Printed]:
    return [
        Printed(table.number, block.ratio, method, metric, block.value(method, metric))
        for table, block in blocks()
        for method in block.rows
        for metric in block.columns
    ]


@pytest.mark.parametrize("number", ROWS)
def test_every_table_has_its_rows_and_ratios(number):
    table = paper_table(number)
    assert [block.ratio for block in table.blocks] == RATIOS[number]
    assert [len(block.rows) for block in table.blocks] == [ROWS[number]] * len(RATIOS[number])


@pytest.mark.parametrize(("number", "ratio"), SUMS)
def test_columns_add_up_as_in_the_text(number, ratio):
    block = paper_table(number).block(ratio)
    sums = [sum(printed(number, ratio, method, metric) for method in block.rows) for metric in block.columns]
    assert sums == pytest.approx(SUMS[number, ratio], abs=1e-6)


@pytest.mark.parametrize(("of", "against"), [(10, 1), (12, 1), (11, 2), (13, 2), (14, 3)])
def test_an_auc_printed_twice_is_the_same_but_for_the_known_mismatches(of, against):
    compared, differing = 0, set()
    for block in paper_table(of).blocks:
        for method in block.rows:
            value, other = (paper_cell(number, block.ratio, method, "auc") for number in (of, against))
            compared += value is not None
            if value is not None and value != other:
                differing.add((of, block.ratio, method))
    assert differing == {mismatch for mismatch in MISMATCHES if mismatch[0] == of}
    assert compared >= len(paper_table(of).blocks) * ROWS[of] - 4


def test_mismatches_carry_a_note():
    for number, ratio, method in MISMATCHES:
        assert "print" in paper_table(number).block(ratio).note(method, "auc")


@pytest.mark.parametrize("number", [1, 2, 3, 5, 6, 15, 16])
def test_fewer_misses_cost_no_fewer_false_positives(number):
    for block in paper_table(number).blocks:
        metrics = [metric for metric in block.columns if metric.startswith("fpr@")]
        # the columns run from the highest sensitivity down
        for method in block.rows:
            rates = [rate for rate in (block.value(method, metric) for metric in metrics) if rate is not None]
            assert all(strict >= loose for strict, loose in pairwise(rates)), (number, block.ratio, method)


@pytest.mark.parametrize("number", [4, 7, 8])
def test_a_higher_sensitivity_costs_no_less_error(number):
    for block in paper_table(number).blocks:
        for method in block.rows:
            loose, strict = (printed(number, block.ratio, method, f"error@tpr={tpr}") for tpr in (0.8, 0.9))
            assert strict >= loose, (block.ratio, method)


def test_three_misses_more_cost_no_more_false_positives():
    for method in paper_table(15).block(None).rows:
        assert printed(15, None, method, "fpr@fn=2") <= printed(3, None, method, "fpr@fn=1"), method


def test_underlined_cells_are_the_best_of_their_column():
    wrong = set()
    for table, block in blocks():
        for method, metric in block.underlined:
            column = [value for value in (block.value(row, metric) for row in block.rows) if value is not None]
            best = min(column) if metric.startswith(("fpr", "error")) else max(column)
            if block.value(method, metric) != best:
                wrong.add((table.number, block.ratio, method, metric))
    # the paper's own: 58.8 is underlined although 54.3 stands in the column; its note says so
    assert wrong == {(16, 2, "ALM + CB-BCE", "fpr@tpr=1")}
    assert "Underlined" in paper_table(16).block(2).note("ALM + CB-BCE", "fpr@tpr=1")


def test_improvement_goes_with_a_weak_baseline_as_section_5_3_says():
    # "Pearson correlation between the average baseline AUC vs average improvement ... obtained -0.85":
    # averaged over the five columns of Tables 1 to 3, one point a baseline
    columns = [(1, 100), (1, 200), (2, 100), (2, 200), (3, None)]
    baseline, treated = (
        np.array([[printed(n, r, prefix + m, "auc") for m in BASELINES] for n, r in columns]).mean(axis=0)
        for prefix in ("", "ALM + ")
    )
    assert np.corrcoef(baseline, treated - baseline)[0, 1] == pytest.approx(-0.85, abs=0.005)


def test_ensembles_are_better_than_their_average_member():
    for number in (3, 10, 11):
        for block in paper_table(number).blocks:
            for method in block.rows:
                ensemble = block.value(method, "auc")
                assert ensemble is None or ensemble > printed(number, block.ratio, method, "auc_mean"), method


def test_numbers_are_percentages():
    for cell in cells():
        assert cell.value is None or 0 < cell.value <= 100, cell


def test_unreadable_cells_are_nine_and_say_so():
    unreadable = [cell for cell in cells() if cell.value is None]
    assert len(unreadable) == 9
    for cell in unreadable:
        assert "Unreadable" in paper_table(cell.number).block(cell.ratio).note(cell.method, cell.metric)


def test_the_known_copy_error_of_table_7_is_noted_and_kept():
    assert (
        paper_cell(7, 100, "A-FL", "error@tpr=0.9")
        == 65.33
        == pytest.approx(100 - printed(4, 100, "CE", "error@tpr=0.9"))
    )
    assert "copy error" in paper_table(7).block(100).note("A-FL", "error@tpr=0.9")


def test_mri_rates_are_multiples_of_one_64th_as_the_note_says():
    rates = {cell.value for cell in cells() if cell.number == 15}

    def fitting(negatives):
        shares = 100 * np.arange(negatives + 1) / negatives
        return [rate for rate in rates if np.abs(shares - rate).min() <= 0.05 + 1e-9]

    assert (len(rates), len(fitting(64)), fitting(87)) == (14, 11, [21.8])


def test_stars_go_to_the_larger_differences_of_one_table():
    # a DeLong test on one test set: no unstarred difference is far above the starred ones
    for number, main in ((12, 1), (13, 2)):
        for block in paper_table(number).blocks:
            changes = {
                name: abs(printed(main, block.ratio, f"ALM + {name}", "auc") - printed(main, block.ratio, name, "auc"))
                for name in BASELINES
            }
            stars = [change for name, change in changes.items() if f"ALM + {name}" in (block.significant or ())]
            rest = [change for name, change in changes.items() if f"ALM + {name}" not in (block.significant or ())]
            assert np.mean(stars) > np.mean(rest), (number, block.ratio, changes)


@pytest.mark.parametrize(
    ("table", "ratio", "method", "metric", "printed"),
    [
        (1, 100, "ALM + A-ML", "fpr@tpr=0.98", 45.0),
        (5, 50, "A-ML", "fpr@tpr=0.98", 28.4),
        (5, 50, "ALM + S-FL", "fpr@tpr=0.9", 11.3),
        (7, 200, "ALM_m2 + A-ML", "accuracy", 65.08),
        (9, 200, "ALM_m1 + FL", "accuracy@critical=2", 31.5),
        (11, 100, "MBAUC", "auc_sd", 1.5),
        (16, 19, "ALM + CB-BCE", "fpr@tpr=0.9", 25.7),
        (16, 19, "LDAM", "auc", None),
        (1, 19, "BCE", "auc", None),
    ],
)
def test_cells_read_from_the_page(table, ratio, method, metric, printed):
    assert paper_cell(table, ratio, method, metric) == printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((17, 100, "BCE", "auc"), "result tables 1 to 16"),
        ((0, 100, "BCE", "auc"), "result tables 1 to 16"),
        ((1, 100, "bce", "auc"), "`method` 'bce' is in no table"),
        ((1, 100, "BCE", "fpr@tpr=98"), "`metric` 'fpr@tpr=98' is in no table"),
    ],
)
def test_a_misspelt_cell_is_refused(arguments, said):
    with pytest.raises(ArgumentError, match=said):
        paper_cell(*arguments)


def test_a_block_the_paper_lacks_is_refused():
    with pytest.raises(ArgumentError, match=r"no class ratio 19. Available: \[100, 200\]"):
        paper_table(1).block(19)


def test_a_ragged_block_is_refused():
    block = {"ratio": 1, "columns": ["auc"], "underlined": [], "significant": None, "notes": []}
    with pytest.raises(ValidationError, match="another length"):
        PaperBlock.model_validate({**block, "rows": {"BCE": [1.0, 2.0]}})
    with pytest.raises(ValidationError, match="don't exist"):
        PaperBlock.model_validate({**block, "rows": {"BCE": [1.0]}, "underlined": [["BCE", "fpr"]]})


def test_metric_keys_are_those_of_the_tables():
    known = {cell.metric for cell in cells()}
    assert {metric_key("fpr", "tpr", 0.95), metric_key("fpr", "fn", 5), metric_key("accuracy", "critical", 2)} <= known
