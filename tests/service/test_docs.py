"""The examples of docs/triage-service.md run, and what they show is what the service answers."""

import json
import re
from pathlib import Path

import pytest

from prostate_alm.report.triage import TriageAnswer
from prostate_alm.service.problems import ProblemCode

PAGE = (Path(__file__).parents[2] / "docs" / "triage-service.md").read_text(encoding="utf-8")


def block(language):
    found = re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found
    return found[1]


def test_the_shown_answer_is_an_answer():
    TriageAnswer.model_validate(json.loads(block("json")))


def test_every_problem_code_is_explained():
    codes = {code.value for code in ProblemCode} - {"NOT_FOUND", "METHOD_NOT_ALLOWED"}
    assert not [code for code in codes if f"`{code}`" not in PAGE]


@pytest.fixture(scope="module")
def is_dce_needed():
    namespace = {}
    exec(block("python"), namespace)
    return namespace["is_dce_needed"]


def test_the_client_spares_dce_only_on_the_models_word(is_dce_needed, client, post, dicom_zip):
    assert is_dce_needed(lambda: post(client, file=dicom_zip, wait=0))
    assert not is_dce_needed(lambda: post(client, file=dicom_zip))  # the same study: the same answer, now there
    assert is_dce_needed(lambda: post(client, file=b"no study"))
    assert is_dce_needed(lambda: client.get("/v1/studies/nothing"))
    assert is_dce_needed(lambda: client.get("/docs"))
    assert is_dce_needed(lambda: 1 / 0)
