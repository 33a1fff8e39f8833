"""The label table: a CSV with one row a study."""

import csv
import json
import math
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prostate_alm.datasets.datalist import DatalistEntry
from prostate_alm.errors import CohortError

# A study's name becomes the name of a folder.
STUDY_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
RESERVED = frozenset(DatalistEntry.model_fields) - {"study", "patient", "label", "fold"}


class LabelRow(BaseModel):
    """One row: which study, whose, its label, its side; further columns are kept as they are.

    `study` and `patient` go into every output as they stand, so they have to be pseudonyms.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    study: str = Field(pattern=f"^{STUDY_NAME}$", max_length=120)
    patient: str = Field(min_length=1, max_length=120)
    label: Literal["0", "1"]
    split: Literal["training", "test"] = "training"

    def columns(self) -> dict[str, Any]:
        """The further columns that are filled; numbers as numbers."""
        return {name: _number_or_text(text) for name, text in (self.model_extra or {}).items() if text}


def read_label_table(path: Path) -> list[LabelRow]:
    """Read and check a label table.

    Raises:
        CohortError: it is not there, lacks a column, a cell is wrong, a study stands twice, a patient is in
            training and in test, or a column has a name that the datalist keeps for itself.
    """
    if not path.is_file():
        raise CohortError(f"there is no label table at `{path}`; expected a CSV with study, patient, label.")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="", strict=True)
            names, rows = list(reader.fieldnames or ()), list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise CohortError(f"`{path.name}` is no CSV in UTF-8 ({error}); save it again as such.") from None
    _check_columns(path.name, names)
    table = [_row(path.name, line, row) for line, row in enumerate(rows, start=2)]
    _check_table(path.name, table)
    return table


def _check_columns(name: str, names: list[str]) -> None:
    missing = [column for column in ("study", "patient", "label") if column not in names]
    if missing:
        raise CohortError(f"`{name}` lacks the column `{missing[0]}`; it needs study, patient and label.")
    taken = sorted(RESERVED.intersection(names))
    if taken:
        raise CohortError(f"`{name}` has a column `{taken[0]}`, which the datalist fills itself; rename it.")


def _row(name: str, line: int, row: dict[str, str]) -> LabelRow:
    if "" in row:
        raise CohortError(f"`{name}` line {line} has more cells than there are columns; quote cells that hold a comma.")
    filled = {column: text.strip() for column, text in row.items() if text.strip() or column != "split"}
    try:
        return LabelRow.model_validate(filled)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise CohortError(f"`{name}` line {line}, column `{problem['loc'][0]}`: {problem['msg']}.") from None


def _check_table(name: str, table: list[LabelRow]) -> None:
    if not table:
        raise CohortError(f"`{name}` has no rows; give one for each study.")
    studies: set[str] = set()
    side: dict[str, str] = {}
    for line, row in enumerate(table, start=2):
        if row.study in studies:
            raise CohortError(f"`{name}` line {line}: this `study` has a row already; keep one row a study.")
        studies.add(row.study)
        if side.setdefault(row.patient, row.split) != row.split:
            raise CohortError(f"`{name}` line {line}: this `patient` is in training and in test; choose one `split`.")


def _number_or_text(text: str) -> str | int | float:
    """``3`` and ``0.5`` as numbers; ``007``, ``nan`` and words as they are."""
    if not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?", text):
        return text
    number = json.loads(text)
    return number if math.isfinite(number) else text
