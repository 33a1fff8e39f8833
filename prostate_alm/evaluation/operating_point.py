"""Choosing an operating point: a threshold on the ensemble's logit, with its evidence.

It is chosen here, travels as `operating_points.json` and is applied by `prostate_alm.report`.
"""

from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.intervals import miss_rate_expected, miss_rate_upper_bound
from prostate_alm.evaluation.operating_rules import FalseNegatives, Rule, RuleKind, Sensitivity
from prostate_alm.evaluation.roc import lowest_positive, split_scores
from prostate_alm.evaluation.sealed_json import read_sealed

__all__ = [
    "Evidence",
    "OperatingPoint",
    "OperatingPoints",
    "choose_by_rule",
    "choose_operating_point",
    "miss_rate_upper_bound",
]

SCHEMA_VERSION = 2
"""2 added what a threshold was set by: `rule`, `target`, `confidence`. Files of version 1 are read; all of theirs were
set by false negatives."""
READABLE = (1, SCHEMA_VERSION)

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
    rule: RuleKind = Field(default="false-negatives", description="what fixed k, before any score was seen")
    target: Share | None = Field(default=None, description="the sensitivity, or the expected miss rate, of the rule")
    confidence: Share | None = Field(default=None, description="in the sensitivity; null for the other rules")

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

    schema_version: Literal[1, 2] = SCHEMA_VERSION
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
            EnsembleError: it is of another version, or malformed; the message names the field.
        """
        version = read_sealed(_Versioned, content, file="operating_points.json").schema_version
        if version not in READABLE:
            raise EnsembleError(
                f"operating_points.json has `schema_version` {version}, this release reads {READABLE[0]} and "
                f"{READABLE[1]}; use the release that wrote the ensemble."
            )
        return read_sealed(cls, content, file="operating_points.json")


class _Versioned(BaseModel):
    """The version alone, to name it before anything else of the file is judged."""

    schema_version: int = 1


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
    return _point(scores, labels, rule=FalseNegatives(false_negatives), name=name, evidence=evidence)


def choose_by_rule(
    scores: ArrayLike, labels: ArrayLike, rule: Rule, *, evidence: Evidence = "out-of-fold"
) -> OperatingPoint:
    """As `choose_operating_point`, with k from a rule and the number of positives.

    Args:
        scores: as `choose_operating_point`.
        labels: as `choose_operating_point`.
        rule: fixed before the scores are seen.
        evidence: as `choose_operating_point`.

    Raises:
        ArgumentError: as `choose_operating_point`; where positives are too few, the message says how many it takes.

    >>> from prostate_alm.evaluation.operating_rules import Conformal
    >>> point = choose_by_rule([-3.0, -2.0, 0.5, 1.0, 3.0], [0, 0, 1, 1, 1], Conformal(0.25))
    >>> point.name, point.false_negatives, point.miss_rate_expected
    ('conformal-25', 0, 0.25)
    """
    return _point(scores, labels, rule=rule, name=None, evidence=evidence)


def _point(scores: ArrayLike, labels: ArrayLike, *, rule: Rule, name: str | None, evidence: Evidence) -> OperatingPoint:
    positives, negatives = split_scores(scores, labels)
    k = rule.misses(positives.size)
    threshold = lowest_positive(positives, k)
    return OperatingPoint(
        name=rule.name if name is None else name,
        threshold=threshold,
        false_negatives=k,
        positives=positives.size,
        negatives=negatives.size,
        sensitivity=float(np.mean(positives >= threshold)),
        specificity=float(np.mean(negatives < threshold)),
        miss_rate_upper_95=miss_rate_upper_bound(k, positives.size),
        miss_rate_expected=miss_rate_expected(k, positives.size),
        evidence=evidence,
        status="guaranteed" if evidence == "calibration" else "approximate",
        assumptions=f"{ASSUMPTIONS[evidence]} {rule.assumption}".rstrip(),
        rule=rule.kind,
        target=None if isinstance(rule, FalseNegatives) else rule.target,
        confidence=rule.confidence if isinstance(rule, Sensitivity) else None,
    )
