"""What the API knows of the ensemble: its identity and operating points. The weights are the worker's alone."""

from typing import Self

from pydantic import BaseModel, ConfigDict

from prostate_alm.evaluation.operating_point import OperatingPoint, OperatingPoints
from prostate_alm.evaluation.reference import Reference
from prostate_alm.parcel import OPERATING_POINTS, REFERENCE, Manifest, read_manifest, sealed_bytes
from prostate_alm.report.triage import ModelIdentity
from prostate_alm.service.settings import ServiceSettings


class DeployedModel(BaseModel):
    """A verified ensemble at one of its operating points.

    Attributes:
        identity: which ensemble answers.
        operating_point: the threshold to apply.
        operating_points: all that the ensemble carries.
        reference: what it was validated on.
    """

    model_config = ConfigDict(frozen=True)

    identity: ModelIdentity
    operating_point: OperatingPoint
    operating_points: OperatingPoints
    reference: Reference

    @classmethod
    def read(cls, settings: ServiceSettings) -> Self:
        """Verify the ensemble folder against its manifest, and take the operating point.

        Raises:
            EnsembleError: the folder is incomplete, changed or not the pinned one.
            ArgumentError: it has no operating point of this name; the message lists the names.
        """
        manifest, sha256 = read_manifest(settings.ensemble, expect_sha256=settings.expect_sha256)
        points = OperatingPoints.from_json(sealed_bytes(settings.ensemble, OPERATING_POINTS, manifest))
        point = points.named(settings.operating_point)
        reference = Reference.from_json(sealed_bytes(settings.ensemble, REFERENCE, manifest))
        return cls(
            identity=identity_of(manifest, sha256), operating_point=point, operating_points=points, reference=reference
        )


def identity_of(manifest: Manifest, sha256: str) -> ModelIdentity:
    """How answers name an ensemble."""
    return ModelIdentity(name=manifest.name, version=manifest.version, sha256=sha256, members=manifest.members)
