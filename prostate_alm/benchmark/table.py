"""A table of results: ours and the paper's in each cell, and which of them are bold or underlined.

`table_layout` gives a table of the paper with its numbers and every result "not run"; `ResultTable.filled` puts
results in. Tables are values: nothing changes in place, and `model_dump_json` keeps one.

The marks follow the paper's sections 5.3 (binary) and Table 4 (multi-class), on the numbers as they are shown:

* **bold**, in each column: the better of a baseline and its constrained row; a tie bolds neither. With several
  constrained rows (``ALM_m1``, ``ALM_m2``) a baseline is bold if it is better than all of them, otherwise the best of
  the constrained rows is (all that tie). A family of rows with a missing result has no bold: nothing was decided.
* underlined: the best of the column, all that tie.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.benchmark.paper_values import PaperBlock, PaperTable, paper_table
from prostate_alm.errors import ArgumentError

CellKey = tuple[str, int | None, str]
"""Names a cell: method, class ratio (None for the MRI cohort), metric."""

Percent = Annotated[float, Field(ge=0, le=100)]
Probability = Annotated[float, Field(ge=0, le=1)]
Source = Literal["ours", "paper"]

NOT_RECORDED = "not recorded"


class _Value(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Cell(_Value):
    """One result beside the paper's.

    Attributes:
        value: our result, percent; None while it is not run or if it failed.
        low: lower end of its interval, percent.
        high: upper end, percent.
        sd: standard deviation over runs, percentage points.
        p_value: of the difference from the row's baseline.
        p_adjusted: the same after Holm's correction over the table.
        failed: the run was tried and gave no result.
        note: what a reader must know of our result.
        paper: the paper's number, percent; None where it prints none or it can't be read.
        paper_sd: the paper's standard deviation.
        paper_star: whether the paper marks it as significant; None where the table has no stars.
        paper_note: what a reader must know of the paper's number.
    """

    value: Percent | None = None
    low: Percent | None = None
    high: Percent | None = None
    sd: Annotated[float, Field(ge=0)] | None = None
    p_value: Probability | None = None
    p_adjusted: Probability | None = None
    failed: bool = False
    note: str = ""
    paper: Percent | None = None
    paper_sd: Annotated[float, Field(ge=0)] | None = None
    paper_star: bool | None = None
    paper_note: str = ""

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        """An interval has both ends in order, and there is none of it, nor a p-value, without a result."""
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval needs both `low` and `high`.")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"`low` {self.low} is above `high` {self.high}.")
        if self.p_adjusted is not None and (self.p_value is None or self.p_adjusted < self.p_value):
            raise ValueError("`p_adjusted` goes with a `p_value` and is never below it.")
        if self.failed and self.value is not None:
            raise ValueError("a failed run has no `value`.")
        if self.value is None and (self.low, self.sd, self.p_value) != (None, None, None):
            raise ValueError("an interval, `sd` or `p_value` needs its `value`.")
        return self

    @property
    def status(self) -> Literal["run", "failed", "not run"]:
        """Whether there is a result, in words."""
        if self.failed:
            return "failed"
        return "not run" if self.value is None else "run"


class Row(_Value):
    """A method; `pair` names the baseline that a constrained row belongs to."""

    method: str
    pair: str | None = None


class Column(_Value):
    """A metric at a class ratio; `decimals` is how many are shown."""

    ratio: int | None
    metric: str
    title: str
    better: Literal["lower", "higher"]
    decimals: Annotated[int, Field(ge=0, le=6)] = 1


class Choice(_Value):
    """What the search chose for a row on validation images, and how much of its training the constraint was.

    Attributes:
        method: the row.
        ratio: class ratio.
        settings: what was chosen.
        share: of the constraint in the training loss, in percent, mean over epochs and runs; None without it.
    """

    method: str
    ratio: int | None
    settings: dict[str, str | int | float | bool | None]
    share: float | None = None


class Caption(_Value):
    """How to make the table again. What is left out reads "not recorded"."""

    command: str = NOT_RECORDED
    commit: str = NOT_RECORDED
    data: str = NOT_RECORDED
    seeds: str = NOT_RECORDED
    budget: str = NOT_RECORDED
    machine: str = NOT_RECORDED


class ResultTable(_Value):
    """A table of results; `cells` has a tuple for each of `rows` with a `Cell` for each of `columns`."""

    number: int
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    cells: tuple[tuple[Cell, ...], ...]
    caption: Caption = Caption()
    notes: tuple[str, ...] = ()
    choices: tuple[Choice, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        """Names are unique and there is a cell for each."""
        widths = {len(cells) for cells in self.cells}
        if len(self.cells) != len(self.rows) or widths - {len(self.columns)}:
            raise ValueError(f"`cells` must be {len(self.rows)} rows of {len(self.columns)} cells.")
        keys = [key for key, _ in self.named_cells()]
        if len(keys) != len(set(keys)):
            raise ValueError("a method, or a column's ratio and metric, occurs twice.")
        return self

    def named_cells(self) -> Iterator[tuple[CellKey, Cell]]:
        """Every cell with its name, row by row."""
        for row, cells in zip(self.rows, self.cells, strict=True):
            for column, cell in zip(self.columns, cells, strict=True):
                yield (row.method, column.ratio, column.metric), cell

    def ratios(self) -> tuple[int | None, ...]:
        """The class ratios in the order of the columns."""
        return tuple(dict.fromkeys(column.ratio for column in self.columns))

    def cell(self, method: str, ratio: int | None, metric: str) -> Cell:
        """One cell by name.

        Raises:
            ArgumentError: the table has no such cell.
        """
        found = dict(self.named_cells())
        self._refuse_strangers([(method, ratio, metric)])
        return found[method, ratio, metric]

    def part(self, *, ratios: Collection[int | None], methods: Collection[str]) -> Self:
        """The columns at `ratios` and the rows of `methods` alone, in their order."""
        columns = [place for place, column in enumerate(self.columns) if column.ratio in ratios]
        rows = [place for place, row in enumerate(self.rows) if row.method in methods]
        return self.model_copy(
            update={
                "columns": tuple(self.columns[place] for place in columns),
                "rows": tuple(self.rows[place] for place in rows),
                "cells": tuple(tuple(self.cells[row][place] for place in columns) for row in rows),
            }
        )

    def filled(self, results: Mapping[CellKey, Cell], *, caption: Caption | None = None) -> Self:
        """The table with `results` in their cells; each keeps the paper's numbers that stand there.

        Args:
            results: our results by cell; cells left out stay as they are.
            caption: replaces the caption.

        Raises:
            ArgumentError: a result is for a cell that the table doesn't have.
        """
        self._refuse_strangers(results)
        cells = tuple(
            tuple(
                _beside_paper(results.get((row.method, column.ratio, column.metric)), cell)
                for column, cell in zip(self.columns, line, strict=True)
            )
            for row, line in zip(self.rows, self.cells, strict=True)
        )
        return self.model_copy(update={"cells": cells, "caption": caption or self.caption})

    def _refuse_strangers(self, keys: Iterable[CellKey]) -> None:
        known = {key for key, _ in self.named_cells()}
        strangers = [key for key in keys if key not in known]
        if strangers:
            methods = [row.method for row in self.rows]
            columns = [(column.ratio, column.metric) for column in self.columns]
            raise ArgumentError(f"Table {self.number} has no cell {strangers[0]}. It has {methods} by {columns}.")


def table_layout(number: int) -> ResultTable:
    """A table of the paper with its numbers, and none of ours yet.

    The standard deviation of the AUC is no column of its own, it goes with the mean.

    Args:
        number: 1 to 16.

    Raises:
        ArgumentError: the paper has no such table of results.
    """
    paper = paper_table(number)
    columns = tuple(
        _column(paper, block.ratio, metric) for block in paper.blocks for metric in block.columns if metric != "auc_sd"
    )
    methods = tuple(dict.fromkeys(method for block in paper.blocks for method in block.rows))
    return ResultTable(
        number=number,
        title=paper.title,
        columns=columns,
        rows=tuple(Row(method=method, pair=baseline_of(method)) for method in methods),
        cells=tuple(
            tuple(_paper_only(paper.block(column.ratio), method, column.metric) for column in columns)
            for method in methods
        ),
        notes=tuple(f"Paper: {note}" for note in paper.notes),
    )


def baseline_of(method: str) -> str | None:
    """The baseline a constrained method belongs to; None for a baseline.

    >>> baseline_of("ALM_m1 + CB-CE"), baseline_of("A-ML")
    ('CB-CE', None)
    """
    prefix, plus, baseline = method.partition(" + ")
    return baseline if plus and prefix.startswith("ALM") else None


def bold_cells(table: ResultTable, source: Source = "ours") -> frozenset[CellKey]:
    """The cells that win over their baseline or their constrained rows (the rule stands at the top of this file).

    Args:
        table: the results.
        source: whose numbers are compared, "ours" or the "paper"'s.
    """
    shown = _shown(table, source)
    return frozenset(
        (method, column.ratio, column.metric)
        for column in table.columns
        for family in _families(table)
        for method in _winners({m: shown.get((m, column.ratio, column.metric)) for m in family}, column)
    )


def underlined_cells(table: ResultTable, source: Source = "ours") -> frozenset[CellKey]:
    """The best of each column that has two results or more, all that tie.

    Args:
        table: the results.
        source: whose numbers are compared, "ours" or the "paper"'s.
    """
    shown = _shown(table, source)
    best: set[CellKey] = set()
    for column in table.columns:
        keys = [(row.method, column.ratio, column.metric) for row in table.rows]
        present = {key: shown[key] for key in keys if key in shown}
        if len(present) > 1:
            best |= {key for key, value in present.items() if value == _best(present.values(), column)}
    return frozenset(best)


def metric_title(metric: str) -> str:
    """The heading of a metric's column.

    >>> metric_title("fpr@tpr=0.98"), metric_title("fpr@fn=0"), metric_title("accuracy@other")
    ('FPR @ 98% TPR', 'FPR @ 0 FN', 'Accuracy, other classes')
    """
    named = {
        "auc": "AUC", "auc_mean": "Avg. AUC", "accuracy": "Accuracy", "accuracy@other": "Accuracy, other classes",
    }  # fmt: skip
    if metric in named:
        return named[metric]
    quantity, _, at = metric.partition("@")
    name, _, value = at.partition("=")
    if name == "critical":
        return f"Accuracy, critical class {value}"
    held = f"{100 * float(value):g}% TPR" if name == "tpr" else f"{value} FN"
    return f"{'FPR' if quantity == 'fpr' else quantity.capitalize()} @ {held}"


def _column(paper: PaperTable, ratio: int | None, metric: str) -> Column:
    better = "lower" if metric.startswith(("fpr", "error")) else "higher"
    printed = [block.value(method, metric) for block in paper.blocks for method in block.rows]
    decimals = max((len(f"{value}".partition(".")[2]) for value in printed if value is not None), default=1)
    return Column(ratio=ratio, metric=metric, title=metric_title(metric), better=better, decimals=decimals)


def _paper_only(block: PaperBlock, method: str, metric: str) -> Cell:
    return Cell(
        paper=block.value(method, metric),
        paper_sd=block.value(method, "auc_sd") if metric == "auc_mean" else None,
        paper_star=None if block.significant is None else method in block.significant,
        paper_note=block.note(method, metric),
    )


def _beside_paper(result: Cell | None, cell: Cell) -> Cell:
    if result is None:
        return cell
    of_paper = {name: getattr(cell, name) for name in ("paper", "paper_sd", "paper_star", "paper_note")}
    return result.model_copy(update=of_paper)


def _shown(table: ResultTable, source: Source) -> dict[CellKey, float]:
    """The numbers as a reader sees them: what looks like a tie is one."""
    decimals = {(column.ratio, column.metric): column.decimals for column in table.columns}
    values = {key: cell.value if source == "ours" else cell.paper for key, cell in table.named_cells()}
    return {key: round(value, decimals[key[1:]]) for key, value in values.items() if value is not None}


def _families(table: ResultTable) -> list[list[str]]:
    """Each baseline that has constrained rows, followed by them."""
    families = [[row.method, *(twin.method for twin in table.rows if twin.pair == row.method)] for row in table.rows]
    return [family for family in families if len(family) > 1]


def _winners(family: Mapping[str, float | None], column: Column) -> list[str]:
    """Who is bold among a baseline (the first) and its constrained rows."""
    values = {method: value for method, value in family.items() if value is not None}
    if len(values) < len(family):
        return []
    baseline, *twins = values
    best = _best((values[twin] for twin in twins), column)
    if values[baseline] != best and _best((values[baseline], best), column) == values[baseline]:
        return [baseline]
    if len(twins) == 1 and values[baseline] == best:
        return []
    return [twin for twin in twins if values[twin] == best]


def _best(values: Iterable[float], column: Column) -> float:
    return min(values) if column.better == "lower" else max(values)
