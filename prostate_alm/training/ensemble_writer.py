"""Write an ensemble folder: a MONAI inference bundle with its operating points, seals and model card."""

import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
import yaml

from prostate_alm import __version__
from prostate_alm.errors import EnsembleError
from prostate_alm.evaluation.known_studies import KnownStudies
from prostate_alm.evaluation.operating_point import OperatingPoints
from prostate_alm.evaluation.reference import Reference
from prostate_alm.evaluation.validation_scores import ValidationScores
from prostate_alm.networks.ensemble import EnsembleNet
from prostate_alm.parcel import (
    INFERENCE_CONFIG,
    KNOWN_STUDIES,
    MANIFEST,
    OPERATING_POINTS,
    REFERENCE,
    VALIDATION,
    WEIGHTS,
    Manifest,
    files_of,
    write_json,
)
from prostate_alm.preprocessing import PREPROCESSING_VERSION

ENSEMBLE_TARGET = "prostate_alm.networks.ensemble.EnsembleNet"
STUDY_TO_IMAGE_TARGET = "prostate_alm.preprocessing.StudyToImage"
Setting = str | int | float | bool


@dataclass(frozen=True, eq=False)
class EnsembleContent:
    """What goes into an ensemble folder.

    Attributes:
        name: of the ensemble.
        bundle: the training bundle; its licence, metadata and inference config are carried over.
        network: arguments of `TwoPathNet`.
        weights: flat state_dict of each member.
        profile: of the preprocessing.
        box_mm: of the preprocessing.
        points: operating points.
        reference: what it was validated on.
        validation: the scores that the points were set on.
        known: the studies it was made with.
        card: model card, Markdown.
        seeds: one a member.
        datalist_sha256: what it was trained on.
        training: the arguments of the run.
    """

    name: str
    bundle: Path
    network: Mapping[str, Any]
    weights: Sequence[Mapping[str, torch.Tensor]]
    profile: str
    box_mm: Sequence[float]
    points: OperatingPoints
    reference: Reference
    validation: ValidationScores
    known: KnownStudies
    card: str
    seeds: Sequence[int]
    datalist_sha256: str
    training: Mapping[str, Setting]


def write_ensemble(folder: Path, content: EnsembleContent) -> None:
    """Write the whole folder beside its place, its manifest last, then rename it: it is there whole or not at all.

    Raises:
        EnsembleError: `folder` exists.
    """
    if folder.exists():
        raise EnsembleError(
            f"`{folder.name}` exists; an ensemble is never edited. Choose another folder or move it away."
        )
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    for place in ("configs", "models", "docs"):
        (building / place).mkdir(parents=True)
    shutil.copy(content.bundle / "LICENSE", building / "LICENSE")
    shutil.copy(content.bundle / "configs" / "logging.conf", building / "configs" / "logging.conf")
    shutil.copy(content.bundle / "configs" / "metadata.json", building / "configs" / "metadata.json")
    (building / INFERENCE_CONFIG).write_text(_inference_config(content), encoding="utf-8")
    torch.save(join_members(content.network, content.weights).state_dict(), building / WEIGHTS)
    (building / "docs" / "README.md").write_text(content.card, encoding="utf-8")
    write_json(building / OPERATING_POINTS, content.points)
    write_json(building / REFERENCE, content.reference)
    write_json(building / VALIDATION, content.validation)
    write_json(building / KNOWN_STUDIES, content.known)
    write_json(building / MANIFEST, _manifest(building, content))
    building.rename(folder)


def join_members(network: Mapping[str, Any], weights: Sequence[Mapping[str, torch.Tensor]]) -> EnsembleNet:
    """One network of all members, on the CPU.

    Args:
        network: arguments of `TwoPathNet`.
        weights: flat state_dict of each member.
    """
    ensemble = EnsembleNet(members=len(weights), network=dict(network))
    for member, state in zip(ensemble.members, weights, strict=True):
        member.load_state_dict(state)
    return ensemble


def _inference_config(content: EnsembleContent) -> str:
    """The bundle's inference config with this ensemble's network and preprocessing."""
    text = (content.bundle / "configs" / "inference.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    config.pop("loss_name", None)  # it decides on a layer in the bundle's own `network_def`, which is replaced
    network = json.loads(json.dumps(dict(content.network)))
    config["network_def"] = {"_target_": ENSEMBLE_TARGET, "members": len(content.weights), "network": network}
    box = [float(size) for size in content.box_mm]
    image = {"profile": content.profile, "box_mm": box, "version": PREPROCESSING_VERSION}
    config["study_to_image"] = {"_target_": STUDY_TO_IMAGE_TARGET, **image}
    return yaml.safe_dump(config, sort_keys=False)


def _manifest(building: Path, content: EnsembleContent) -> Manifest:
    return Manifest(
        name=content.name,
        version=__version__,
        members=len(content.weights),
        files=files_of(building),
        versions={
            "prostate-alm": __version__,
            "torch": metadata.version("torch"),
            "monai": metadata.version("monai"),
            "python": platform.python_version(),
        },
        seeds=list(content.seeds),
        datalist_sha256=content.datalist_sha256,
        training=dict(content.training),
    )
