"""Result tables: filling them, and who is bold or underlined."""

from typing import Literal

import pytest
from pydantic import ValidationError

from prostate_alm.benchmark.paper_values import paper_tables
from prostate_alm.benchmark.table import (
    Caption,
    Cell,
    Column,
    ResultTable,
    Row,
    bold_cells,
    metric_title,
    table_layout,
    underlined_cells,
)
from prostate_alm.errors import ArgumentError


def one_column(values, *, better: Literal["lower", "higher"] = "lower", decimals=1):
    """A table of a single column from {method: value}."""
    rows = tuple(Row(method=method, pair=method.partition(" + ")[2] or None) for method in values)
    return ResultTable(
        number=1,
        title="made up",
        columns=(Column(ratio=100, metric="auc", title="AUC", better=better, decimals=decimals),),
        rows=rows,
        cells=tuple((Cell(value=value),) for value in values.values()),
    )


def marked(cells):
    return {method for method, *_ in cells}


@pytest.mark.parametrize("number", range(1, 17))
def test_a_layout_holds_every_number_of_the_paper(number):
    table, paper = table_layout(number), paper_tables()[number]
    for block in paper.blocks:
        for method in block.rows:
            for metric in block.columns:
                if metric == "auc_sd":
                    found = table.cell(method, block.ratio, "auc_mean").paper_sd
                else:
                    found = table.cell(method, block.ratio, metric).paper
                assert found == block.value(method, metric)
    assert {cell.status for _, cell in table.named_cells()} == {"not run"}


@pytest.mark.parametrize("number", range(1, 17))
def test_what_the_paper_underlines_we_underline(number):
    ours = underlined_cells(table_layout(number), "paper")
    for block in paper_tables()[number].blocks:
        theirs = {(method, block.ratio, metric) for method, metric in block.underlined}
        # the one cell that the paper underlines and that isn't the best of its column
        assert theirs - ours <= {("ALM + CB-BCE", 2, "fpr@tpr=1")}


def test_the_underline_of_table_1():
    underlined = underlined_cells(table_layout(1), "paper")
    assert {method for method, *column in underlined if column == [100, "fpr@tpr=0.98"]} == {"ALM + A-ML"}
    assert {method for method, *column in underlined if column == [200, "fpr@tpr=0.92"]} == {"S-ML", "ALM + A-ML"}


def test_bold_in_table_1_by_hand():
    bold = bold_cells(table_layout(1), "paper")
    in_column = {method for method, *column in bold if column == [100, "fpr@tpr=0.92"]}
    # A-ML 23.0 against 23.0 is a tie; S-FL 27 > 25; MBAUC has no constrained row
    alm = {f"ALM + {name}" for name in ("BCE", "S-ML", "S-FL", "A-FL", "CB-BCE", "W-BCE", "LDAM")}
    assert in_column == alm
    assert ("BCE", 200, "auc") in bold
    assert ("ALM + BCE", 200, "auc") not in bold


def test_bold_in_table_4_by_hand():
    bold = bold_cells(table_layout(4), "paper")
    accuracy = {method for method, *column in bold if column == [100, "accuracy"]}
    # CE 70.35 | 70.90 71.30; FL 69.20 | 69.74 69.47; CB-CE 72.90 | 72.10 72.09; LDAM 71.80 | 72.86 73.32
    assert accuracy == {"ALM_m2 + CE", "ALM_m1 + FL", "CB-CE", "ALM_m2 + LDAM"}


@pytest.mark.parametrize(
    ("values", "better", "bold"),
    [
        ({"B": 3.0, "ALM + B": 2.0}, "lower", {"ALM + B"}),
        ({"B": 3.0, "ALM + B": 2.0}, "higher", {"B"}),
        ({"B": 2.04, "ALM + B": 1.96}, "lower", set()),  # both read 2.0
        ({"B": None, "ALM + B": 2.0}, "lower", set()),
        ({"B": 2.0, "M": 1.0}, "lower", set()),
        ({"B": 1.0, "ALM_m1 + B": 2.0, "ALM_m2 + B": 3.0}, "lower", {"B"}),
        ({"B": 2.5, "ALM_m1 + B": 2.0, "ALM_m2 + B": 3.0}, "lower", {"ALM_m1 + B"}),
        ({"B": 2.0, "ALM_m1 + B": 2.0, "ALM_m2 + B": 3.0}, "lower", {"ALM_m1 + B"}),  # doesn't outperform both
        ({"B": 2.5, "ALM_m1 + B": 2.0, "ALM_m2 + B": 2.0}, "lower", {"ALM_m1 + B", "ALM_m2 + B"}),
        ({"B": 1.0, "ALM_m1 + B": 2.0, "ALM_m2 + B": None}, "lower", set()),
    ],
)
def test_bold(values, better, bold):
    assert marked(bold_cells(one_column(values, better=better))) == bold


