"""A sample of `benchmarks/service_mutants.py`: whatever is damaged, the service answers, and goes on answering."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def mutants(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("service_mutants")


def test_every_damaged_study_is_answered(mutants, client, post, dicom_folders):
    def send(content):
        response = post(client, file=content)
        return response.status_code, response.content

    bench = mutants.Bench.of(dicom_folders[0], send)
    found = [bench.try_mutant(7, index) for index in range(len(mutants.KINDS))]
    assert [one for one in found if one.outcome.startswith("no answer")] == []
    assert sum(one.outcome.startswith("failsafe") for one in found) > len(found) / 3
    assert {"failsafe: INTERNAL_ERROR", "failsafe: TIMEOUT"}.isdisjoint(one.outcome for one in found)
    assert any(one.outcome == "model: DCE_NOT_NEEDED" for one in found)


def test_what_is_no_answer_is_told_apart(mutants, answer_factory):
    answer = answer_factory(id="0" * 32)
    assert mutants.outcome_of(200, answer.model_dump_json().encode()) == "model: DCE_NOT_NEEDED"
    for status, body in ((500, b""), (202, answer.model_dump_json().encode()), (200, b"{}"), (200, b"")):
        assert mutants.outcome_of(status, body).startswith("no answer")
