"""From logits and an operating point to a recommendation, fail-safe: `decide` and its answer.

There is no third value and no silent "not needed": ``DCE_NOT_NEEDED`` is answered only when everything held. The study
came whole; the ensemble that scored is the one it was accepted for; every gate was held against it and passed, that of
the members' spread and that of the distance from the validated patients among them; all members gave a finite logit;
and their mean lies below the threshold by the guard band. Whatever else is ``DCE_RECOMMENDED`` with the basis
``FAILSAFE`` and the reasons.
"""

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.errors import Reason
from prostate_alm.evaluation.operating_point import OperatingPoint
from prostate_alm.study import QUALITY_GATES, QualityFinding, Role, Series

GUARD_BAND = 1e-3
"""Width in logits below a threshold where the model is not believed.

Exact float32 backends, thread counts and machines move a mean logit by less than 1e-5, reduced precision by
about 6e-3. The band lies between: far above the noise of a sound installation, and too narrow to change a rate
that anyone could measure.
"""

BELIEVABILITY_GATES = (Reason.MEMBERS_DISAGREE, Reason.OUT_OF_DISTRIBUTION)
"""Gates of the score itself, which `inference` holds against the limits in `reference.json`."""
REQUIRED_GATES = Counter((*QUALITY_GATES, *BELIEVABILITY_GATES))

Finite = Annotated[float, Field(allow_inf_nan=False)]


class Recommendation(StrEnum):
    """What to do for this patient; there is no third value."""

    DCE_RECOMMENDED = "DCE_RECOMMENDED"
    DCE_NOT_NEEDED = "DCE_NOT_NEEDED"


class Basis(StrEnum):
    """Why: the model's score, or that something did not hold."""

    MODEL = "MODEL"
    FAILSAFE = "FAILSAFE"


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelIdentity(_Answer):
    """Which ensemble answered."""

    name: str
    version: str
    sha256: str = Field(description="of the ensemble's manifest.json, which holds the hash of every file")
    members: int = Field(ge=1)


class SeriesAnswer(_Answer):
    """A series that was used."""

    number: int | None
    description: str
    b_values: tuple[float, ...] = Field(description="acquired, s/mm²")


class QualityAnswer(_Answer):
    """A quality gate; a figure that is not finite is null."""

    reason: Reason
    value: Finite | None
    limit: Finite | None
    passed: bool


class TriageAnswer(_Answer):
    """The answer for one study. Anything but a complete answer must be read as ``DCE_RECOMMENDED``."""

    id: str
    recommendation: Recommendation
    basis: Basis
    reasons: tuple[Reason, ...] = Field(description="why it failed safe; empty when the basis is MODEL")
    probability: Annotated[float, Field(ge=0, le=1)] | None = Field(description="sigmoid of `logit`")
    logit: Finite | None = Field(description="mean of the members' logits; null when there is none or it is not finite")
    member_logits: tuple[Finite | None, ...]
    operating_point: OperatingPoint | None
    series: dict[Role, SeriesAnswer]
    flags: tuple[Reason, ...] = Field(description="notes that changed no decision")
    quality: tuple[QualityAnswer, ...]
    model: ModelIdentity | None
    intended_use: Literal["Research use only"] = "Research use only"

    @model_validator(mode="after")
    def _basis_agrees(self) -> Self:
        if self.basis is Basis.FAILSAFE and (not self.reasons or self.recommendation is Recommendation.DCE_NOT_NEEDED):
            raise ValueError("a fail-safe answer recommends DCE and gives a reason")
        if self.basis is Basis.MODEL and (self.reasons or not self._model_answers()):
            raise ValueError(
                "the basis is MODEL only with all members' finite logits, all gates passed and no reason against it"
            )
        return self

    @model_validator(mode="after")
    def _score_agrees(self) -> Self:
        if self.basis is Basis.MODEL and self.logit is not None and self.operating_point is not None:
            below = self.logit < self.operating_point.threshold - GUARD_BAND
            if below is not (self.recommendation is Recommendation.DCE_NOT_NEEDED):
                raise ValueError("the recommendation contradicts `logit` and the threshold")
        return self

    def _model_answers(self) -> bool:
        """Whether there is an ensemble, a threshold, a finite logit of every member and only passed gates.

        Which gates of quality there are changes with releases, and answers of earlier ones must stay readable.
        """
        return (
            self.model is not None
            and self.operating_point is not None
            and self.logit is not None
            and None not in self.member_logits
            and len(self.member_logits) == self.model.members
            and {gate.reason for gate in self.quality}.issuperset(BELIEVABILITY_GATES)
            and all(gate.passed for gate in self.quality)
        )


