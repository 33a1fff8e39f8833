"""`prostate-alm serve`: verified before the port opens, closed to others without a token; the worker is replaced."""

import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest
from typer.testing import CliRunner

from prostate_alm.cli import app
from prostate_alm.commands.serve import serve
from prostate_alm.errors import ArgumentError, EnsembleError

TOKEN = "a token of enough characters"


@pytest.fixture(autouse=True)
def _no_token(monkeypatch):
    monkeypatch.delenv("PROSTATE_ALM_TOKEN", raising=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "hospital.example", "localhost.example", ""])
def test_other_machines_are_let_in_only_with_a_token(parcels, host, monkeypatch):
    with pytest.raises(ArgumentError, match="PROSTATE_ALM_TOKEN"):
        serve(None, flags={"ensemble": parcels["never"], "host": host})
    monkeypatch.setenv("PROSTATE_ALM_TOKEN", "  ")
    with pytest.raises(ArgumentError, match="PROSTATE_ALM_TOKEN"):
        serve(None, flags={"ensemble": parcels["never"], "host": host})


def test_an_ensemble_that_does_not_load_does_not_start(parcels, tmp_path):
    flags = {"ensemble": parcels["never"], "storage": tmp_path / "storage"}
    with pytest.raises(EnsembleError, match="pinned"):
        serve(None, flags=flags | {"expect_sha256": "0" * 64})
    with pytest.raises(EnsembleError):
        serve(None, flags=flags | {"ensemble": tmp_path})
    with pytest.raises(ArgumentError, match="0-fn, 1-fn"):
        serve(None, flags=flags | {"operating_point": "zero"})


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def serving(parcel, storage, **environment):
    """`prostate-alm serve` as a process; gives a client, the process, and the lines that it logs in the end."""
    port = free_port()
    command = [sys.executable, "-m", "prostate_alm.cli", "serve", "--ensemble", parcel, "--port", str(port)]
    said = []
    process = subprocess.Popen(
        [*command, "--storage", storage], env=os.environ | {"PROSTATE_ALM_TOKEN": TOKEN} | environment,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client:
            yield client, process, said
    finally:
        process.terminate()
        said += process.communicate(timeout=60)[1].splitlines()


def eventually(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def is_ready(client, probe="ready"):
    try:
        return client.get(f"/healthz/{probe}").status_code == 200
    except httpx2.TransportError:
        return False


def is_alive(client):
    return is_ready(client, "live")


def worker_of(process):
    children = psutil.Process(process.pid).children()
    return next((child for child in children if "prostate_alm.service.worker" in child.cmdline()), None)


def post(client, path, wait=100):
    with path.open("rb") as file:
        return client.post("/v1/studies", params={"wait": wait}, files={"file": file})


def is_gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_it_outlives_its_worker_and_its_answers_outlive_it(parcels, dicom_zip, tmp_path):
    with serving(parcels["never"], tmp_path / "storage") as (client, process, said):
        eventually(lambda: is_ready(client))
        first = worker_of(process)
        assert "torch" not in "".join(mapped.path for mapped in psutil.Process(process.pid).memory_maps())
        assert first is not None
        assert first.nice() > psutil.Process(process.pid).nice()
        environment = first.environ()
        assert not [name for name in environment if name.startswith("PROSTATE_ALM_TOKEN")]
        assert Path(environment["TMPDIR"]).parent == tmp_path / "storage" / "work"
        first.kill()
        answer = post(client, dicom_zip)  # waits for the next worker
        assert (answer.status_code, answer.json()["basis"]) == (200, "MODEL")
        assert client.get("/v1/model", headers={"Authorization": "none"}).status_code == 401
        second = worker_of(process)
        assert second is not None
        assert is_gone(first)
        assert not Path(environment["TMPDIR"]).exists()  # whatever it had unpacked there
        process.kill()
        eventually(lambda: is_gone(second))
    events = [json.loads(line) for line in said if line.startswith("{")]
    assert [event["code"] for event in events if event["event"] == "worker ended"] == [-signal.SIGKILL]
    assert [event["job"] for event in events if event["event"] == "job stored"] == [answer.json()["id"]]
    assert TOKEN not in "".join(said)
    with serving(parcels["never"], tmp_path / "storage") as (client, process, _):
        eventually(lambda: is_alive(client))
        assert client.get(answer.headers["location"]).json() == answer.json()
        third = worker_of(process)
        process.terminate()
        assert process.wait(60) in (0, -signal.SIGTERM)
        assert is_gone(third)


def test_a_second_service_in_one_storage_does_not_start(parcels, tmp_path):
    arguments = ["--ensemble", parcels["never"], "--storage", tmp_path / "storage", "--port", str(free_port())]
    command = [sys.executable, "-m", "prostate_alm.cli", "serve", *arguments]
    with serving(parcels["never"], tmp_path / "storage") as (client, _, _):
        eventually(lambda: is_alive(client))
        kept = client.post("/v1/studies", files={"file": b"no study"}).headers["location"]
        second = subprocess.run(command, check=False, capture_output=True, text=True)
        assert second.returncode == 1
        assert "another service runs in this `storage`" in " ".join(second.stderr.split())
        assert client.get(kept).status_code in {200, 202}


def test_a_database_that_is_away_is_said_in_a_sentence(parcels, tmp_path, monkeypatch):
    monkeypatch.setenv("PROSTATE_ALM_DATABASE_URL", "postgresql://me:CANARY@127.0.0.1:1/name")
    arguments = ["serve", "--ensemble", str(parcels["never"]), "--storage", str(tmp_path / "storage")]
    command = [sys.executable, "-m", "prostate_alm.cli", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "database_url" in done.stderr
    assert "CANARY" not in done.stderr
    assert len(done.stderr.splitlines()) < 10


@pytest.mark.parametrize(
    ("host", "pinned", "warned"), [("0.0.0.0", False, True), ("0.0.0.0", True, False), ("127.0.0.1", False, False)]
)
def test_an_ensemble_that_is_not_pinned_is_warned_of(*, parcels, tmp_path, host, pinned, warned):
    config = tmp_path / "service.yaml"
    sha256 = hashlib.sha256((parcels["never"] / "manifest.json").read_bytes()).hexdigest()
    pin = f"expect_sha256: {sha256}\n" if pinned else ""
    config.write_text(f"ensemble: {parcels['never']}\nstorage: {tmp_path / 'storage'}\nhost: {host}\n{pin}")
    result = check("--config", config, PROSTATE_ALM_TOKEN=TOKEN)
    assert result.exit_code == 0
    assert ("warn   pin: " in result.stdout, "expect_sha256" in result.stdout) == (warned, warned)


def check(*arguments, **environment):
    return CliRunner().invoke(app, ["serve", "--check", *map(str, arguments)], env=environment)


def test_a_good_configuration_is_ok_line_by_line_and_leaves_nothing(parcels, tmp_path):
    result = check("--ensemble", parcels["never"], "--storage", tmp_path / "storage")
    assert result.exit_code == 0
    assert [line.split()[1].rstrip(":") for line in result.stdout.splitlines()] == [
        "settings", "ensemble", "access", "storage", "database",
    ]  # fmt: skip
    assert all(line.startswith("ok ") for line in result.stdout.splitlines())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "environment", "fault"),
    [
        ("operating_point: zero", {}, "ensemble: .*0-fn, 1-fn"),
        (f"expect_sha256: '{'0' * 64}'", {}, "ensemble: .*pinned"),
        ("host: 0.0.0.0", {}, "access: .*token"),
        ("tokens_file: /nowhere/tokens.json", {}, "access: "),
        ("storage: /dev/null/storage", {}, "storage: "),
        ("", {"PROSTATE_ALM_DATABASE_URL": "postgresql://me:CANARY@127.0.0.1:1/name"}, "database: "),
        ("pacs: [{name: main, url: 'https://pacs.example', token_file: /CANARY}]", {}, "pacs main: "),
        ("ensembel: 1", {}, "settings: .*ensembel"),
        ("pacs: [{name: main, url: pacs.example}]", {}, "settings: .*url"),
    ],
)
def test_a_fault_in_the_configuration_is_said(parcels, tmp_path, *, settings, environment, fault):
    config = tmp_path / "service.yaml"
    storage = "" if settings.startswith("storage") else f"storage: {tmp_path / 'storage'}\n"
    config.write_text(f"ensemble: {parcels['never']}\n{storage}{settings}")
    result = check("--config", config, **environment)
    assert result.exit_code == 1
    assert re.search(rf"^fault  {fault}", result.stdout, re.MULTILINE), result.stdout
    assert "CANARY" not in result.stdout
