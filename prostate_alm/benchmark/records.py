"""What a run is (its specification) and what it gave (its record): one JSON file a run."""

import base64
import binascii
import hashlib
import json
import math
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, model_validator

from prostate_alm.errors import ArgumentError
from prostate_alm.evaluation.multiclass import from_logits

RECORD_VERSION = 1
Setting = str | int | float | bool | None


class RunSpec(BaseModel):
    """One training: a bundle and the plain values of its `train.yaml`, defaults included.

    Two specifications with one `key` are one run, whichever tables ask for it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bundle: str
    settings: dict[str, Setting]
    data_sha256: str = Field(description="of the archive's decoded images, or of the cohort's datalist")

    @property
    def key(self) -> str:
        """Name of the run: a hash of everything that decides its result."""
        content = json.dumps([RECORD_VERSION, self.model_dump(mode="json")], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class Numbers(BaseModel):
    """An array in JSON, bit by bit: base64 of its little-endian bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["<f4", "<u1", "<u2"]
    shape: list[NonNegativeInt]
    data: str

    @model_validator(mode="after")
    def _check_bytes(self) -> Self:
        """A file that is damaged within its numbers is still JSON; what it holds must be as much as it says."""
        expected = math.prod(self.shape) * np.dtype(self.dtype).itemsize
        try:
            there = len(base64.b64decode(self.data, validate=True))
        except binascii.Error as error:
            raise ArgumentError(f"`data` is no base64 ({error}).") from None
        if there != expected:
            raise ArgumentError(f"`data` must hold {expected} bytes for {self.dtype} {self.shape}, it holds {there}.")
        return self

    @classmethod
    def of(cls, values: NDArray[Any], dtype: Literal["<f4", "<u1", "<u2"]) -> "Numbers":
        """Pack `values`, each of which `dtype` must hold exactly or, for floats, to its precision.

        Raises:
            ArgumentError: an integer is out of the range of `dtype`.
        """
        packed = np.ascontiguousarray(values, dtype=dtype)
        if dtype != "<f4" and not np.array_equal(packed, values):
            raise ArgumentError(f"{values.min()} to {values.max()} are no values of {dtype}; choose a wider one.")
        return cls(dtype=dtype, shape=list(packed.shape), data=base64.b64encode(packed.tobytes()).decode())

    def array(self) -> NDArray[Any]:
        """The values again, as float64 or int64."""
        values = np.frombuffer(base64.b64decode(self.data), dtype=self.dtype).reshape(self.shape)
        return values.astype(np.float64 if self.dtype == "<f4" else np.int64)


class Scores(BaseModel):
    """A network's output on a set of images, in the order of the archive.

    Attributes:
        labels: ``[N]``.
        critical: ``[N]`` the binary logit, or the logit of the (first) critical class.
        other: ``[N]`` class with the highest logit among those that are not critical; None with two classes.
        prediction: ``[N]`` class with the highest logit; None with two classes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    labels: Numbers
    critical: Numbers
    other: Numbers | None = None
    prediction: Numbers | None = None

    @model_validator(mode="after")
    def _check_samples(self) -> Self:
        shapes = [part.shape for part in (self.labels, self.critical, self.other, self.prediction) if part is not None]
        if len(self.labels.shape) != 1 or any(shape != self.labels.shape for shape in shapes):
            raise ArgumentError(f"labels, scores and predictions must be lists of one length, got shapes {shapes}.")
        if (self.other is None) != (self.prediction is None):
            raise ArgumentError("`other` and `prediction` must both be there, or none of them.")
        if not np.isfinite(self.critical.array()).all():
            raise ArgumentError("`critical` must be finite.")
        return self

    @classmethod
    def of(cls, logits: NDArray[Any], labels: NDArray[Any], critical_classes: tuple[int, ...]) -> "Scores":
        """Keep of `logits` ``[N, C]`` what the paper's figures need; C = 1 is a binary logit."""
        if not np.isfinite(logits).all():
            raise ArgumentError("a logit is not finite: the training diverged; lower its learning rate.")
        packed = Numbers.of(labels, "<u1")
        if logits.shape[1] == 1:
            return cls(labels=packed, critical=Numbers.of(logits[:, 0], "<f4"))
        found = from_logits(logits, critical_classes)
        return cls(
            labels=packed,
            critical=Numbers.of(logits[:, critical_classes[0]], "<f4"),
            other=Numbers.of(found.other_prediction, "<u1"),
            prediction=Numbers.of(found.prediction, "<u1"),
        )


class RunRecord(BaseModel):
    """A finished run.

    Attributes:
        spec: what was run.
        commit: of the code, with "+changes" where the checkout had any; "unknown" outside a checkout; of a run that
            went on under another "A, then B".
        versions: of python, torch, monai, numpy and prostate-alm.
        machine: processor, cores and threads used.
        seed: of the run.
        seconds: of training, of the process that finished it.
        counts: training images of each class.
        best_epoch: whose weights were kept.
        validation_metric: of that epoch: AUC with two classes, else accuracy.
        epochs: what each epoch was made of.
        validation: scores on the validation set.
        test: scores on the test set, which decided nothing.
        metrics: of the test scores, in [0, 1].
    """

    # an epoch that diverged has a loss of NaN, for which JSON has no number
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    schema_version: Literal[1] = RECORD_VERSION
    spec: RunSpec
    commit: str
    versions: dict[str, str]
    machine: str
    seed: int
    seconds: float
    counts: list[int]
    best_epoch: int
    validation_metric: float
    epochs: list[dict[str, float]]
    validation: Scores
    test: Scores
    metrics: dict[str, float]


class Failure(BaseModel):
    """A run that ended without a record."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    spec: RunSpec
    message: str
