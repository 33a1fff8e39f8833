"""Which studies an ensemble was made with, by hash: `studies.json`. None of them may be in its test set.

A study is known by its voxels, so that a second export, another name or another folder doesn't hide it; a patient by
the hash of the pseudonymous key within the cohort, so that another study of a patient is found too. Neither hash tells
anything to who doesn't hold the study or the cohort.
"""

import hashlib
from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from prostate_alm.errors import CohortError
from prostate_alm.evaluation.sealed_json import read_sealed

Use = Literal["training", "calibration"]


class KnownStudy(BaseModel):
    """A study by its hashes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    content: str = Field(pattern=r"^[0-9a-f]{12}$", description="of the voxels of T2 and DWI")
    patient: str = Field(pattern=r"^[0-9a-f]{16}$", description="of the cohort's name and the patient's key in it")

    @classmethod
    def of(cls, content: str, *, cohort: str, patient: str) -> Self:
        """A study of a patient of a cohort.

        Args:
            content: hash of its voxels, as `LoadStudy` gives it.
            cohort: name of the datalist.
            patient: pseudonymous key.
        """
        named = hashlib.sha256(f"{cohort}\0{patient}".encode()).hexdigest()[:16]
        return cls(content=content, patient=named)


class KnownStudies(BaseModel):
    """`studies.json`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    training: list[KnownStudy] = Field(description="trained on, or used to choose a checkpoint")
    calibration: list[KnownStudy] = Field(default=[], description="what operating points were set on")

    @classmethod
    def from_json(cls, content: bytes | str) -> Self:
        """Read the content of `studies.json`.

        Raises:
            EnsembleError: it is malformed; the message names the field.
        """
        return read_sealed(cls, content, file="studies.json")

    def refuse_overlap(
        self, studies: Sequence[KnownStudy], *, uses: Sequence[Use] = ("training", "calibration")
    ) -> None:
        """Refuse studies that the ensemble was made with.

        Args:
            studies: that shall be new to it.
            uses: what for; who sets new thresholds may take patients that the old ones were set on.

        Raises:
            CohortError: one is among them, or another study of its patient is.
        """
        for use in uses:
            known = self.training if use == "training" else self.calibration
            contents, patients = {study.content for study in known}, {study.patient for study in known}
            same = sum(study.content in contents for study in studies)
            related = sum(study.content not in contents and study.patient in patients for study in studies)
            if same or related:
                raise CohortError(
                    f"{same} of {len(studies)} studies have the same images as studies of the ensemble's {use}, and "
                    f"{related} more are of its patients; take only patients that the ensemble has never met."
                )
