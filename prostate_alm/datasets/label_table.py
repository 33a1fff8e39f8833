"""The label table: a CSV with one row a study."""

import json
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator

from prostate_alm.datasets.datalist import DatalistEntry
from prostate_alm.datasets.table_file import read_cells
from prostate_alm.errors import ArgumentError, CohortError
from prostate_alm.readers.series_choice import SeriesChoice

RESERVED = frozenset(DatalistEntry.model_fields) - {"study", "patient", "label", "fold"} | {"quality", "flags"}
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
_WORD = re.compile(r"[\w+<>=%≥≤±-][\w+<>=%≥≤±./-]{0,31}")  # 4+3, T2c, vendor_a, left/right; no spaces
_DAY, _YEAR = r"(0?[1-9]|[12]\d|3[01])", r"(19|20)\d\d"
_MONTH = r"(jan|feb|m[aä]r|apr|ma[iy]|jun|jul|aug|sep|o[ck]t|nov|de[cz])\w*"
_DATE = re.compile(
    rf"{_YEAR}(?P<between>[-/.]){_DAY}(?P=between){_DAY}([T ].*)?"  # 2024-01-31
    rf"|{_YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"  # 20240131
    rf"|{_DAY}[-/.]{_DAY}[-/.]({_YEAR}|\d\d)"  # 31.1.2024, 1/31/24
    rf"|({_DAY}[-/. ]+)?{_MONTH}[-/. ]+{_YEAR}",  # 31-Jan-2024
    re.IGNORECASE,
)
_UID = re.compile(r"\d+(\.\d+){3,}")
_FURTHER = ("fold",)  # of the datalist, with a meaning of its own
_MOST_WORDS = 20  # different ones in a column of categories


class LabelRow(BaseModel):
    """One row: which study, whose, its label and its side; of the further columns, those that are asked for.

    `study` and `patient` may be any names: they stay in the keys file, and outputs hold keys in their place.
    """

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)

    study: str = Field(min_length=1, max_length=200, repr=False)
    patient: str = Field(min_length=1, max_length=200, repr=False)
    label: Literal["0", "1"]
    split: Literal["training", "test"] = "training"
    t2_series: str = ""
    dwi_series: str = ""
    adc_series: str = ""
    high_b: float | None = Field(default=None, gt=0, le=10_000, description="s/mm², of an image that states none")

    _line: int = PrivateAttr(default=0)

    @field_validator("study")
    @classmethod
    def _leads_nowhere(cls, study: str) -> str:
        """A study may be a path below the folder, never out of it."""
        parts = study.replace("\\", "/").split("/")
        if study.startswith(("/", "\\")) or {"", ".", ".."}.intersection(parts) or not study.isprintable():
            raise ValueError("expected the name of a folder or zip, a UID, an accession number or a patient ID")
        return study

    @field_validator("patient")
    @classmethod
    def _is_visible(cls, patient: str) -> str:
        """Two names that look alike would be two patients."""
        if not patient.isprintable():
            raise ValueError("expected no invisible characters")
        return patient

    @property
    def line(self) -> int:
        """Of the table; its header is line 1."""
        return self._line

    def columns(self) -> dict[str, Any]:
        """The further columns that are filled; numbers as numbers."""
        return {name: _number_or_text(text) for name, text in (self.model_extra or {}).items() if text}

    def series_choice(self) -> SeriesChoice | None:
        """The series named by hand; None where no column is filled.

        Raises:
            ArgumentError: several T2 or ADC series.
        """
        choice = SeriesChoice(self.t2_series, self.dwi_series, self.adc_series)
        return choice if choice else None

    @classmethod
    def _at(cls, line: int, cells: Mapping[str, Any]) -> "LabelRow":
        row = cls.model_validate(cells)
        row._line = line
        return row


@dataclass(frozen=True)
class LabelTable:
    """A table that was read and checked.

    Attributes:
        rows: in the order of the file.
        left_out: columns that are not taken over, for nobody asked for them.
    """

    rows: tuple[LabelRow, ...]
    left_out: tuple[str, ...] = ()


