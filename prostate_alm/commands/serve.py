"""`prostate-alm serve`: run the triage service."""

import ipaddress
import logging
import os
import warnings
from pathlib import Path

import typer
import uvicorn
from pydantic import SecretStr

from prostate_alm.errors import ArgumentError
from prostate_alm.inference.ensemble import load_ensemble
from prostate_alm.service.app import create_app
from prostate_alm.service.settings import ServiceSettings

TOKEN_VARIABLE = "PROSTATE_ALM_TOKEN"  # noqa: S105 - the name of the variable, not a token
GRACE_SECONDS = 10


def serve(
    ensemble: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    operating_point: str = "0-fn",
    expect_sha256: str | None = None,
    device: str = "auto",
) -> None:
    """Verify the ensemble, then open the port and answer until stopped.

    With a token in the environment variable `PROSTATE_ALM_TOKEN` every route but the health probes needs it.

    Args:
        ensemble: the ensemble folder.
        host: address to listen on.
        port: port to listen on.
        operating_point: name of one of the ensemble's operating points.
        expect_sha256: the pinned SHA-256 of its manifest.
        device: auto, cpu or cuda.

    Raises:
        ArgumentError: `host` is reachable from outside and there is no token, or the operating point or the device is
            unknown.
        EnsembleError: the ensemble does not load.
    """
    token = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not token and not is_loopback(host):
        raise ArgumentError(
            f"`host` {host} can be reached from other machines, and {TOKEN_VARIABLE} is not set. "
            "Set it to a long random token, or listen on 127.0.0.1."
        )
    loaded = load_ensemble(ensemble, expect_sha256=expect_sha256, device=device)
    settings = ServiceSettings(operating_point=operating_point, token=SecretStr(token) if token else None)
    app = create_app(loaded, settings)
    typer.echo(f"ensemble {loaded.manifest.name} {loaded.manifest.version}, manifest SHA-256 {loaded.sha256}", err=True)
    typer.echo(f"operating point {operating_point}; research use only", err=True)
    quiet_about_patients()
    # the access log would keep whatever clients write into URLs
    uvicorn.run(app, host=host, port=port, access_log=False, timeout_graceful_shutdown=GRACE_SECONDS)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches `host`; a name other than localhost counts as reachable."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def quiet_about_patients() -> None:
    """Log our own decisions, and silence what pydicom and nibabel say of a file: it quotes the file's values."""
    logging.getLogger("prostate_alm").setLevel(logging.INFO)
    for library in ("pydicom", "nibabel"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
