"""Choosing an operating point: a threshold on the ensemble's logit, with its evidence.

It is chosen here, travels as `operating_points.json` and is applied by `prostate_alm.report`.
"""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.intervals import miss_rate_expected, miss_rate_upper_bound
from prostate_alm.evaluation.roc import lowest_positive, split_scores

__all__ = ["Evidence", "OperatingPoint", "OperatingPoints", "choose_operating_point", "miss_rate_upper_bound"]

Evidence = Literal["out-of-fold", "calibration"]
Share = Annotated[float, Field(ge=0, le=1)]

ASSUMPTIONS: dict[Evidence, str] = {
    "out-of-fold": (
        "Approximate: each patient was scored by the members that did not train on it, fewer than the whole ensemble "
        "has, and the fold that scored it also chose the checkpoint. The bound on the miss rate holds only as far as "
        "these scores are exchangeable with the ensemble's score of a new patient."
    ),
    "calibration": (
        "The whole ensemble scored patients that neither training nor model selection touched, and the number of "
        "misses was fixed beforehand. The bound on the miss rate holds for patients of the same population."
    ),
}


class OperatingPoint(BaseModel):
    """A threshold and what is known about it; ``logit >= threshold`` is positive."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    threshold: float = Field(description="on the ensemble's mean logit; a study at or above it is positive")
    false_negatives: int = Field(ge=0, description="misses allowed when the threshold was set (k)")
    positives: int = Field(ge=1, description="positives it was set on (n)")
    negatives: int = Field(ge=1)
    sensitivity: Share = Field(description="on the scores it was chosen on")
    specificity: Share = Field(description="on the scores it was chosen on")
    miss_rate_upper_95: Share = Field(description="95 % quantile of Beta(k+1, n-k)")
    miss_rate_expected: Share = Field(description="(k+1)/(n+1)")
    evidence: Evidence
    status: Literal["approximate", "guaranteed"]
    assumptions: str

    @model_validator(mode="after")
    def _evidence_carries_the_claim(self) -> Self:
        if self.false_negatives >= self.positives:
            raise ValueError("`false_negatives` must be below `positives`")
        if self.status == "guaranteed" and self.evidence != "calibration":
            raise ValueError("only an untouched calibration set earns `guaranteed`")
        return self


class OperatingPoints(BaseModel):
    """`operating_points.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    points: list[OperatingPoint] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"operating points must have different names, got {self.names}")
        return self

    @property
    def names(self) -> list[str]:
        """The names, in the order of the file."""
        return [point.name for point in self.points]

    def named(self, name: str) -> OperatingPoint:
        """The operating point called `name`.

        Raises:
            ArgumentError: there is none; the message lists the names.
        """
        for point in self.points:
            if point.name == name:
                return point
        raise ArgumentError(f"no operating point is called `{name}`. Available: {', '.join(self.names)}.")

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read the content of `operating_points.json`.

        Raises:
            EnsembleError: it is malformed; the message names the field.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise EnsembleError(f"operating_points.json is malformed: {error}") from None


def choose_operating_point(
    scores: ArrayLike,
    labels: ArrayLike,
    *,
    false_negatives: int = 0,
    name: str | None = None,
    evidence: Evidence = "out-of-fold",
) -> OperatingPoint:
    """Set the threshold at the (k+1)-th lowest positive score and say what it is worth.

    It is the highest threshold that misses at most k of these positives. `false_negatives` must be fixed
    before the scores are seen; choosing it afterwards voids the bound.

    Args:
        scores: ``[N]`` ensemble logits of patients that did not train the networks scoring them.
        labels: ``[N]``, 0 or 1.
        false_negatives: k, misses allowed, 0 <= k < number of positives.
        name: how commands and the service call it; by default ``"0-fn"``, ``"1-fn"``, ... after k.
        evidence: whose scores these are; only ``"calibration"`` (an untouched set, scored by the whole
            ensemble) earns the status ``"guaranteed"``.

    Raises:
        ArgumentError: scores or labels are unusable (see `roc.split_scores`), or there are no more than k positives.

    >>> point = choose_operating_point([-2.0, 0.5, 1.0, 3.0], [0, 0, 1, 1], false_negatives=0)
    >>> point.name, point.threshold, point.specificity, point.status
    ('0-fn', 1.0, 1.0, 'approximate')
    """
    positives, negatives = split_scores(scores, labels)
    threshold = lowest_positive(positives, false_negatives)
    return OperatingPoint(
        name=f"{false_negatives}-fn" if name is None else name,
        threshold=threshold,
        false_negatives=false_negatives,
        positives=positives.size,
        negatives=negatives.size,
        sensitivity=float(np.mean(positives >= threshold)),
        specificity=float(np.mean(negatives < threshold)),
        miss_rate_upper_95=miss_rate_upper_bound(false_negatives, positives.size),
        miss_rate_expected=miss_rate_expected(false_negatives, positives.size),
        evidence=evidence,
        status="guaranteed" if evidence == "calibration" else "approximate",
        assumptions=ASSUMPTIONS[evidence],
    )
