"""Runs in processes of this machine: killed ones are run again, failed ones say why, and none outlives its parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import pytest

from prostate_alm.benchmark import local
from prostate_alm.benchmark.local import LocalBackend
from prostate_alm.benchmark.records import Failure, RunRecord


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def backend(cifar_folder, work) -> Iterator[LocalBackend]:
    backend = LocalBackend(cifar_folder, work, workers=1, threads=1)
    yield backend
    backend.close()


def status(process: int) -> list[str]:
    """State and parent of a process, as /proc has them; empty where it is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return []


def trainers(parent: int | None = None) -> list[int]:
    """Processes that train for `parent`, this one by default."""
    processes = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    children = [child for child in processes if status(child)[1:] == [str(parent or os.getpid())]]
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


def wait_for(condition, *, seconds: float = 300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def test_a_run_whose_process_is_killed_is_finished_by_another(backend, work, tiny_spec):
    spec = tiny_spec(max_epochs=12)
    future = backend.submit(spec)
    wait_for((work / spec.key / "run_state.pt").exists)  # in the middle of it
    (process,) = trainers()
    os.kill(process, signal.SIGKILL)
    record = future.result(timeout=300)
    assert isinstance(record, RunRecord)
    assert [row["epoch"] for row in record.epochs] == list(range(1, 13))
    assert trainers() != [process]


def test_a_process_that_did_its_share_is_replaced(backend, tiny_spec, monkeypatch):
    monkeypatch.setattr(local, "RUNS_A_PROCESS", 1)
    used = []
    for member in (6, 7):
        assert isinstance(backend.submit(tiny_spec(max_epochs=1, member=member)).result(timeout=300), RunRecord)
        used.append(trainers())
    assert used == [[], []]


def test_a_run_that_fails_names_the_first_cause_and_the_process_goes_on(backend, tiny_spec):
    assert isinstance(backend.submit(tiny_spec(max_epochs=1, member=5)).result(timeout=300), RunRecord)
    before = trainers()
    failure = backend.submit(tiny_spec(ratio=1000)).result(timeout=300)
    assert isinstance(failure, Failure)
    assert failure.message.startswith("DatasetError: ")
    assert "images" in failure.message
    assert isinstance(backend.submit(tiny_spec(max_epochs=1)).result(timeout=300), RunRecord)
    assert trainers() == before


def test_ctrl_c_in_the_terminal_is_left_to_the_parent(backend, work, tiny_spec):
    """It reaches every process of the foreground; what trains must not end before the parent says so."""
    spec = tiny_spec(member=2, max_epochs=3)
    future = backend.submit(spec)
    wait_for((work / spec.key).exists)
    (process,) = trainers()
    os.kill(process, signal.SIGINT)
    assert isinstance(future.result(timeout=300), RunRecord)
    assert trainers() == [process]


def test_close_ends_what_runs_and_starts_nothing_new(cifar_folder, tmp_path, tiny_spec):
    others = trainers()
    backend = LocalBackend(cifar_folder, tmp_path, workers=1, threads=1)
    long = [tiny_spec(member=member, max_epochs=1000) for member in (3, 4)]
    running, waiting = map(backend.submit, long)
    wait_for((tmp_path / long[0].key).exists)
    processes = [process for process in trainers() if process not in others]
    started = time.monotonic()
    backend.close()
    assert time.monotonic() - started < 10
    assert processes
    assert not any(map(status, processes))  # nor a zombie
    assert trainers() == others
    with pytest.raises(CancelledError):  # its slot may have been about to begin it
        waiting.result(timeout=10)
    assert running.exception() is not None


PARENT = """
import sys
from pathlib import Path
from prostate_alm.benchmark import local
from prostate_alm.benchmark.local import LocalBackend
from prostate_alm.benchmark.records import RunSpec

if __name__ == "__main__":
    backend = LocalBackend(Path(sys.argv[1]), Path(sys.argv[2]), workers=1, threads=1)
    backend.submit(RunSpec.model_validate_json(sys.argv[3])).result()
"""


def test_no_process_outlives_a_parent_that_was_killed(cifar_folder, tmp_path, tiny_spec):
    script, spec = tmp_path / "parent.py", tiny_spec(max_epochs=10**6)
    script.write_text(PARENT)
    command = [sys.executable, "-W", "ignore", str(script), str(cifar_folder), str(tmp_path), spec.model_dump_json()]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}) as parent:
        wait_for((tmp_path / spec.key).exists)
        orphans = trainers(parent.pid)
        parent.kill()
    assert orphans
    ended = ([], ["Z"])  # a container's init may not reap
    wait_for(lambda: all(status(orphan)[:1] in ended for orphan in orphans), seconds=30)
