"""Requests from the OpenAPI document, good and bad: no fault of the service, every reply as the document says."""

import contextlib

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient

from prostate_alm.service.app import create_app
from prostate_alm.service.settings import ServiceSettings


@pytest.fixture(scope="module")
def app(parcels, tmp_path_factory, no_host):
    storage = tmp_path_factory.mktemp("fuzz") / "storage"
    values = ServiceSettings(
        ensemble=parcels["never"], storage=storage, requests_per_minute=100_000, free_disk_bytes=0,
        max_upload_bytes=100_000, queue_size=10_000,
    )  # fmt: skip
    made = create_app(values, host=no_host)
    with TestClient(made, base_url="http://localhost"):
        yield made


STOW = 'multipart/related; type="application/dicom"'


@schemathesis.serializer(STOW)
def one_part(_, value):
    """Whatever comes, as the one instance of a STOW request."""
    content = value if isinstance(value, bytes) else str(value).encode()
    return b"--b\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--b--\r\n"


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SETTINGS = settings(
    max_examples=15,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


def check(case):
    """One request, and what must hold of its reply."""
    if isinstance(case.query.get("wait") if case.query else None, int | float):
        case.query["wait"] = 0  # there is no worker to wait for
    headers = {"Host": "localhost"}
    if case.media_type == STOW:
        headers["Content-Type"] = f"{STOW}; boundary=b"
    response = case.call(headers=headers)
    may_be_unready = case.path == "/healthz/ready" and response.status_code == 503
    case.validate_response(response, checks=CHECKS[may_be_unready:])
    if response.status_code < 300 and case.path.startswith("/v1/studies"):
        assert "DCE_NOT_NEEDED" not in response.text
    return response.status_code


def statuses_of(operation, mode):
    """The replies to many requests of one kind."""
    statuses = set()

    @SETTINGS
    @given(operation.as_strategy(generation_mode=mode))
    def one(case):
        statuses.add(check(case))

    with contextlib.suppress(Unsatisfiable):  # nothing to get wrong in a request without parameters
        one()
    return statuses


def test_no_request_breaks_it(app):
    document = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})
    operations = [result.ok() for result in document.get_all_operations()]  # pyright: ignore[reportAttributeAccessIssue]
    found = {
        (operation.label, mode.value): statuses_of(operation, mode)
        for operation in operations
        for mode in schemathesis.GenerationMode
    }
    assert found["GET /v1/model", "positive"] == {200}
    assert 202 in found["POST /v1/studies", "positive"]
    assert 422 in found["POST /v1/studies", "negative"]
