"""Nothing reaches the log but constant events under keys of the list."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.logs import ALLOWED, EVENT, only_allowed

SERVICE = Path(__file__).parents[2] / "prostate_alm" / "service"

SCRIPT = """
import logging, warnings, sys
import structlog
logging.getLogger("early").addHandler(logging.StreamHandler(sys.stdout))
from prostate_alm.service.logs import configure_logs
configure_logs()
log = structlog.get_logger()
log.info("study answered", job="0" * 32, basis="MODEL", reasons=["TIMEOUT"], seconds=1.5)
log.warning("study answered", patient="CANARY", caller="CANARY^NAME", job="1")
log.error("CANARY in an event")
log.debug("study claimed")
logging.getLogger("early").warning("CANARY")
logging.getLogger("pydicom").warning("CANARY %s", "CANARY")
logging.getLogger("uvicorn.error").log(35, "CANARY")
logging.getLogger("uvicorn.error").info("CANARY")
warnings.warn("CANARY")
try:
    raise ValueError("CANARY")
except ValueError:
    logging.getLogger("asyncio").exception("CANARY")
"""


@pytest.fixture(scope="module")
def lines():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert "CANARY" not in run.stdout + run.stderr
    assert run.stdout == ""
    return [json.loads(line) for line in run.stderr.splitlines()]


def test_an_entry_says_what_and_when(lines):
    first = lines[0]
    assert first.pop("timestamp").endswith("Z")
    assert first == {"event": "study answered", "level": "info", "job": "0" * 32, "basis": "MODEL",
                     "reasons": ["TIMEOUT"], "seconds": 1.5}  # fmt: skip


def test_what_is_not_allowed_is_dropped_and_counted(lines):
    assert (lines[1]["dropped"], lines[1]["job"]) == (2, "1")
    assert (lines[2]["event"], lines[2]["level"]) == ("an event without a constant name", "error")


def test_libraries_lose_their_text_and_keep_their_name(lines):
    spoke = [(line["library"], line["level"]) for line in lines[3:]]
    assert spoke == [("early", "warning"), ("pydicom", "warning"), ("uvicorn.error", "warning"), ("asyncio", "error")]
    assert lines[-1]["error"].startswith("ValueError at ")


@pytest.mark.parametrize("value", ["A^B", "Müller", "x" * 201, "a\nb", {"a": 1}, object(), ["A^B"], b"x", '"quoted"'])
def test_a_value_that_could_be_free_text_is_dropped(value):
    kept = only_allowed(None, "info", {"event": "study answered", "state": value})
    assert kept == {"event": "study answered", "dropped": 1}


def test_no_key_for_a_patient_is_on_the_list():
    words = ("patient", "uid", "birth", "accession", "date", "file", "path", "url", "message", "exception", "study")
    assert [key for key in ALLOWED if any(word in key for word in words)] == []


def test_an_error_is_described_without_its_text():
    with pytest.raises(ValueError, match="CANARY") as caught:
        raise ValueError("CANARY")
    assert describe_error(caught.value).startswith("ValueError at ")
    assert "CANARY" not in describe_error(caught.value)
    assert describe_error(KeyError("CANARY")) == "KeyError"


def log_calls():
    for path in sorted(SERVICE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("logger."):
                yield path.name, node


def constants(node):
    """What an event may be: constants, and choices between them."""
    return (
        constants(node.body) + constants(node.orelse) if isinstance(node, ast.IfExp) else [getattr(node, "value", None)]
    )


def test_everything_that_the_service_logs_would_pass_the_list():
    calls = list(log_calls())
    assert len(calls) > 5
    for name, call in calls:
        assert len(call.args) == 1, name
        assert all(isinstance(event, str) and EVENT.fullmatch(event) for event in constants(call.args[0])), name
        assert {keyword.arg for keyword in call.keywords} <= ALLOWED, name
