"""Runs in processes of this machine."""

import concurrent.futures
import multiprocessing
import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from prostate_alm.benchmark.records import RunRecord, RunSpec
from prostate_alm.errors import BenchmarkError

ATTEMPTS = 3


class LocalBackend:
    """`workers` processes, each of which does one run after the other; a process that dies is replaced.

    Args:
        data: folder of the archives.
        work: folder for unfinished runs.
        workers: processes.
    """

    def __init__(self, data: Path, work: Path, *, workers: int) -> None:
        self.data, self.work, self.slots = data, work, workers
        self._threads = max(1, (os.cpu_count() or 1) // workers)
        self._slots = ThreadPoolExecutor(max_workers=workers)
        self._local = threading.local()
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, spec: RunSpec) -> "Future[RunRecord]":
        """Begin a run when a process is free."""
        return self._slots.submit(self._attempt, spec)

    def close(self) -> None:
        """End the processes; an unfinished run resumes after its last epoch."""
        self._slots.shutdown(wait=False, cancel_futures=True)
        for pool in self._pools:
            for process in list((pool._processes or {}).values()):  # terminate_workers is new in 3.14
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)

    def _attempt(self, spec: RunSpec) -> RunRecord:
        """Run in this thread's own process; a process killed from outside is no fault of the run."""
        for _ in range(ATTEMPTS):
            if not hasattr(self._local, "pool"):
                self._local.pool = self._new_pool()
            try:
                return self._local.pool.submit(_execute, spec, self.data, self.work).result()
            except BrokenProcessPool:
                del self._local.pool
            except concurrent.futures.CancelledError:
                break
        raise BenchmarkError(f"the process of run {spec.key} died {ATTEMPTS} times; is there enough memory?")

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_set_threads,
            initargs=(self._threads,),
        )
        self._pools.append(pool)
        return pool


def _set_threads(threads: int) -> None:
    import torch  # noqa: PLC0415 - the parent needs no torch

    torch.set_num_threads(threads)


def _execute(spec: RunSpec, data: Path, work: Path) -> RunRecord:
    from prostate_alm.benchmark.execution import execute  # noqa: PLC0415 - MONAI is imported in the process alone

    return execute(spec, data, work)
