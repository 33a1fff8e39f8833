"""What a deployment chooses."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class ServiceSettings(BaseModel):
    """Settings of one running service."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operating_point: str = Field(default="0-fn", description="name of one of the ensemble's operating points")
    token: SecretStr | None = Field(
        default=None, description="bearer token; None lets everybody in who reaches the port"
    )
    storage: Path | None = Field(
        default=None,
        description="folder for uploads, for this service alone: what an earlier run left in it is deleted at start; "
        "None takes a fresh temporary folder",
    )
    max_upload_bytes: int = Field(default=2**30, ge=1, description="size of a whole request")
    queue_size: int = Field(default=8, ge=1, description="studies that may wait; more are answered 429")
    deadline_seconds: float = Field(default=120.0, gt=0, description="from acceptance to answer; then TIMEOUT")
    kept_answers: int = Field(default=1000, ge=1, description="finished answers that stay readable")
