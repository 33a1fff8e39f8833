"""The grid: each run once, kept whole or not at all, resumed, and no failure hidden."""

import json
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from prostate_alm.benchmark.grid import Grid, RunStore
from prostate_alm.benchmark.records import Failure, RunSpec
from prostate_alm.benchmark.studies import Method, Outcome, Result
from prostate_alm.errors import BenchmarkError


class ThreadBackend:
    """Runs are calls of a function in two threads."""

    slots = 2

    def __init__(self, carry_out: Callable[[RunSpec], Result]) -> None:
        self.carry_out = carry_out
        self.submitted: list[RunSpec] = []
        self.discarded: list[RunSpec] = []
        self._pool = ThreadPoolExecutor(self.slots)

    def submit(self, spec: RunSpec) -> Future[Result]:
        self.submitted.append(spec)
        return self._pool.submit(self.carry_out, spec)

    def discard(self, spec: RunSpec) -> None:
        self.discarded.append(spec)

    def close(self) -> None:
        self._pool.shutdown()


def asking(*steps: list[RunSpec]) -> Any:
    """A study that asks for these runs, step by step; its outcome has every result."""
    found: list[Result] = []
    for step in steps:
        found += yield step
    runs = [result for result in found if not isinstance(result, Failure)]
    failures = [result for result in found if isinstance(result, Failure)]
    return Outcome(Method("asked", {}), {}, [], runs, failures)


@pytest.fixture
def start(tmp_path, record_factory):
    """Start a grid over the store of this test; returns outcomes, backend and steps."""

    def begin(studies, carry_out=record_factory, *, expected=0):
        backend, steps = ThreadBackend(carry_out), []
        try:
            return Grid(RunStore(tmp_path), backend, steps.append).run(studies, expected=expected), backend, steps
        finally:
            backend.close()

    return begin


def test_a_run_that_several_studies_want_is_carried_out_once(start, spec_factory):
    shared, own = [spec_factory(member) for member in (0, 1)], spec_factory(2)
    studies = {"a": asking(shared), "b": asking(shared, [own]), "c": asking([own], shared)}
    outcomes, backend, _ = start(studies)
    assert sorted(spec.key for spec in backend.submitted) == sorted(spec.key for spec in (*shared, own))
    asked = {name: [run.spec for run in outcome.runs] for name, outcome in outcomes.items()}
    assert asked == {"a": shared, "b": [*shared, own], "c": [own, *shared]}  # in the order asked for


def test_a_finished_run_is_never_submitted_again(start, spec_factory):
    specs = [spec_factory(member) for member in range(4)]
    first, _, _ = start({"a": asking(specs[:2], specs[2:3])})
    again, backend, steps = start({"a": asking(specs[:2], specs[2:3]), "b": asking(specs[3:])})
    assert backend.submitted == specs[3:]
    assert again["a"] == first["a"]
    assert [step.done for step in steps] == [4]


def test_the_files_of_a_run_are_discarded_once_its_record_is_kept(tmp_path, spec_factory, record_factory):
    kept, failed, last = (spec_factory(member) for member in range(3))
    store = RunStore(tmp_path)

    def carry_out(spec):
        return Failure(spec=spec, message="diverged") if spec == failed else record_factory(spec)

    class DiscardingBackend(ThreadBackend):
        def discard(self, spec: RunSpec) -> None:
            assert store.read(spec) is not None
            super().discard(spec)

    for discarded in ([kept, last], [kept, last]):  # again at the next start: the first may have been killed in between
        backend = DiscardingBackend(carry_out)
        try:
            Grid(store, backend, lambda step: None).run({"a": asking([kept, failed], [last])}, expected=3)
        finally:
            backend.close()
        assert backend.discarded == discarded


def test_a_record_that_can_not_be_written_is_our_own_error_and_its_run_keeps_its_files(
    tmp_path, spec_factory, record_factory
):
    spec = spec_factory()
    store = RunStore(tmp_path)
    store.write(record_factory(spec))
    (path,) = tmp_path.glob("*.json")
    path.unlink()

    def carry_out(spec):
        path.mkdir()  # in the way of the record, as a full disk would be
        return record_factory(spec)

    backend = ThreadBackend(carry_out)
    try:
        with pytest.raises(BenchmarkError, match=rf"{path.name}.*\(Is a directory\).*start again"):
            Grid(store, backend, lambda step: None).run({"a": asking([spec])}, expected=1)
    finally:
        backend.close()
    assert backend.discarded == []
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_study_whose_runs_are_there_does_not_wait_for_others(start, spec_factory, record_factory):
    """Else a free slot stays empty: here the long run ends only when the study after it has got its second step."""
    finished, long, second = (spec_factory(member) for member in range(3))
    start({"a": asking([finished])})
    arrived = threading.Event()

    def carry_out(spec):
        if spec == long:
            assert arrived.wait(timeout=20)
        else:
            arrived.set()
        return record_factory(spec)

    outcomes, _, _ = start({"slow": asking([long]), "resumed": asking([finished], [second])}, carry_out)
    assert not outcomes["slow"].failures


