"""What an ensemble said of the patients it was validated on: `validation.json`.

Temperature scaling needs scores with labels that no test patient is among. They lie in the ensemble, sealed with it: so
they are always its own, and whoever evaluates it needs no second file.
"""

from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field

from prostate_alm.evaluation.roc import split_scores
from prostate_alm.evaluation.sealed_json import read_sealed

SourceOfScores = Literal["out-of-fold", "calibration"]


class LabelledScore(BaseModel):
    """A patient without a name."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    label: Literal[0, 1]
    logit: float


class ValidationScores(BaseModel):
    """`validation.json`: the scores that the operating points were set on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    evidence: SourceOfScores
    scores: list[LabelledScore] = Field(min_length=1)

    @classmethod
    def of(cls, logits: ArrayLike, labels: ArrayLike, *, evidence: SourceOfScores) -> Self:
        """Scores in ascending order, so that their order tells nothing of whose they are.

        Args:
            logits: ``[N]``, finite.
            labels: ``[N]``, 0 or 1.
            evidence: where they come from.

        Raises:
            ArgumentError: as `roc.split_scores`.
        """
        positives, negatives = split_scores(logits, labels)
        rows = [LabelledScore(label=1, logit=z) for z in positives.tolist()]
        rows += [LabelledScore(label=0, logit=z) for z in negatives.tolist()]
        return cls(evidence=evidence, scores=sorted(rows, key=lambda row: (row.logit, row.label)))

    @property
    def logits(self) -> NDArray[np.float64]:
        """``[N]``."""
        return np.array([score.logit for score in self.scores], dtype=np.float64)

    @property
    def labels(self) -> NDArray[np.int64]:
        """``[N]``, 0 or 1."""
        return np.array([score.label for score in self.scores], dtype=np.int64)

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read the content of `validation.json`.

        Raises:
            EnsembleError: it is malformed; the message names the field.
        """
        return read_sealed(cls, content, file="validation.json")
