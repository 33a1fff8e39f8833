"""What an ensemble was validated on, in figures: `reference.json`.

It is set by training, travels with the ensemble, and tells serving whom the model can be believed for, whether this
machine computes what that of the training did, and how the patients of a hospital drift away from the validated ones.
"""

import math
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field, model_validator

from prostate_alm.errors import ArgumentError, Reason
from prostate_alm.evaluation.sealed_json import read_sealed

QUANTILES = tuple(step / 20 for step in range(21))
"""The shares that `Reference.logit_quantiles` and `GateQuantiles` are given at: 0, 5, 10, ... 100 %."""

Quantiles = Annotated[list[float], Field(min_length=len(QUANTILES), max_length=len(QUANTILES))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class GoldenCase(_Part):
    """What the members say of a phantom that code builds: on every sound machine the same."""

    case: str
    member_logits: list[float] = Field(min_length=1)


class Limit(_Part):
    """The largest figure of the validated patients, as far as it is believed."""

    limit: float
    patients: int = Field(ge=1, description="whose figures it was set on")
    expected_beyond: float = Field(gt=0, le=1, description="share of new patients of the same population beyond it")


class Distance(_Part):
    """Mahalanobis distance from the validated patients, in figures of their images."""

    features: list[str] = Field(min_length=1)
    centre: list[float] = Field(description="means")
    precision: list[list[float]] = Field(description="inverse of the shrunk covariance")

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        size = len(self.features)
        if len(self.centre) != size or [len(row) for row in self.precision] != [size] * size:
            raise ValueError("`centre` and `precision` must have the size of `features`")
        return self

    def of(self, features: ArrayLike) -> float:
        """The distance of one patient; infinite where a figure is not finite.

        Args:
            features: ``[P]`` in the order of `features`.

        Raises:
            ArgumentError: it has another length.
        """
        values = np.asarray(features, dtype=np.float64)
        if values.shape != (len(self.features),):
            raise ArgumentError(f"expected {len(self.features)} figures of an image, got shape {values.shape}.")
        if not np.isfinite(values).all():
            return math.inf
        away = values - np.array(self.centre)
        squared = float(away @ np.array(self.precision) @ away)
        return math.sqrt(squared) if squared >= 0 else math.inf  # a precision that is none believes nobody


class Outlier(_Part):
    """Whose images are too unlike the validated ones."""

    distance: Distance
    limit: Limit


class GateQuantiles(_Part):
    """A quality gate's figure over the validated patients."""

    reason: Reason
    quantiles: Quantiles | None = Field(description="at 0, 5, ... 100 %; null where it could be measured of nobody")


class Reference(_Part):
    """`reference.json`. The patients are those who passed every quality gate: for others no model answers."""

    schema_version: Literal[1] = 1
    evidence: Literal["out-of-fold", "calibration"]
    patients: int = Field(ge=1, description="validated patients who passed every gate")
    golden: list[GoldenCase] = Field(min_length=1)
    spread: Limit = Field(description="standard deviation of the members' logits")
    outlier: Outlier
    logit_quantiles: Quantiles = Field(description="of the mean logit, at 0, 5, ... 100 %")
    quality: list[GateQuantiles] = Field(min_length=1, description="in the order in which the gates are reported")

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read the content of `reference.json`.

        Raises:
            EnsembleError: it is malformed; the message names the field.
        """
        return read_sealed(cls, content, file="reference.json")


def spread_of(member_logits: ArrayLike) -> float:
    """By how much the members differ: the standard deviation of their logits (n - 1); 0 of a single member.

    NaN where a logit is not finite.

    >>> spread_of([1.0, 3.0])
    1.4142135623730951
    """
    logits = np.asarray(member_logits, dtype=np.float64)
    with np.errstate(all="ignore"):  # NaN says of itself what is wrong
        return float(logits.std(ddof=1)) if logits.size > 1 else float(logits.sum() * 0.0)


def quantiles_of(figures: ArrayLike) -> list[float] | None:
    """The figures' quantiles at `QUANTILES`, linearly interpolated; those that are NaN left out, None without any."""
    values = np.asarray(figures, dtype=np.float64)
    known = values[~np.isnan(values)]
    return np.quantile(known, QUANTILES).tolist() if known.size else None
