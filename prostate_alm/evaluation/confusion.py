"""What a threshold fixed beforehand does to new patients: counts, and how far they can be from the truth."""

from typing import Annotated, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.intervals import miss_rate_upper_bound, proportion_interval

Share = Annotated[float, Field(ge=0, le=1)]
LEVEL = 0.95


class Proportion(BaseModel):
    """A share of patients with its exact interval (Clopper and Pearson 1934)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    count: int = Field(ge=0)
    total: int = Field(ge=0)
    value: Share | None = Field(description="null where nobody was looked at")
    low: Share = Field(description="0 where nobody was looked at")
    high: Share = Field(description="1 where nobody was looked at")

    @classmethod
    def of(cls, count: int, total: int, *, level: float = LEVEL) -> Self:
        """The share `count` of `total`.

        Raises:
            ArgumentError: `count` does not lie between 0 and `total`.

        >>> round(Proportion.of(0, 50).high, 4)
        0.0711
        """
        if total == 0 == count:
            return cls(count=0, total=0, value=None, low=0.0, high=1.0)
        low, high = proportion_interval(count, total, confidence=level)
        return cls(count=count, total=total, value=count / total, low=low, high=high)


class Confusion(BaseModel):
    """Patients by what they need and what they get; positive is "contrast"."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    missed: int = Field(ge=0, description="need contrast and would not get it (false negatives)")
    found: int = Field(ge=0, description="need contrast and get it (true positives)")
    spared: int = Field(ge=0, description="do not need contrast and are spared it (true negatives)")
    recalled: int = Field(ge=0, description="do not need contrast and get it (false positives)")
    sensitivity: Proportion
    specificity: Proportion
    miss_rate_upper_95: Share = Field(description="exact one-sided 95 % bound on 1 - sensitivity; 1 without positives")

    @model_validator(mode="after")
    def _counts_agree(self) -> Self:
        positives, negatives = (self.found, self.found + self.missed), (self.spared, self.spared + self.recalled)
        shown = [(share.count, share.total) for share in (self.sensitivity, self.specificity)]
        if shown != [positives, negatives]:
            raise ValueError("`sensitivity` and `specificity` must be made of the four counts")
        return self

    @property
    def positives(self) -> int:
        """Patients who need contrast."""
        return self.found + self.missed

    @property
    def negatives(self) -> int:
        """Patients who do not."""
        return self.spared + self.recalled


def confusion(called_positive: ArrayLike, labels: ArrayLike) -> Confusion:
    """Count patients.

    Args:
        called_positive: ``[N]``, whether the patient gets contrast.
        labels: ``[N]``, 1 when it is needed and 0 when it is not.

    Raises:
        ArgumentError: shapes differ, or a label is neither 0 nor 1.
    """
    called, classes = np.asarray(called_positive, dtype=np.bool_), np.asarray(labels)
    if called.ndim != 1 or called.shape != classes.shape:
        raise ArgumentError(f"`called_positive` and `labels` must be lists of one length, got {called.shape} and "
                            f"{classes.shape}.")  # fmt: skip
    if not np.isin(classes, (0, 1)).all():
        raise ArgumentError("`labels` must be 0 (negative) or 1 (positive); map other codes first.")
    found, missed = int((called & (classes == 1)).sum()), int((~called & (classes == 1)).sum())
    recalled, spared = int((called & (classes == 0)).sum()), int((~called & (classes == 0)).sum())
    return Confusion(
        missed=missed,
        found=found,
        spared=spared,
        recalled=recalled,
        sensitivity=Proportion.of(found, found + missed),
        specificity=Proportion.of(spared, spared + recalled),
        miss_rate_upper_95=_upper_bound(missed, found + missed),
    )


def _upper_bound(missed: int, positives: int) -> float:
    """One-sided Clopper-Pearson bound of a fixed threshold's miss rate."""
    return 1.0 if missed == positives else miss_rate_upper_bound(missed, positives)