@pytest.mark.parametrize(
    ("values", "better", "underlined"),
    [
        ({"B": 3.0, "ALM + B": 2.0, "M": 2.04}, "lower", {"ALM + B", "M"}),
        ({"B": 3.0, "ALM + B": 2.0, "M": None}, "higher", {"B"}),
        ({"B": 3.0, "M": None}, "lower", set()),
        ({"B": None, "M": None}, "lower", set()),
    ],
)
def test_underline(values, better, underlined):
    assert marked(underlined_cells(one_column(values, better=better))) == underlined


def test_filling_keeps_the_paper_and_the_other_cells():
    layout = table_layout(12)
    key = ("ALM + BCE", 100, "auc")
    caption = Caption(command="prostate-alm benchmark 12", commit="abc1234")
    table = layout.filled({key: Cell(value=92.0, low=91.0, high=93.0, p_value=0.01)}, caption=caption)
    assert table.cell(*key) == Cell(value=92.0, low=91.0, high=93.0, p_value=0.01, paper=93.1, paper_star=True)
    assert table.caption == caption
    assert table.cell("ALM + BCE", 200, "auc") == layout.cell("ALM + BCE", 200, "auc")
    assert layout.cell(*key).status == "not run"
    assert table.filled({key: Cell(failed=True)}).cell(*key).status == "failed"
    assert ResultTable.model_validate_json(table.model_dump_json()) == table


def test_a_part_keeps_order_and_cells():
    whole = table_layout(1)
    part = whole.part(ratios={200}, methods={"ALM + LDAM", "LDAM", "BCE"})
    assert [row.method for row in part.rows] == ["BCE", "LDAM", "ALM + LDAM"]
    assert part.ratios() == (200,)
    assert [cell for _, cell in part.named_cells()] == [whole.cell(*key) for key, _ in part.named_cells()]
    assert len(list(part.named_cells())) == 3 * sum(column.ratio == 200 for column in whole.columns)


def test_a_result_without_a_cell_is_refused():
    with pytest.raises(ArgumentError, match=r"Table 16 has no cell \('LDAM', 19, 'auc'\)"):
        table_layout(16).filled({("LDAM", 19, "auc"): Cell(value=1.0)})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"value": 101.0}, "less than or equal to 100"),
        ({"value": float("nan")}, "finite"),
        ({"value": 5.0, "low": 1.0}, "both `low` and `high`"),
        ({"value": 5.0, "low": 7.0, "high": 6.0}, "above `high`"),
        ({"value": 5.0, "p_adjusted": 0.1}, "goes with a `p_value`"),
        ({"value": 5.0, "p_value": 0.2, "p_adjusted": 0.1}, "never below"),
        ({"value": 5.0, "failed": True}, "failed run has no"),
        ({"p_value": 0.2}, "needs its `value`"),
    ],
)
def test_an_impossible_cell_is_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        Cell(**fields)


def test_a_table_with_holes_or_twins_is_refused():
    table = one_column({"B": 1.0, "M": 2.0})
    fields = dict(table)
    with pytest.raises(ValidationError, match="2 rows of 1 cells"):
        ResultTable(**{**fields, "cells": table.cells[:1]})
    with pytest.raises(ValidationError, match="occurs twice"):
        ResultTable(**{**fields, "rows": (Row(method="B"), Row(method="B"))})


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("fpr@tpr=1", "FPR @ 100% TPR"),
        ("error@tpr=0.8", "Error @ 80% TPR"),
        ("accuracy@critical=2", "Accuracy, critical class 2"),
    ],
)
def test_titles(metric, title):
    assert metric_title(metric) == title


def test_decimals_are_the_papers():
    assert {column.metric: column.decimals for column in table_layout(5).columns} == {
        "fpr@tpr=0.98": 1, "fpr@tpr=0.95": 1, "fpr@tpr=0.9": 1, "auc": 2,
    }  # fmt: skip
