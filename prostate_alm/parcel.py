"""The handover between training and serving: the files of an ensemble folder and their seals.

Training writes the folder, serving reads it, and neither imports the other; what both must agree on
stands here. An ensemble folder is a MONAI inference bundle with these files beside it::

    configs/metadata.json  configs/inference.yaml  configs/logging.conf
    models/model.pt            flat state_dict of the `network_def` in inference.yaml (all members)
    operating_points.json      thresholds with their evidence
    reference.json             what it was validated on: golden logits, limits, quantiles
    validation.json            the scores, with labels, that the thresholds were set on
    studies.json               hashes of the studies it was made with
    docs/README.md             the model card
    manifest.json              SHA-256 of every other file; its own hash names the ensemble
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prostate_alm.errors import EnsembleError
from prostate_alm.files import replacing

SCHEMA_VERSION = 2
"""Of the manifest; 2 added `parent_sha256` and `recalibrated_on_sha256`. Version 1 is read."""
MANIFEST = "manifest.json"
OPERATING_POINTS = "operating_points.json"
REFERENCE = "reference.json"
VALIDATION = "validation.json"
KNOWN_STUDIES = "studies.json"
INFERENCE_CONFIG = "configs/inference.yaml"
WEIGHTS = "models/model.pt"


class Manifest(BaseModel):
    """`manifest.json`: what is in the folder and how it came to be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = SCHEMA_VERSION
    name: str
    version: str
    parent_sha256: str | None = Field(default=None, description="of the ensemble that this one was recalibrated from")
    recalibrated_on_sha256: str | None = Field(default=None, description="of the site's datalist")
    members: int = Field(ge=1)
    files: dict[str, str] = Field(description="SHA-256 by path, relative to the folder, of every other file")
    versions: dict[str, str] = Field(description="of prostate-alm, torch, monai and python that trained it")
    seeds: list[int]
    datalist_sha256: str
    training: dict[str, str | int | float | bool] = Field(description="the arguments of the run")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_of(folder: Path) -> dict[str, str]:
    """SHA-256 by relative POSIX path of every file under `folder` but the manifest itself.

    Raises:
        EnsembleError: for a symbolic link, which could point out of the folder.
    """
    hashes: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            raise EnsembleError(f"`{name}` in the ensemble is a symbolic link; copy the file itself into the folder.")
        if path.is_file() and name != MANIFEST:
            hashes[name] = sha256_of(path)
    return hashes


def write_json(path: Path, content: BaseModel | Mapping[str, object] | Sequence[object]) -> None:
    """Write JSON so that `path` holds either the old content or the whole new one."""
    text = content.model_dump_json(indent=2) if isinstance(content, BaseModel) else json.dumps(content, indent=2)
    with replacing(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path, *, expect_sha256: str | None = None) -> tuple[Manifest, str]:
    """Read and verify an ensemble folder against its manifest.

    Args:
        folder: the ensemble.
        expect_sha256: the pinned SHA-256 of `manifest.json`; None accepts any.

    Returns:
        The manifest and its own SHA-256, the ensemble's identity.

    Raises:
        EnsembleError: the manifest is missing or malformed, is not the pinned one, or a file is
            missing, extra or changed.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise EnsembleError(
            f"`{folder.name}` holds no {MANIFEST}: it is no finished ensemble. "
            "Resume `prostate-alm train`, or copy the folder whole."
        )
    content = path.read_bytes()
    identity = hashlib.sha256(content).hexdigest()
    if expect_sha256 is not None and identity != expect_sha256.lower():
        raise EnsembleError(f"the ensemble's manifest has SHA-256 {identity}, pinned is {expect_sha256.lower()}.")
    manifest = _parsed(content)
    found = files_of(folder)
    differing = sorted(
        name for name in found.keys() | manifest.files.keys() if found.get(name) != manifest.files.get(name)
    )
    if differing:
        raise EnsembleError(
            f"files differ from {MANIFEST}: {', '.join(differing)}. Restore the folder as it was written."
        )
    return manifest, identity


def _parsed(content: bytes) -> Manifest:
    try:
        version = _Versioned.model_validate_json(content).schema_version
        if not 1 <= version <= SCHEMA_VERSION:
            raise EnsembleError(
                f"{MANIFEST} has `schema_version` {version}, this release reads 1 to {SCHEMA_VERSION}; use the release "
                "that wrote the ensemble."
            )
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        raise EnsembleError(f"{MANIFEST} is malformed: {error}") from None


class _Versioned(BaseModel):
    """The version alone, to name it before anything else of the file is judged."""

    schema_version: int = 1


def sealed_bytes(folder: Path, name: str, manifest: Manifest) -> bytes:
    """The bytes of a file, hashed after they were read: what is used is what was sealed.

    Raises:
        EnsembleError: the manifest does not know the file, or it changed since.
    """
    if name not in manifest.files:
        raise EnsembleError(f"the ensemble holds no `{name}`; copy the folder whole.")
    content = (folder / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != manifest.files[name]:
        raise EnsembleError(f"`{name}` changed while the ensemble was read; keep the folder still and start again.")
    return content
