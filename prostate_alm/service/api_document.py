"""The OpenAPI document: what FastAPI writes, with the problems and the tokens that every route has in common."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI

from prostate_alm.service.authentication import OPEN
from prostate_alm.service.problems import MEDIA_TYPE, Problem

PROBLEM = {"$ref": "#/components/schemas/Problem"}
ANY_PROBLEM = {
    "description": "A problem (RFC 9457): no answer for the patient",
    "content": {MEDIA_TYPE: {"schema": PROBLEM}},
}
TOKEN = {"type": "http", "scheme": "bearer", "description": "see `prostate-alm token`"}
UNUSED = ("HTTPValidationError", "ValidationError")


def describe_api(app: FastAPI) -> None:
    """Make `app` write its document that way; its routes must be there when it is first asked for."""
    plain: Callable[[], dict[str, Any]] = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(plain())
        return app.openapi_schema

    app.openapi = document


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs", {}), "Problem": problem}
    for name in UNUSED:
        schemas.pop(name, None)
    components["securitySchemes"] = {"token": TOKEN}
    document["security"] = [{"token": []}]
    for path, operations in document.get("paths", {}).items():
        for operation in operations.values():
            responses = operation["responses"]
            if MEDIA_TYPE not in responses.get("422", {}).get("content", {}):
                responses.pop("422", None)  # FastAPI's own, which this service never sends
            responses.setdefault("4XX", ANY_PROBLEM)
            if path.startswith(OPEN):
                operation["security"] = []
    return document
