"""Load an ensemble folder and score studies with it. Knows no threshold."""

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from prostate_alm.errors import ArgumentError, EnsembleError
from prostate_alm.evaluation.reference import Reference
from prostate_alm.inference.believability import believability, read_reference
from prostate_alm.inference.config import InferenceConfig, read_inference_config
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
from prostate_alm.preprocessing import Preprocessing
from prostate_alm.preprocessing.phantoms import golden_studies
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
        device: where the network runs.
        preprocessing: the same as in training.
    """

    def __init__(
        self,
        manifest: Manifest,
        sha256: str,
        *,
        operating_points_json: bytes,
        reference: Reference,
        network: EnsembleNet,
        preprocessing: Preprocessing,
        device: torch.device,
    ) -> None:
        self.manifest = manifest
        self.sha256 = sha256
        self.operating_points_json = operating_points_json
        self.reference = reference
        self.preprocessing = preprocessing
        self.device = device
        self._network = network.to(device).eval()

    def score(self, study: Study) -> Score:
        """Score one study: float32, one thread, so that the same study gets the same logits everywhere (within 1e-5).

        Raises:
            StudyRefusedError: the study can't be prepared.
        """
        with _reproducible():
            prepared = self.preprocessing(study)
            with torch.inference_mode():
                logits = self._network.member_logits(prepared.image[None].to(self.device))
        members = tuple(float(logit) for logit in logits[0].tolist())
        believed = believability(self.reference, members, prepared.image)
        return Score(members, sum(members) / len(members), (*prepared.quality, *believed))

    def warm_up(self) -> None:
        """Score a built study, so that the first patient does not wait for caches and kernels.

        Raises:
            EnsembleError: the logits are not finite.
        """
        score = self.score(next(iter(golden_studies().values())))
        if not math.isfinite(score.logit):
            raise EnsembleError("the ensemble's logits are not finite; its weights are unusable. Train it again.")


def load_ensemble(folder: Path, *, expect_sha256: str | None = None, device: str = "auto") -> Ensemble:
    """Verify an ensemble folder against its manifest and load it; no code of the folder is run.

    Args:
        folder: written by `prostate-alm train`.
        expect_sha256: the pinned SHA-256 of its `manifest.json`; None accepts any.
        device: "auto" (a CUDA GPU where there is one), "cpu" or "cuda".

    Raises:
        EnsembleError: the folder is incomplete, changed, not the pinned one, or does not describe an ensemble.
        ArgumentError: `device` is unknown or absent.
    """
    place = _device(device)
    manifest, sha256 = read_manifest(folder, expect_sha256=expect_sha256)
    config = read_inference_config(sealed_bytes(folder, INFERENCE_CONFIG, manifest))
    if config.network_def.members != manifest.members:
        raise EnsembleError(
            f"the manifest names {manifest.members} members, configs/inference.yaml {config.network_def.members}."
        )
    return Ensemble(
        manifest,
        sha256,
        operating_points_json=sealed_bytes(folder, OPERATING_POINTS, manifest),
        reference=read_reference(sealed_bytes(folder, REFERENCE, manifest), members=manifest.members),
        network=_network(config, sealed_bytes(folder, WEIGHTS, manifest)),
        preprocessing=_preprocessing(config),
        device=place,
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


@contextmanager
def _reproducible() -> Iterator[None]:
    """One CPU thread and no TF32: neither the machine's load nor its GPU moves a logit past the guard band."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_num_threads(threads)