@dataclass(frozen=True)
class Evidence:
    """What is known of a study when the decision falls; what is absent counts against "not needed".

    Attributes:
        complete: whether all of the study was received.
        failures: what kept the study from being read, scored or stored.
        accepted_for: SHA-256 of the ensemble that the study was accepted for.
        member_logits: one logit a member.
        quality: every gate that was held against the study and its score.
        series: the series chosen.
        flags: notes that change no decision.
    """

    complete: bool = False
    failures: tuple[Reason, ...] = ()
    accepted_for: str = ""
    member_logits: tuple[float, ...] = ()
    quality: tuple[QualityFinding, ...] = ()
    series: tuple[Series, ...] = ()
    flags: tuple[Reason, ...] = ()


def decide(
    study_id: str, evidence: Evidence, *, operating_point: OperatingPoint | None, model: ModelIdentity | None
) -> TriageAnswer:
    """Answer for one study. Total: whatever the evidence, it returns, and it fails into ``DCE_RECOMMENDED``.

    Args:
        study_id: name of the answer; holds no patient data.
        evidence: what came of reading and scoring the study.
        operating_point: the threshold to apply; None when no ensemble could be used.
        model: the ensemble that scored; None when no ensemble could be used.
    """
    logit = _mean_logit(evidence.member_logits)
    reasons = _reasons(evidence, logit, operating_point, model)
    not_needed = (
        not reasons
        and logit is not None
        and operating_point is not None
        and logit < operating_point.threshold - GUARD_BAND
    )
    return TriageAnswer(
        id=study_id,
        recommendation=Recommendation.DCE_NOT_NEEDED if not_needed else Recommendation.DCE_RECOMMENDED,
        basis=Basis.FAILSAFE if reasons else Basis.MODEL,
        reasons=reasons,
        probability=None if logit is None else _sigmoid(logit),
        logit=logit,
        member_logits=tuple(_finite(value) for value in evidence.member_logits),
        operating_point=operating_point,
        series={series.role: _series(series) for series in evidence.series},
        flags=evidence.flags,
        quality=tuple(_quality(finding) for finding in evidence.quality),
        model=model,
    )


def _reasons(
    evidence: Evidence, logit: float | None, operating_point: OperatingPoint | None, model: ModelIdentity | None
) -> tuple[Reason, ...]:
    """Everything that did not hold, each once."""
    reasons = [*evidence.failures, *(finding.reason for finding in evidence.quality if not finding.passed)]
    if not evidence.failures:
        reasons += _missing(evidence, logit, operating_point, model)
    if logit is not None and operating_point is not None:
        threshold = operating_point.threshold
        if logit < threshold and not logit < threshold - GUARD_BAND:
            reasons.append(Reason.NEAR_THRESHOLD)
    return tuple(dict.fromkeys(reasons))


def _missing(
    evidence: Evidence, logit: float | None, operating_point: OperatingPoint | None, model: ModelIdentity | None
) -> list[Reason]:
    """What is absent although nothing reported a failure."""
    missing: list[Reason] = []
    if not evidence.complete:
        missing.append(Reason.STUDY_INCOMPLETE)
    if operating_point is None or model is None:
        missing.append(Reason.ENSEMBLE_INVALID)
    if model is not None and evidence.accepted_for != model.sha256:
        missing.append(Reason.MODEL_DIFFERS)
    if model is not None and len(evidence.member_logits) != model.members:
        missing.append(Reason.MEMBER_MISSING)
    if logit is None:
        missing.append(Reason.LOGIT_NOT_FINITE if evidence.member_logits else Reason.MEMBER_MISSING)
    if not Counter(finding.reason for finding in evidence.quality) >= REQUIRED_GATES:
        missing.append(Reason.INTERNAL_ERROR)  # a gate was not held against the study
    return missing


def _mean_logit(logits: tuple[float, ...]) -> float | None:
    """The members' mean; None without members or when it is not finite."""
    return _finite(sum(logits) / len(logits)) if logits else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sigmoid(logit: float) -> float:
    small = math.exp(-abs(logit))
    return 1 / (1 + small) if logit >= 0 else small / (1 + small)


def _series(series: Series) -> SeriesAnswer:
    return SeriesAnswer(number=series.number, description=series.description, b_values=series.b_values)


def _quality(finding: QualityFinding) -> QualityAnswer:
    return QualityAnswer(
        reason=finding.reason, value=_finite(finding.value), limit=_finite(finding.limit), passed=finding.passed
    )
