"""A sample of `benchmarks/training_kills.py`: a training that was killed ends in the ensemble of one that was not."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_two_kills_leave_no_trace(cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    found = importlib.import_module("training_kills").soak(tmp_path, cohort, kills=2, seed=1, epochs=2)
    assert found.kills == sum(found.moments.values()) == 2
    assert (found.orphans, found.differing) == (0, [[]] * found.runs)
