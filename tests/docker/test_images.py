"""The Dockerfiles are clean, and they and compose.yaml speak of settings, extras and files that are there."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from prostate_alm.service.settings import ServiceSettings, load_settings

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


@pytest.fixture
def compose() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing(path: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    run = subprocess.run([hadolint, path], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_installs_extras_that_there_are_and_runs_without_rights(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    (extras,) = re.findall(r'"\.\[(.*)\]"', text)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert set(extras.split(",")) <= known.keys()
    assert re.search(r"^USER [1-9]\d*$", text, re.MULTILINE)
    copied = [name for line in re.findall(r"^COPY (.*) \./.*$", text, re.MULTILINE) for name in line.split()]
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8")
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}\n" in allowed


def test_the_variables_of_the_image_are_settings() -> None:
    text = (ROOT / "docker" / "service.Dockerfile").read_text(encoding="utf-8")
    variables = dict(re.findall(r"(PROSTATE_ALM_\w+)=(\S+)", text.split("\nWORKDIR")[0]))
    settings = load_settings(None, environment=variables)
    assert (settings.host, str(settings.ensemble)) == ("0.0.0.0", "/ensemble")
    assert str(settings.storage).startswith("/data/")


def test_compose_speaks_of_settings_secrets_and_volumes_that_there_are(compose: dict[str, Any], tmp_path: Path) -> None:
    environment: dict[str, str] = compose["services"]["triage"]["environment"]
    secrets = {f"/run/secrets/{name}" for name in compose["services"]["triage"]["secrets"]}
    assert set(re.findall(r"/run/secrets/\w+", str(environment))) == secrets
    (tmp_path / "url").write_text("postgresql://triage:x@postgres/triage")
    told = environment | {"PROSTATE_ALM_DATABASE_URL_FILE": str(tmp_path / "url"), "PROSTATE_ALM_ENSEMBLE": "/ensemble"}
    settings = load_settings(None, environment=told)
    assert isinstance(settings, ServiceSettings)
    assert settings.pacs[0].store_sr
    for service in compose["services"].values():
        assert set(service.get("secrets", [])) <= compose["secrets"].keys()
        named = [volume.split(":")[0] for volume in service["volumes"] if isinstance(volume, str)]
        assert set(named) <= compose["volumes"].keys()
