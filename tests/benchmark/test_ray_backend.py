"""The same grid on a Ray cluster of two nodes: the same results, a killed worker included."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from prostate_alm.benchmark.execution import attempt
from prostate_alm.benchmark.grid import Backend, Grid, RunStore
from prostate_alm.benchmark.ray_backend import RayBackend, _writable
from prostate_alm.benchmark.records import Failure, RunSpec
from prostate_alm.benchmark.studies import Method, Outcome, Protocol, Result, study
from prostate_alm.errors import BackendError

pytest.importorskip("ray", reason="Ray is an optional extra: pip install 'prostate-alm[ray]'")


class InThisProcess:
    """The oracle: one run after the other, without any processes."""

    slots = 1

    def __init__(self, data: Path, work: Path) -> None:
        self.data, self.work = data, work

    def submit(self, spec: RunSpec) -> Future[Result]:
        future: Future[Result] = Future()
        future.set_result(attempt(spec, self.data, self.work))
        return future

    def discard(self, spec: RunSpec) -> None:
        """Nothing to save."""

    def close(self) -> None:
        """Nothing to end."""


def workers() -> list[int]:
    """Ray's processes that carry out a run for this process: children of its children."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            if (folder / "cmdline").read_bytes().startswith(b"ray::_attempt_on_node"):
                found.append(folder.name)
        except OSError:
            continue  # it has just ended
    return [int(name) for name in found if parents.get(parents[name]) == str(os.getpid())]


def kill_workers_when(path: Path, killed: list[int]) -> None:
    """Kill what trains as soon as `path` is there."""
    deadline = time.monotonic() + 300
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    for process in workers():
        os.kill(process, signal.SIGKILL)
        killed.append(process)


def carried_out(backend: Backend, runs: Path, protocol: Protocol) -> dict[str, Outcome]:
    """A small table: a baseline, and its constraint with a penalty to choose."""
    rows = [
        Method("BCE", {"loss_name": "bce", "alm": False}),
        Method("ALM + BCE", {"loss_name": "bce", "alm": True}, [[{"mu": 1e-4}, {"mu": 1e-3}]], baseline="BCE"),
    ]
    try:
        return Grid(RunStore(runs), backend, lambda step: None).run(
            {row.name: study(row, protocol) for row in rows}, expected=6
        )
    finally:
        backend.close()


def results(outcome: Outcome) -> tuple[Any, ...]:
    """What an outcome says, but for when and on which machine."""
    told = {"seconds", "machine"}
    return outcome.chosen, outcome.trials, outcome.failures, [run.model_dump(exclude=told) for run in outcome.runs]


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_two_nodes_and_a_killed_worker_give_the_table_of_one_process(cluster, cifar_folder, tmp_path, tiny_spec):
    protocol = Protocol("cifar10_binary", {**tiny_spec(max_epochs=6).settings}, 2, 1, "0" * 64)
    watched = protocol.spec({"loss_name": "bce", "alm": False}, 0)
    killed: list[int] = []
    work = tmp_path / "work"
    killer = threading.Thread(target=kill_workers_when, args=(work / watched.key / "run_state.pt", killed))
    killer.start()
    backend = RayBackend(cifar_folder, work, address=cluster)
    assert backend.slots == 2
    found = carried_out(backend, tmp_path / "runs", protocol)
    killer.join()
    assert killed
    assert not list(work.iterdir())  # the records have it all
    alone = carried_out(InThisProcess(cifar_folder, tmp_path / "own"), tmp_path / "alone", protocol)
    assert {name: results(outcome) for name, outcome in found.items()} == {
        name: results(outcome) for name, outcome in alone.items()
    }


def test_a_node_without_the_archives_says_so(cluster, tmp_path, tiny_spec):
    backend = RayBackend(tmp_path / "nowhere", tmp_path, address=cluster)
    try:
        failure = backend.submit(tiny_spec()).result(timeout=300)
    finally:
        backend.close()
    assert isinstance(failure, Failure)
    assert "has no folder" in failure.message
    assert "same path" in failure.message


def test_more_than_any_node_has_is_refused(cluster, tmp_path):
    with pytest.raises(BackendError, match="2 processors"):
        RayBackend(tmp_path, tmp_path, address=cluster, threads=2)
    with pytest.raises(BackendError, match="2 GPUs"):
        RayBackend(tmp_path, tmp_path, address=cluster, gpus=2)


@pytest.mark.parametrize(("gpus", "slots"), [(0.0, 2), (1.0, 1), (0.5, 1)])
def test_a_run_gets_a_node_with_what_it_needs(cluster, tmp_path, gpus, slots):
    backend = RayBackend(tmp_path / "nowhere", tmp_path, address=cluster, gpus=gpus)
    try:
        assert backend.slots == slots
    finally:
        backend.close()


def test_an_address_where_nothing_listens_is_refused_at_once(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # taken, so that nobody else listens there
        with pytest.raises(BackendError, match="ray start --head"):
            RayBackend(tmp_path, tmp_path, address=f"127.0.0.1:{free.getsockname()[1]}")


def test_a_node_without_the_work_folder_takes_its_own_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    for out_of_reach in (tmp_path / "work", tmp_path / "file"):
        with _writable(out_of_reach) as folder:
            assert folder.is_dir()
        assert not folder.exists()
    (tmp_path / "work").mkdir()
    with _writable(tmp_path / "work") as folder:
        assert folder == tmp_path / "work"
    assert folder.is_dir()


def test_without_ray_the_error_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(BackendError, match=r"prostate-alm\[ray\]"):
        RayBackend(tmp_path, tmp_path, address=None)
