"""`import_report.json`: what an import found, what became of each study and why, and what a person should look at.

It names studies and patients by their pseudonymous keys, and rows of the label table by their line.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

import prostate_alm
from prostate_alm.datasets.datalist import Split
from prostate_alm.errors import Reason
from prostate_alm.readers.rules import RULES_VERSION, rules_sha256
from prostate_alm.study import Role

Finite = Annotated[float, Field(allow_inf_nan=False)]
SpacingMm = tuple[Finite, Finite, Finite]


class ConflictKind(StrEnum):
    """What is odd about the label table or how it fits the inputs."""

    LABELS_DIFFER = "labels_differ"
    PATIENT_REPEATED = "patient_repeated"
    SOURCE_GONE = "source_gone"
    SOURCE_GONE_OUTDATED = "source_gone_outdated"
    PATIENT_ID_SHARED = "patient_id_shared"
    PERSON_SHARED = "person_shared"
    PATIENT_IDS_DIFFER = "patient_ids_differ"


class DuplicateKind(StrEnum):
    """How alike two studies are."""

    IDENTICAL = "identical"
    NEAR = "near"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ChosenSeries(_Part):
    """A series that the study was read from."""

    role: Role
    number: int | None = Field(description="series number; null when the input has none")
    description: str = Field(description="what the scanner calls it, without words of the patient")
    b_values: list[Finite] = Field(default=[], description="acquired, s/mm²")
    named_by_hand: bool = False


class RunnerUp(_Part):
    """A series that could have filled a role and lost by a tie-break."""

    role: str = Field(description="what it is, such as `axial T2`")
    number: int | None
    description: str
    why: str = Field(description="why it was a candidate, and why it lost")


class GateFigure(_Part):
    """A quality gate and what it measured; a figure that is not finite is null."""

    reason: Reason
    value: Finite | None
    limit: Finite | None
    passed: bool


class StudyRecord(_Part):
    """One study that has a row and an input, kept or excluded."""

    key: str = Field(min_length=1, description="pseudonymous; also the name of its folder")
    patient: str = Field(min_length=1, description="pseudonymous")
    index: int = Field(ge=0, description="as in `datalist.json`")
    label: Literal[0, 1]
    split: Split
    kept: bool
    reason: Reason | None = Field(default=None, description="why it was excluded; null when kept")
    message: str = Field(default="", description="the reason in a sentence")
    flags: list[Reason] = Field(default=[], description="notes on a study that was kept")
    vendor: str = ""
    model: str = ""
    field_strength: Finite | None = Field(default=None, description="tesla")
    b_values: list[Finite] = Field(default=[], description="acquired, s/mm²")
    t2_spacing_mm: SpacingMm | None = None
    dwi_spacing_mm: SpacingMm | None = None
    quality: list[GateFigure] = []
    series: list[ChosenSeries] = []
    runners_up: list[RunnerUp] = []
    montage: str | None = Field(default=None, description="path of its PNG, relative to the report")
    skipped_files: int = Field(default=0, ge=0, description="files of its input that are no image")

    @model_validator(mode="after")
    def _says_why(self) -> Self:
        if self.kept is not (self.reason is None):
            raise ValueError("`reason` must stand with an excluded study, and with no other")
        return self


class LabelConflict(_Part):
    """Something about the labels that a person should look at."""

    kind: ConflictKind
    keys: list[str] = Field(default=[], description="of the studies concerned")
    lines: list[int] = Field(default=[], description="of the label table; its header is line 1")
    message: str


class NearDuplicate(_Part):
    """Two studies whose images are the same or nearly so."""

    first: str
    second: str
    kind: DuplicateKind
    distance: float = Field(ge=0, le=2, description="1 - correlation of the two T2 volumes, coarsely sampled")
    same_patient: bool
    labels_differ: bool
    splits_differ: bool = Field(description="one is in training, the other in test")


class ImportReport(BaseModel):
    """What became of every study and every row of the label table."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[2] = 2
    package_version: str
    rules_version: str = Field(description="of the rules that chose the series")
    rules_sha256: str
    found: int = Field(ge=0, description="studies that have a row and an input, or had one before")
    kept: int = Field(ge=0)
    excluded_by_reason: dict[Reason, int]
    rows_without_study: list[int] = Field(default=[], description="lines of the label table that no input matches")
    studies_without_row: int = Field(default=0, ge=0, description="inputs that no row names; they have no key")
    folders_without_row: int = Field(default=0, ge=0, description="finished studies in the cohort that no row names")
    conflicts: list[LabelConflict] = []
    near_duplicates: list[NearDuplicate] = []
    studies: list[StudyRecord]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if (self.found, self.kept, self.excluded_by_reason) != _counts(self.studies):
            raise ValueError("`found`, `kept` and `excluded_by_reason` must be the counts of `studies`")
        return self


def make_import_report(studies: Sequence[StudyRecord], **others: Any) -> ImportReport:
    """A report with its counts, and with the package and the rules that made it.

    Args:
        studies: every study that has a row and an input.
        others: `rows_without_study`, `studies_without_row`, `conflicts`, `near_duplicates`.
    """
    found, kept, excluded = _counts(studies)
    return ImportReport(
        package_version=prostate_alm.__version__,
        rules_version=RULES_VERSION,
        rules_sha256=rules_sha256(),
        found=found,
        kept=kept,
        excluded_by_reason=excluded,
        studies=list(studies),
        **others,
    )


def _counts(studies: Sequence[StudyRecord]) -> tuple[int, int, dict[Reason, int]]:
    """Found, kept, and excluded by reason, the commonest reason first."""
    reasons = Counter(study.reason for study in studies if study.reason is not None)
    excluded = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return len(studies), sum(study.kept for study in studies), excluded
