"""Load an ensemble folder and score studies with it. Knows no threshold."""

import io
from dataclasses import dataclass
from pathlib import Path

import torch

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.reference import Reference
from prostate_alm.inference.backends import choose_members
from prostate_alm.inference.believability import believability, read_reference
from prostate_alm.inference.config import InferenceConfig, read_inference_config
from prostate_alm.inference.golden import TOLERANCE, golden_difference
from prostate_alm.inference.members import Members, NetworkPath, reproducible
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.networks.weights import load_weights
from prostate_alm.parcel import (
    INFERENCE_CONFIG,
    OPERATING_POINTS,
    REFERENCE,
    WEIGHTS,
    Manifest,
    read_manifest,
    sealed_bytes,
)
from prostate_alm.preprocessing import PreparedImage, Preprocessing
from prostate_alm.preprocessing.phantoms import golden_images
from prostate_alm.study import QualityFinding, Study

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Score:
    """What an ensemble says of a study.

    Attributes:
        member_logits: one a member, in the order of the members; may hold NaN or infinity.
        logit: their mean.
        quality: every quality gate with its figure, then the spread of the members and the distance from the
            validated patients with theirs.
    """

    member_logits: tuple[float, ...]
    logit: float
    quality: tuple[QualityFinding, ...]


class Ensemble:
    """A verified ensemble, ready to score. Made by `load_ensemble`.

    Attributes:
        manifest: what the folder says of itself.
        sha256: of the manifest; the ensemble's identity.
        operating_points_json: content of `operating_points.json`, unparsed.
        reference: what it was validated on.
        preprocessing: the same as in training.
        members: the networks, on the backend that was chosen.
        backend_note: why it is not the faster backend; empty when it is, or when torch was asked for.
    """

    def __init__(
        self,
        manifest: Manifest,
        sha256: str,
        *,
        operating_points_json: bytes,
        reference: Reference,
        preprocessing: Preprocessing,
        members: Members,
        backend_note: str,
    ) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.operating_points_json = operating_points_json
        self.reference = reference
        self.preprocessing = preprocessing
        self.members = members
        self.backend_note = backend_note

    @property
    def backend(self) -> str:
        """What computes the members: "torch" or "openvino"."""
        return self.members.backend

    def score(self, study: Study) -> Score:
        """Prepare and score one study.

        Raises:
            StudyRefusedError: the study can't be prepared.
        """
        return self.score_prepared(self.prepare(study))

    def prepare(self, study: Study) -> PreparedImage:
        """What the members see of a study, in one thread.

        Raises:
            StudyRefusedError: the study can't be prepared.
        """
        with reproducible():
            return self.preprocessing(study)

    def score_prepared(self, prepared: PreparedImage) -> Score:
        """Score a prepared study: float32, one thread, so that it gets the same logits everywhere (within 1e-5)."""
        with reproducible():
            members = tuple(self.members.logits(prepared.image).tolist())
        believed = believability(self.reference, members, prepared.image)
        return Score(members, sum(members) / len(members), (*prepared.quality, *believed))

    def path_share(self, path: NetworkPath, image: torch.Tensor) -> float:
        """The part of the mean logit of an image ``[C, H, W, D]`` that comes through one path."""
        with reproducible():
            return float(self.members.path_share(path, image).double().mean())

    def verify_golden(self) -> float:
        """Prepare and score the phantoms as if they were patients.

        Returns:
            The largest difference of a logit from the stored one.

        Raises:
            EnsembleError: it is above 1e-4, or a logit is not finite.
        """
        with reproducible():
            difference = golden_difference(self.members, golden_images(self.preprocessing), self.reference.golden)
        if not difference <= TOLERANCE:
            raise EnsembleError(
                f"the logits of the golden phantoms now differ from the stored ones by {difference:.1e}, at most "
                f"{TOLERANCE:.0e} is expected; start again, on another machine if it stays."
            )
        return difference


def load_ensemble(
    folder: Path, *, expect_sha256: str | None = None, device: str = "auto", backend: str = "auto"
) -> Ensemble:
    """Verify an ensemble folder against its manifest, load it, and see that it gives its golden logits here.

    No code of the folder is run.

    Args:
        folder: written by `prostate-alm train`.
        expect_sha256: the pinned SHA-256 of its `manifest.json`; None accepts any.
        device: "auto" (a CUDA GPU where there is one), "cpu" or "cuda".
        backend: "auto" (OpenVINO where it is installed and exact), "torch" or "openvino".

    Raises:
        EnsembleError: the folder is incomplete, changed, not the pinned one, does not describe an ensemble, or its
            golden logits are not met.
        ArgumentError: `device` or `backend` is unknown or absent.
    """
    place = _device(device)
    manifest, sha256 = read_manifest(folder, expect_sha256=expect_sha256)
    config = read_inference_config(sealed_bytes(folder, INFERENCE_CONFIG, manifest))
    if config.network_def.members != manifest.members:
        raise EnsembleError(
            f"the manifest names {manifest.members} members, configs/inference.yaml {config.network_def.members}."
        )
    network = _network(config, sealed_bytes(folder, WEIGHTS, manifest))
    reference = read_reference(sealed_bytes(folder, REFERENCE, manifest), members=manifest.members)
    preprocessing = _preprocessing(config)
    with reproducible():
        choice = choose_members(
            network, backend=backend, device=place, images=golden_images(preprocessing), golden=reference.golden
        )
    return Ensemble(
        manifest,
        sha256,
        operating_points_json=sealed_bytes(folder, OPERATING_POINTS, manifest),
        reference=reference,
        preprocessing=preprocessing,
        members=choice.members,
        backend_note=choice.note,
    )


def _network(config: InferenceConfig, weights: bytes) -> EnsembleNet:
    definition = config.network_def
    try:
        network = EnsembleNet(definition.members, definition.network)
        network.load_state_dict(load_weights(io.BytesIO(weights)), strict=True)
    except Exception as error:  # whatever unfit arguments or bytes make torch raise
        raise EnsembleError(
            f"`{WEIGHTS}` does not hold the weights of `network_def` ({type(error).__name__}); train it again."
        ) from error
    return network


def _preprocessing(config: InferenceConfig) -> Preprocessing:
    image = config.study_to_image
    try:
        return Preprocessing(image.profile, image.box_mm, version=image.version)
    except ArgumentError as error:
        raise EnsembleError(f"configs/inference.yaml asks for images that can't be made: {error}") from None


def _device(name: str) -> torch.device:
    if name not in DEVICES:
        raise ArgumentError(f"`device` is {name!r}. Available: {', '.join(DEVICES)}.")
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ArgumentError("`device` is 'cuda', but torch finds no CUDA GPU; use 'cpu' or 'auto'.")
    return torch.device("cuda" if name != "cpu" and present else "cpu")
