"""A parcel of another version is refused by its version; an older one that can be read is read."""

import json
from pathlib import Path
from typing import Any

import pytest

from prostate_alm.errors import EnsembleError
from prostate_alm.parcel import MANIFEST, SCHEMA_VERSION, Manifest, read_manifest, write_json


@pytest.fixture
def content() -> dict[str, Any]:
    """Of the manifest of an empty folder."""
    return {
        "schema_version": SCHEMA_VERSION, "name": "a", "version": "1", "members": 1, "files": {}, "versions": {},
        "seeds": [], "datalist_sha256": "", "training": {},
    }  # fmt: skip


def test_a_manifest_is_read_again(content: dict[str, Any], tmp_path: Path) -> None:
    manifest = Manifest(**content, parent_sha256="f" * 64)
    write_json(tmp_path / MANIFEST, manifest)
    assert read_manifest(tmp_path)[0] == manifest


def test_the_first_version_had_no_parent_and_is_read(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(content | {"schema_version": 1}))
    manifest, _ = read_manifest(tmp_path)
    assert manifest.parent_sha256 is None


@pytest.mark.parametrize("version", [0, SCHEMA_VERSION + 1])
def test_another_version_is_refused_by_its_number(content: dict[str, Any], tmp_path: Path, version: int) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps(content | {"schema_version": version, "new field": 1}))
    with pytest.raises(EnsembleError, match=f"`schema_version` {version}, this release reads 1 to {SCHEMA_VERSION}"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", '{"schema_version": "x"}', '{"schema_version": 2}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(EnsembleError, match=f"{MANIFEST} is malformed"):
        read_manifest(tmp_path)
