"""What a test result means at a prevalence: predictive values, and what happens to 100 patients.

Sensitivity and specificity are taken from the patients at hand and carried over to another prevalence by Bayes' rule.
That holds as far as the new patients differ in nothing but how many of them need contrast: a hospital with another
prevalence often has other patients too, and then its own labelled cases are the only evidence.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.confusion import Confusion, Proportion

Share = Annotated[float, Field(ge=0, le=1)]
Patients = Annotated[float, Field(ge=0, le=100)]
EACH_LEVEL = 0.975
"""Level of the intervals of sensitivity and specificity that a 95 % interval is made of (Bonferroni)."""


class ValueInterval(BaseModel):
    """A share with an interval that holds it with at least 95 % confidence."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    value: Share | None = Field(description="null where nobody has this result")
    low: Share
    high: Share


class PredictiveValues(BaseModel):
    """What a result says about a patient."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prevalence: Share
    ppv: ValueInterval = Field(description='of those who get "contrast", who need it')
    npv: ValueInterval = Field(description='of those who get "not needed", who do not need it')


class OfHundred(BaseModel):
    """What becomes of 100 patients, expected numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prevalence: Share
    spared: Patients = Field(description="do not need contrast and are spared it")
    recalled: Patients = Field(description="do not need contrast and get it")
    found: Patients = Field(description="need contrast and get it")
    missed: Patients = Field(description="need contrast and would not get it")
    missed_upper_95: Patients = Field(description="exact one-sided 95 % bound on `missed`")


def predictive_values(counts: Confusion, prevalence: float) -> PredictiveValues:
    """PPV and NPV at a prevalence, from the sensitivity and specificity of `counts`.

    Positives and negatives are independent samples: with a 97.5 % interval each (Clopper and Pearson), the worst and
    the best pair enclose the predictive value with at least 95 % confidence, whatever the sample sizes.

    Args:
        counts: both classes have at least one patient.
        prevalence: share who need contrast, between 0 and 1.

    Raises:
        ArgumentError: a class is empty, or `prevalence` is out of its range.

    Source: Bayes' rule; Bonferroni 1936.
    """
    _check(counts, prevalence)
    sensitivity = Proportion.of(counts.found, counts.positives, level=EACH_LEVEL)
    specificity = Proportion.of(counts.spared, counts.negatives, level=EACH_LEVEL)
    ends = ((sensitivity.low, specificity.low), (sensitivity.high, specificity.high))
    here = (counts.found / counts.positives, counts.spared / counts.negatives)
    return PredictiveValues(
        prevalence=prevalence,
        ppv=_interval(_ppv(*here, prevalence), [_ppv(*end, prevalence) for end in ends]),
        npv=_interval(_npv(*here, prevalence), [_npv(*end, prevalence) for end in ends]),
    )


def of_hundred(counts: Confusion, prevalence: float) -> OfHundred:
    """What becomes of 100 patients at a prevalence.

    Args:
        counts: both classes have at least one patient.
        prevalence: share who need contrast, between 0 and 1.

    Raises:
        ArgumentError: as `predictive_values`.
    """
    _check(counts, prevalence)
    positives, negatives = 100 * prevalence, 100 * (1 - prevalence)
    return OfHundred(
        prevalence=prevalence,
        spared=negatives * counts.spared / counts.negatives,
        recalled=negatives * counts.recalled / counts.negatives,
        found=positives * counts.found / counts.positives,
        missed=positives * counts.missed / counts.positives,
        missed_upper_95=positives * counts.miss_rate_upper_95,
    )


def check_prevalence(prevalence: float) -> None:
    """Refuse a prevalence outside (0, 1).

    Raises:
        ArgumentError: it is.
    """
    if not 0 < prevalence < 1:
        raise ArgumentError(f"`prevalence` must lie between 0 and 1 (0.13 for 13 %), got {prevalence}.")


def _check(counts: Confusion, prevalence: float) -> None:
    check_prevalence(prevalence)
    if counts.positives == 0 or counts.negatives == 0:
        raise ArgumentError(
            f"both classes are needed, got {counts.positives} positives and {counts.negatives} negatives."
        )


def _ppv(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    positive = sensitivity * prevalence + (1 - specificity) * (1 - prevalence)
    return sensitivity * prevalence / positive if positive > 0 else None


def _npv(sensitivity: float, specificity: float, prevalence: float) -> float | None:
    negative = specificity * (1 - prevalence) + (1 - sensitivity) * prevalence
    return specificity * (1 - prevalence) / negative if negative > 0 else None


def _interval(value: float | None, ends: list[float | None]) -> ValueInterval:
    low, high = ends
    return ValueInterval(value=value, low=0.0 if low is None else low, high=1.0 if high is None else high)