def read_label_table(path: Path, keep: Collection[str] = ()) -> LabelTable:
    """Read and check a label table.

    The columns of the table may be written in other cases, with spaces or hyphens, and stand between commas,
    semicolons or tabs; empty rows are passed over.

    Args:
        path: a CSV in UTF-8.
        keep: further columns to take over, as the table calls them: numbers or short words, at most 20 different ones.

    Raises:
        CohortError: it is not there, lacks a column, has one twice, a cell is wrong, a study stands twice, a patient is
            in training and in test, or a column of `keep` is not there, holds free text, a date, a UID or the row's
            own study or patient, or has a name that the datalist keeps for itself.
    """
    names, cells = read_cells(path, (*LabelRow.model_fields, *_FURTHER))
    _check_kept(names, keep)
    taken = (*LabelRow.model_fields, *_FURTHER, *keep)
    table = [_row(line, {name: text for name, text in row.items() if name in taken}) for line, row in cells]
    _check_table(table)
    for row in table:
        _check_identity(row)
    for name in keep:
        if _holds_free_text(name, table):
            raise CohortError(
                f"the column `{name}` of the label table, named by `--keep`, holds more than numbers and a few short "
                "words, and free text must not get into a cohort; don't keep it, or put categories in its place."
            )
    return LabelTable(tuple(table), tuple(name for name in names if name not in taken))


def _check_kept(names: Sequence[str], keep: Collection[str]) -> None:
    missing = [column for column in ("study", "patient", "label") if column not in names]
    if missing:
        told = f"; it has {', '.join(names)}" if len(missing) < 3 else " in its first line"  # else names of patients?
        raise CohortError(f"the label table lacks the column `{missing[0]}`{told}; it needs study, patient and label.")
    for name in keep:
        if name in RESERVED:
            raise CohortError(f"the datalist fills `{name}` itself; rename the column of the label table to keep it.")
        if name not in names:
            raise CohortError(f"the label table has no column `{name}`, which `--keep` names; is it spelled as there?")


def _row(line: int, row: Mapping[str, str]) -> LabelRow:
    filled = {name: text for name, text in row.items() if text or name not in ("split", "high_b")}
    try:
        read = LabelRow._at(line, filled)
        read.series_choice()
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        raise CohortError(
            f"line {line} of the label table, column `{problem['loc'][0]}`: {problem['msg'].lower()}."
        ) from None
    except ArgumentError as error:
        raise CohortError(f"line {line} of the label table: {error}") from None
    return read


def _check_table(table: Sequence[LabelRow]) -> None:
    if not table:
        raise CohortError("the label table has no rows; give one for each study.")
    studies: dict[str, int] = {}
    side: dict[str, str] = {}
    spelt: dict[str, str] = {}
    for row in table:
        if row.study in studies:
            raise CohortError(
                f"line {row.line} of the label table: this `study` has a row already, line {studies[row.study]}; "
                "keep one row a study."
            )
        studies[row.study] = row.line
        if spelt.setdefault("".join(row.patient.casefold().split()), row.patient) != row.patient:
            raise CohortError(
                f"line {row.line} of the label table: this `patient` differs from another by spaces or capitals alone; "
                "write one person in one way, or two in ways that can be told apart."
            )
        if side.setdefault(row.patient, row.split) != row.split:
            raise CohortError(
                f"line {row.line} of the label table: this `patient` is in training and in test; choose one `split`."
            )


def _check_identity(row: LabelRow) -> None:
    """Refuse a further cell that tells who the patient is or when the study was made."""
    for name, text in (row.model_extra or {}).items():
        found = [
            what
            for what, told in (
                ("a date", _DATE.fullmatch(text) is not None),
                ("a UID", _UID.fullmatch(text) is not None),
                ("the row's own `study` or `patient`", text in (row.study, row.patient) and not _is_small(text)),
            )
            if told
        ]
        if found:
            raise CohortError(
                f"line {row.line} of the label table, column `{name}`: the cell looks like {found[0]}, which must not "
                "get into a cohort; remove the column, or give an age or an interval in its place."
            )


def _is_small(text: str) -> bool:
    """Whether it is a number of up to three digits, which an age has in common with a patient's number by chance."""
    return text.isdecimal() and len(text) < 4


def _holds_free_text(name: str, table: Sequence[LabelRow]) -> bool:
    """Whether a further column holds more than numbers and a few short words."""
    cells = [(row.model_extra or {}).get(name, "") for row in table]
    words = {text for text in cells if text and not _NUMBER.fullmatch(text)}
    return len(words) > _MOST_WORDS or not all(_WORD.fullmatch(word) for word in words)


def _number_or_text(text: str) -> str | int | float:
    """``3`` and ``0.5`` as numbers; ``007``, ``nan`` and words as they are."""
    if not _NUMBER.fullmatch(text):
        return text
    number = json.loads(text)
    return number if math.isfinite(number) else text
