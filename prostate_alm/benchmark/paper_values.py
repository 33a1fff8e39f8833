"""The result tables the paper prints, as data.

`paper_tables.json` holds Tables 1 to 16 as printed: a table has blocks (one a class ratio), a block has columns and
rows. Nothing is corrected. A cell that our copy of the paper doesn't show with certainty is null, and it and each
known slip of the paper carry a note.

A column is named by its metric, written with `metric_key`:

============================ =====================================================================
``fpr@tpr=0.98``             false-positive rate with a true-positive rate of at least 0.98
``fpr@fn=0``                 false-positive rate with no more than 0 positives missed
``error@tpr=0.8``            error on the non-critical classes at a TPR of 0.8 on the critical one
``auc``                      AUC of the ensemble
``auc_mean``, ``auc_sd``     mean and standard deviation of the AUC over the runs
``accuracy``                 over all classes
``accuracy@critical=1``      over the smallest class (2: the next)
``accuracy@other``           over all other classes
============================ =====================================================================

Source: Sangalli, Erdil, Hoetker, Donati, Konukoglu, NeurIPS 2021. All figures are in percent.
"""

from collections.abc import Mapping
from functools import cache
from importlib import resources
from itertools import chain
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.errors import ArgumentError

TABLES = "paper_tables.json"


class PaperNote(BaseModel):
    """What a reader must know about one printed cell."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    method: str
    metric: str
    note: str


class PaperBlock(BaseModel):
    """The part of a table for one class ratio.

    Attributes:
        ratio: negatives for each positive (binary) or largest to smallest class (multi-class); None for the MRI cohort.
        columns: metric keys.
        rows: by method, a value (percent) or None for each column.
        underlined: (method, metric) of the underlined cells that our copy shows; it doesn't show all.
        significant: methods with a star for p <= 0.05 against their baseline; None where the table has no stars.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ratio: int | None
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[float | None, ...]]
    underlined: tuple[tuple[str, str], ...]
    significant: tuple[str, ...] | None
    notes: tuple[PaperNote, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> "PaperBlock":
        """Every row has a value for each column, and what names a cell names one of this block."""
        ragged = [method for method, values in self.rows.items() if len(values) != len(self.columns)]
        named = [*self.underlined, *((note.method, note.metric) for note in self.notes)]
        stray = [cell for cell in named if cell[0] not in self.rows or cell[1] not in self.columns]
        if ragged or stray:
            raise ValueError(f"ratio {self.ratio}: rows of another length {ragged}, cells that don't exist {stray}.")
        return self

    def value(self, method: str, metric: str) -> float | None:
        """The printed percentage; None where it isn't printed or can't be read."""
        if method not in self.rows or metric not in self.columns:
            return None
        return self.rows[method][self.columns.index(metric)]

    def note(self, method: str, metric: str) -> str:
        """The notes on one cell, empty without any."""
        return " ".join(note.note for note in self.notes if (note.method, note.metric) == (method, metric))


class PaperTable(BaseModel):
    """One table of the paper."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    number: int = Field(ge=1, le=16)
    title: str
    kind: Literal["binary", "multiclass"]
    notes: tuple[str, ...]
    blocks: tuple[PaperBlock, ...]

    def block(self, ratio: int | None) -> PaperBlock:
        """The block of a class ratio.

        Raises:
            ArgumentError: the table has no such ratio.
        """
        for block in self.blocks:
            if block.ratio == ratio:
                return block
        ratios = [block.ratio for block in self.blocks]
        raise ArgumentError(f"Table {self.number} has no class ratio {ratio}. Available: {ratios}.")


class _PaperTables(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1]
    source: str
    tables: tuple[PaperTable, ...]


def metric_key(metric: str, at: str | None = None, value: float | None = None) -> str:
    """The name of a column, such as ``fpr@tpr=0.98``.

    Args:
        metric: what is measured, such as ``fpr``.
        at: the quantity held fixed, such as ``tpr``.
        value: what it is held at; a rate as a share, not in percent.

    >>> metric_key("fpr", "tpr", 1.0), metric_key("fpr", "fn", 0), metric_key("accuracy", "other"), metric_key("auc")
    ('fpr@tpr=1', 'fpr@fn=0', 'accuracy@other', 'auc')
    """
    held = "" if at is None else f"@{at}"
    return f"{metric}{held}" if value is None else f"{metric}{held}={value:g}"


@cache
def paper_tables() -> Mapping[int, PaperTable]:
    """All tables of the paper by number."""
    content = resources.files("prostate_alm.benchmark").joinpath(TABLES).read_text(encoding="utf-8")
    return {table.number: table for table in _PaperTables.model_validate_json(content).tables}


def paper_table(number: int) -> PaperTable:
    """One table of the paper.

    Raises:
        ArgumentError: the paper has no such table of results.
    """
    tables = paper_tables()
    if number not in tables:
        raise ArgumentError(f"the paper has result tables {min(tables)} to {max(tables)}, got `number` {number}.")
    return tables[number]


def paper_cell(table: int, ratio: int | None, method: str, metric: str) -> float | None:
    """The number the paper prints in one cell, in percent.

    Args:
        table: its number, 1 to 16.
        ratio: class ratio, such as 100 for 1:100; None for the MRI cohort.
        method: such as "S-ML" or "ALM + S-ML".
        metric: such as ``fpr@tpr=0.98``, see `metric_key`.

    Returns:
        None where this table doesn't print the cell, or our copy of the paper doesn't show it with certainty.

    Raises:
        ArgumentError: no table of the paper knows this number, method or metric, so it is misspelt.

    >>> paper_cell(1, 100, "ALM + A-ML", "fpr@tpr=0.98")
    45.0
    """
    found = paper_table(table)
    methods, metrics = _known_names()
    if method not in methods:
        raise ArgumentError(f"`method` {method!r} is in no table. Available: {sorted(methods)}.")
    if metric not in metrics:
        raise ArgumentError(f"`metric` {metric!r} is in no table. Available: {sorted(metrics)}.")
    return next((block.value(method, metric) for block in found.blocks if block.ratio == ratio), None)


@cache
def _known_names() -> tuple[frozenset[str], frozenset[str]]:
    """Every method and every metric of any table."""
    blocks = [block for table in paper_tables().values() for block in table.blocks]
    return (
        frozenset(chain.from_iterable(block.rows for block in blocks)),
        frozenset(chain.from_iterable(block.columns for block in blocks)),
    )
