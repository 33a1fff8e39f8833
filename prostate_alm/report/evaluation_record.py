"""`metrics.json`: what an evaluation found, as a schema.

"Model alone" is the score against the threshold, for every study that could be scored. "Whole decision" is what a
patient gets: studies that could not be read, failed a gate, or scored within the guard band get contrast, whatever the
score.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from prostate_alm.errors import Reason
from prostate_alm.evaluation.calibration import Calibration
from prostate_alm.evaluation.confusion import Confusion, Proportion
from prostate_alm.evaluation.decision_curve import DecisionCurve
from prostate_alm.evaluation.delong import AucInterval
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.evaluation.predictive import OfHundred, PredictiveValues

SCHEMA_VERSION = 1
Share = Annotated[float, Field(ge=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class EvaluatedEnsemble(_Part):
    """Which ensemble was evaluated."""

    name: str
    version: str
    sha256: str = Field(description="of its manifest.json")
    parent_sha256: str | None = Field(description="of the ensemble that it was recalibrated from")
    members: int = Field(ge=1)
    trained_on_sha256: str = Field(description="of the datalist")
    training: dict[str, str | int | float | bool]
    versions: dict[str, str]
    training_studies: int = Field(ge=0, description="that the test set was held against by hash")
    calibration_studies: int = Field(ge=0, description="the same")


class Patients(_Part):
    """Who was evaluated."""

    datalist: str = Field(description="its name")
    datalist_sha256: str
    studies: int = Field(ge=1)
    patients: int = Field(ge=1)
    positives: int = Field(ge=0, description="studies with label 1: contrast is needed")
    negatives: int = Field(ge=0)
    scored: int = Field(ge=0, description="studies with a finite score: those of `model alone`")
    refused: dict[Reason, int] = Field(description="studies that could not be scored, by reason")
    gates_failed: dict[Reason, int] = Field(description="scored studies, by gate; a study may fail several")
    passed_every_gate: int = Field(ge=0)


class RateFigure(_Part):
    """A false-positive rate at a threshold that was set on these very patients."""

    at: str = Field(description="such as `2 FN` or `TPR 95 %`")
    misses_allowed: int = Field(ge=0)
    value: Share
    low: Share
    high: Share
    reliable: bool
    note: str


class Discrimination(_Part):
    """How well the scores rank, and what the best threshold on these very patients would give."""

    auc: AucInterval
    members: list[AucInterval]
    test_set_oracle: list[RateFigure]


class AtPrevalence(_Part):
    """What a result means, and what becomes of 100 patients."""

    observed: bool = Field(description="whether it is the prevalence of these patients")
    values: PredictiveValues
    of_hundred: OfHundred


class Outcome(_Part):
    """What a threshold fixed beforehand does to these patients."""

    counts: Confusion
    prevalences: list[AtPrevalence]


class FixedThreshold(_Part):
    """An operating point of the ensemble, applied to patients it was not set on."""

    point: OperatingPoint
    model_alone: Outcome
    whole_decision: Outcome
    failed_safe: int = Field(ge=0, description="studies that got contrast because something did not hold")


class CalibrationFigures(_Part):
    """Whether the probabilities mean what they say, before and after temperature scaling."""

    before: Calibration
    after: Calibration | None
    temperature: float | None
    fitted_on: Literal["out-of-fold", "calibration"]
    fitted_patients: int = Field(ge=0)
    note: str = ""


class Subgroup(_Part):
    """Patients who share a value of a column."""

    column: str
    group: str
    studies: int = Field(ge=1)
    positives: int = Field(ge=0)
    auc: AucInterval | None = Field(description="null where patients are too few")
    sensitivity: Proportion = Field(description="whole decision at the first operating point")
    specificity: Proportion
    note: str = ""


class RateDifference(_Part):
    """A false-positive rate of this ensemble minus that of the other, on the same patients."""

    at: str
    difference: float = Field(description="negative: this ensemble recalls fewer")
    low: float
    high: float
    p_value: Share
    reliable: bool
    note: str


class Comparison(_Part):
    """This ensemble against another on the same patients."""

    other: EvaluatedEnsemble
    studies: int = Field(ge=1, description="that both could score")
    other_auc: AucInterval
    auc_difference: float = Field(description="positive: this ensemble ranks better")
    standard_error: float = Field(ge=0)
    p_value: Share = Field(description="DeLong's, two-sided")
    note: str = ""
    rates: list[RateDifference]


class Failure(_Part):
    """A patient whom the model alone gets wrong."""

    study: str = Field(description="pseudonymous key")
    kind: Literal["missed", "false alarm"]
    label_reason: str = Field(description="why contrast is needed, where the datalist says so")
    logit: float
    missed_at: list[str] = Field(description="operating points at which the model alone would miss the patient")
    failed_safe: list[Reason] = Field(description="why the patient gets contrast all the same")


class EvaluationRecord(_Part):
    """`metrics.json`."""

    schema_version: Literal[1] = SCHEMA_VERSION
    software: str = Field(description="version of prostate-alm")
    ensemble: EvaluatedEnsemble
    patients: Patients
    discrimination: Discrimination
    fixed_thresholds: list[FixedThreshold] = Field(min_length=1)
    calibration: CalibrationFigures
    decision_curve: DecisionCurve
    subgroups: list[Subgroup]
    failures: list[Failure] = Field(description="the worst ones, not all")
    failures_in_all: dict[Literal["missed", "false alarm"], int] = Field(
        description="missed at any operating point; false alarms at the first"
    )
    comparison: Comparison | None = None
    cautions: list[str] = Field(description="what a reader must know of these figures")
