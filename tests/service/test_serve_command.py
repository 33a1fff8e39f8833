"""`prostate-alm serve`: verified before the port opens, closed to others without a token."""

import os
import signal
import socket
import subprocess
import sys
import time

import httpx2
import pytest

from prostate_alm.commands.serve import TOKEN_VARIABLE, is_loopback, serve
from prostate_alm.errors import ArgumentError, EnsembleError


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hospital.example", "localhost.example", ""])
def test_other_machines_are_let_in_only_with_a_token(parcels, host, monkeypatch):
    with pytest.raises(ArgumentError, match=TOKEN_VARIABLE):
        serve(parcels["never"], host=host)
    monkeypatch.setenv(TOKEN_VARIABLE, "  ")
    with pytest.raises(ArgumentError, match=TOKEN_VARIABLE):
        serve(parcels["never"], host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_is_this_machine(host):
    assert is_loopback(host)


def test_an_ensemble_that_does_not_load_does_not_start(parcels, tmp_path):
    with pytest.raises(EnsembleError, match="pinned"):
        serve(parcels["never"], expect_sha256="0" * 64)
    with pytest.raises(EnsembleError):
        serve(tmp_path)


def test_an_unknown_operating_point_does_not_start(parcels):
    with pytest.raises(ArgumentError, match="0-fn, 1-fn"):
        serve(parcels["never"], operating_point="zero")


def test_it_runs_answers_and_stops(parcels, dicom_zip):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "prostate_alm.cli", "serve", "--ensemble", parcels["never"], "--port", str(port)]
    server = subprocess.Popen(command, env=os.environ | {TOKEN_VARIABLE: "secret"}, stderr=subprocess.PIPE, text=True)
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(f"{address}/healthz/ready")
        with dicom_zip.open("rb") as file:
            response = httpx2.post(
                f"{address}/v1/studies?wait=60",
                files={"file": file},
                headers={"Authorization": "Bearer secret"},
                timeout=90,
            )
        assert response.json()["basis"] == "MODEL"
        assert httpx2.get(f"{address}/v1/model").status_code == 401
    finally:
        server.send_signal(signal.SIGTERM)
        said = server.communicate(timeout=30)[1]
    assert server.returncode in (0, -signal.SIGTERM)
    assert f"study {response.json()['id']} answered: DCE_NOT_NEEDED MODEL" in said
    assert "secret" not in said


def wait_until_ready(address):
    for _ in range(600):
        try:
            if httpx2.get(address).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("the service did not become ready")
