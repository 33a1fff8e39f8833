"""What a deployment chooses: a YAML file, then the environment, then the command line; the later wins.

Every setting is also an environment variable: `PROSTATE_ALM_` and its name in capitals. A secret may lie in a file,
whose path `PROSTATE_ALM_..._FILE` gives, as container platforms hand them over.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, ValidationError, model_validator

from prostate_alm.errors import ArgumentError

PREFIX = "PROSTATE_ALM_"
OTHER_VARIABLES = frozenset({"PROSTATE_ALM_DATA", "PROSTATE_ALM_KILL_AT"})  # of the tests and of fault injection
SECRETS = ("token", "database_url")
LARGEST_BYTES = 1_000_000

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CompletenessRule(_Settings):
    """When a study that comes image by image (STOW-RS) is taken as complete."""

    quiet_seconds: Seconds = Field(default=30.0, description="nothing new came for so long, and all series are there")
    incomplete_seconds: Seconds = Field(
        default=600.0, description="nothing new came for so long, and a series is missing: answered fail-safe"
    )


class Pacs(_Settings):
    """A PACS that studies are pulled from, and that results may be stored in."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")
    url: HttpUrl = Field(description="root of its DICOMweb service")
    token_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = Field(default=None, description="certificates of the hospital's own authority")
    store_sr: bool = Field(default=False, description="store the result as a DICOM SR there")
    timeout_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if (self.user is None) != (self.password_file is None) or (self.user and self.token_file):
            raise ValueError("give `token_file`, or `user` together with `password_file`, or none of them")
        return self


class ServiceSettings(_Settings):
    """Settings of one running service."""

    ensemble: Path = Field(description="the ensemble folder")
    expect_sha256: str | None = Field(default=None, description="SHA-256 that its manifest.json must have")
    operating_point: str = Field(default="0-fn", description="name of one of its operating points")
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    backend: Literal["auto", "torch", "openvino"] = "auto"
    storage: Path = Field(default=Path("triage-data"), description="folder of this service alone")
    database_url: SecretStr | None = Field(default=None, description="None: SQLite in `storage`; or postgresql://...")
    tokens_file: Path | None = Field(default=None, description="names, hashes and scopes of the tokens")
    token: SecretStr | None = Field(default=None, description="one token with every scope")
    silent: bool = Field(default=False, description="record answers, show every patient as recommended")
    audit_share: float = Field(default=0.0, ge=0, le=1, description='share of "not needed" shown as recommended')
    deadline_seconds: Seconds = Field(default=120.0, description="from acceptance to answer; then TIMEOUT")
    retention_hours: Seconds = Field(default=24.0, description="then pixel data and identities are deleted")
    queue_size: int = Field(default=20, ge=1, description="studies that may wait; more are answered 429")
    max_upload_bytes: int = Field(default=2**30, ge=1, description="size of a whole request")
    upload_seconds: Seconds = Field(default=600.0, description="a whole request may take")
    upload_idle_seconds: Seconds = Field(default=20.0, description="a client may stay silent while it sends")
    secure_cookies: bool = Field(default=False, description="for browsers: behind TLS only")
    free_disk_bytes: int = Field(default=2 * 2**30, ge=0, description="below it no study is taken")
    requests_per_minute: int = Field(default=120, ge=1, description="of one token")
    concurrent_uploads: int = Field(default=4, ge=1, description="of one token")
    complete: CompletenessRule = CompletenessRule()
    pacs: tuple[Pacs, ...] = ()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        if len({pacs.name for pacs in self.pacs}) < len(self.pacs):
            raise ValueError("`pacs` holds a name twice; give each its own")
        return self

    def for_worker(self) -> dict[str, Any]:
        """These settings as JSON values for the worker's standard input: with the database's password, no token."""
        plain = self.model_dump(mode="json", exclude={"token"})
        if self.database_url is not None:
            plain["database_url"] = self.database_url.get_secret_value()
        return plain


def load_settings(
    config: Path | None, *, environment: Mapping[str, str], flags: Mapping[str, object] | None = None
) -> ServiceSettings:
    """Put the settings together.

    Args:
        config: YAML with the fields of `ServiceSettings`.
        environment: where `PROSTATE_ALM_*` is looked up.
        flags: what the command line gave; None stands for not given.

    Raises:
        ArgumentError: a file can't be read, or a setting is unknown or out of its range; values are not quoted.
    """
    values = {} if config is None else _read_yaml(config)
    values |= _from_environment(environment)
    values |= {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return ServiceSettings.model_validate(values)
    except ValidationError as error:
        raise ArgumentError(f"the settings can't be used: {_faults(error)}") from None


def _faults(error: ValidationError) -> str:
    """Fields and what is expected of them, without what came: it may be a secret."""
    items = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"`{'.'.join(map(str, item['loc']))}`: {item['msg']}" for item in items)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            content = yaml.safe_load(file.read(LARGEST_BYTES))
    except OSError as error:
        raise ArgumentError(f"`config` can't be read ({type(error).__name__}); check its path and rights.") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ArgumentError("`config` is no YAML; correct it.") from None
    if not isinstance(content, dict):
        raise ArgumentError("`config` must hold settings by name, such as `ensemble: /srv/ensemble`.")
    return content


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings that the environment holds, secrets read from their files."""
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    values: dict[str, Any] = {}
    for name in sorted(given.keys() - OTHER_VARIABLES):
        field = name.removeprefix(PREFIX).lower()
        if field in ServiceSettings.model_fields:
            values[field] = _value(field, given[name])
        elif field.removesuffix("_file") in SECRETS and field.endswith("_file"):
            values[field.removesuffix("_file")] = _secret(name, Path(given[name]))
        else:
            raise ArgumentError(f"the environment holds `{name}`, which is no setting; see docs/triage-service.md.")
    return {field: value for field, value in values.items() if value not in ("", None)}


def _value(field: str, text: str) -> Any:
    """A number, word or path as it stands; lists and groups as YAML."""
    return yaml.safe_load(text) if field in {"complete", "pacs"} else text.strip()


def _secret(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ArgumentError(f"the file that `{name}` names can't be read ({type(error).__name__}).") from None
