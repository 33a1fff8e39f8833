"""The reference client believes nothing but a clean "not needed"."""

import json
import runpy
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "triage_client.py"
NOT_NEEDED = {"recommendation": "DCE_NOT_NEEDED", "basis": "MODEL", "reasons": []}


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    """Answers each POST with its `reply`, (status, body), and keeps what came."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.server.came = (self.headers, self.rfile.read(int(self.headers["Content-Length"])))  # pyright: ignore[reportAttributeAccessIssue]
            status, body = self.server.reply  # pyright: ignore[reportAttributeAccessIssue]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as answering:
        threading.Thread(target=answering.serve_forever, daemon=True).start()
        yield answering
        answering.shutdown()


def ask(server: ThreadingHTTPServer, study: Path, status: int, body: bytes) -> bool:
    server.reply = (status, body)  # pyright: ignore[reportAttributeAccessIssue]
    return runpy.run_path(str(EXAMPLE))["is_dce_needed"](study, f"http://127.0.0.1:{server.server_port}")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    path = tmp_path / "study.zip"
    path.write_bytes(b"PK of a study")
    return path


def test_a_clean_not_needed_is_believed(server: Any, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIAGE_TOKEN", "of-the-test")
    assert ask(server, study, 200, json.dumps(NOT_NEEDED).encode()) is False
    headers, body = server.came
    assert headers["Authorization"] == "Bearer of-the-test"
    assert b'name="file"' in body
    assert b"\r\n\r\nPK of a study\r\n--" in body


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (202, json.dumps(NOT_NEEDED)),
        (500, json.dumps(NOT_NEEDED)),
        (200, json.dumps(NOT_NEEDED | {"recommendation": "DCE_RECOMMENDED"})),
        (200, json.dumps(NOT_NEEDED | {"basis": "FAILSAFE"})),
        (200, json.dumps(NOT_NEEDED | {"reasons": ["TIMEOUT"]})),
        (200, json.dumps({"recommendation": "DCE_NOT_NEEDED"})),
        (200, json.dumps(NOT_NEEDED)[:-5]),
        (200, "[]"),
        (200, ""),
    ],
)
def test_whatever_else_comes_means_recommended(server: Any, study: Path, status: int, body: str) -> None:
    assert ask(server, study, status, body.encode()) is True


def test_no_service_and_no_file_mean_recommended(server: Any, study: Path, tmp_path: Path) -> None:
    needed = runpy.run_path(str(EXAMPLE))["is_dce_needed"]
    assert needed(tmp_path / "nothing.zip", f"http://127.0.0.1:{server.server_port}") is True
    server.shutdown()
    server.server_close()
    assert needed(study, f"http://127.0.0.1:{server.server_port}") is True