def test_a_failure_is_reported_and_tried_again_at_the_next_start(start, spec_factory, record_factory):
    good, bad = spec_factory(0), spec_factory(1)

    def fail(spec):
        if spec == good:
            return record_factory(spec)
        return Failure(spec=spec, message="DatasetError: too few images")

    outcomes, _, steps = start({"a": asking([good, bad])}, fail)
    assert [run.spec for run in outcomes["a"].runs] == [good]
    assert outcomes["a"].failures == [Failure(spec=bad, message="DatasetError: too few images")]
    assert {type(step.result) for step in steps} == {Failure, type(outcomes["a"].runs[0])}
    outcomes, backend, _ = start({"a": asking([good, bad])})
    assert backend.submitted == [bad]
    assert not outcomes["a"].failures


def test_a_fault_of_the_backend_is_a_failure_of_the_run_alone(start, spec_factory, record_factory):
    def die(spec):
        if spec.settings["member"] == 0:
            raise BenchmarkError("the process died 3 times")
        return record_factory(spec)

    outcomes, _, _ = start({"a": asking([spec_factory(0)]), "b": asking([spec_factory(1)])}, die)
    assert "the process died 3 times" in outcomes["a"].failures[0].message
    assert not outcomes["b"].failures


@pytest.mark.parametrize("damage", [b"", b"{", b'{"schema_version": 1}'])
def test_a_damaged_record_is_refused_by_name(start, spec_factory, tmp_path, damage):
    spec = spec_factory()
    start({"a": asking([spec])})
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(path.read_bytes()[:-20] if damage == b"" else damage)
    with pytest.raises(BenchmarkError, match=f"{path.name}.*delete it"):
        start({"a": asking([spec])})


@pytest.mark.parametrize(
    "damage", [("data", "AAA"), ("data", "AAAA"), ("data", "é"), ("shape", [1, 3]), ("shape", [-1, -3])]
)
def test_a_record_with_garbled_numbers_is_refused_by_name(start, spec_factory, tmp_path, damage):
    start({"a": asking([spec_factory()])})
    (path,) = tmp_path.glob("*.json")
    record = json.loads(path.read_bytes())
    record["test"]["critical"] |= dict([damage])
    path.write_text(json.dumps(record))
    with pytest.raises(BenchmarkError, match=f"{path.name}.*delete it"):
        start({"a": asking([spec_factory()])})


def test_a_damaged_record_is_found_before_any_run(start, spec_factory, record_factory, tmp_path):
    """Else a search that takes hours ends at the file of its last stage."""
    first, last = spec_factory(0), spec_factory(1)
    start({"a": asking([last])})
    next(tmp_path.glob("*.json")).write_text("{")
    carried_out = []

    def carry_out(spec):
        carried_out.append(spec)
        return record_factory(spec)

    with pytest.raises(BenchmarkError, match=r"made_up.*delete it"):
        start({"a": asking([first], [last])}, carry_out)
    assert not carried_out


def test_a_file_in_the_place_of_the_folder_is_our_own_error(tmp_path):
    (tmp_path / "out").write_text("")
    for folder in (tmp_path / "out", tmp_path / "out" / "runs"):
        with pytest.raises(BenchmarkError, match="no folder"):
            RunStore(folder)


def test_a_record_under_another_runs_name_is_refused(start, spec_factory, tmp_path):
    start({"a": asking([spec_factory(0)])})
    (path,) = tmp_path.glob("*.json")
    path.rename(path.with_name(f"made_up-{spec_factory(1).key}.json"))
    with pytest.raises(BenchmarkError, match="another run"):
        start({"a": asking([spec_factory(1)])})


def test_two_grids_never_share_a_folder_at_once(start, spec_factory, record_factory, tmp_path):
    def meanwhile(spec):
        with RunStore(tmp_path).locked():
            pass
        return record_factory(spec)

    outcomes, _, _ = start({"a": asking([spec_factory()])}, meanwhile)
    assert "another benchmark is at work" in outcomes["a"].failures[0].message
    assert not start({"a": asking([spec_factory()])})[0]["a"].failures  # the first has left


def test_progress_counts_every_run_once_and_ends_at_nothing_left(start, spec_factory):
    specs = [spec_factory(member) for member in range(6)]
    start({"before": asking(specs[:1])})
    # 9 asked for in all, 6 different ones, 1 of them there before
    studies = {"a": asking(specs[:3], specs[3:5]), "b": asking(specs[:3], specs[5:])}
    _, _, steps = start(studies, expected=9)
    assert [step.done for step in steps] == [2, 3, 4, 5, 6]
    assert all(step.total >= 6 and 0 <= step.seconds_left < math.inf for step in steps)
    assert (steps[-1].total, steps[-1].seconds_left) == (6, 0.0)


def test_the_estimate_is_the_pace_so_far_times_what_is_left(start, spec_factory, record_factory):
    def carry_out(spec):
        time.sleep(0.05)
        return record_factory(spec)

    begun = time.monotonic()
    specs = [spec_factory(member) for member in range(2)]
    _, _, steps = start({"a": asking([specs[0]], [specs[1]])}, carry_out, expected=8)
    elapsed = time.monotonic() - begun
    assert 7 * 0.05 <= steps[0].seconds_left < 7 * elapsed
    assert 6 * 0.05 <= steps[1].seconds_left < 6 * elapsed
