"""Runs in processes of this machine."""

import multiprocessing
import os
import shutil
import signal
import threading
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from prostate_alm.benchmark.records import RunSpec
from prostate_alm.benchmark.studies import Result
from prostate_alm.errors import BenchmarkError

ATTEMPTS = 3
RUNS_A_PROCESS = 20  # a process grows by some 20 MB a run, so it is replaced now and then


class LocalBackend:
    """`workers` processes, each of which does one run after the other; a process that dies is replaced.

    Args:
        data: folder of the archives or of the cohort, or its datalist.
        work: folder for unfinished runs.
        workers: processes.
        threads: of each; None takes OMP_NUM_THREADS where it is set, and else shares the cores among them.
    """

    def __init__(self, data: Path, work: Path, *, workers: int, threads: int | None = None) -> None:
        self.data, self.work, self.slots = data, work, workers
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        self._threads = threads or (int(wanted) if wanted.isdecimal() else max(1, (os.cpu_count() or 1) // workers))
        self._slots = ThreadPoolExecutor(max_workers=workers)
        self._local = threading.local()
        self._lock, self._closed = threading.Lock(), False
        self._pools: list[ProcessPoolExecutor] = []

    def submit(self, spec: RunSpec) -> "Future[Result]":
        """Begin a run when a process is free."""
        return self._slots.submit(self._attempt, spec)

    def discard(self, spec: RunSpec) -> None:
        """Delete the files of a run whose record is kept."""
        shutil.rmtree(self.work / spec.key, ignore_errors=True)

    def close(self) -> None:
        """End the processes and wait until they are gone; an unfinished run resumes after its last epoch."""
        with self._lock:  # from here on no process is started
            self._closed = True
        for pool in self._pools:
            for process in list((pool._processes or {}).values()):  # kill_workers is new in 3.14
                process.kill()
            pool.shutdown(cancel_futures=True)
        self._slots.shutdown(cancel_futures=True)

    def _attempt(self, spec: RunSpec) -> Result:
        """Run in this thread's own process; a process killed from outside is no fault of the run."""
        for _ in range(ATTEMPTS):
            try:
                result = self._begin(spec).result()
            except BrokenProcessPool:
                del self._local.pool
            else:
                self._replace_when_used()
                return result
        raise BenchmarkError(f"the process of run {spec.key} died {ATTEMPTS} times; is there enough memory?")

    def _begin(self, spec: RunSpec) -> "Future[Result]":
        with self._lock:
            if self._closed:
                raise CancelledError
            if not hasattr(self._local, "pool"):
                self._local.pool, self._local.runs = self._new_pool(), 0
            return self._local.pool.submit(_attempt_here, spec, self.data, self.work)

    def _replace_when_used(self) -> None:
        """End this thread's process after its share of runs; the next run starts another."""
        self._local.runs += 1
        if self._local.runs >= RUNS_A_PROCESS:
            self._local.pool.shutdown()
            del self._local.pool

    def _new_pool(self) -> ProcessPoolExecutor:
        pool = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_set_up,
            initargs=(self._threads,),
        )
        self._pools.append(pool)
        return pool


def _set_up(threads: int) -> None:
    """Leave Ctrl-C to the parent, and end with it: an orphan would train what the next start trains too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch  # noqa: PLC0415 - the parent needs no torch

    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _attempt_here(spec: RunSpec, data: Path, work: Path) -> Result:
    from prostate_alm.benchmark.execution import attempt  # noqa: PLC0415 - MONAI is imported in the process alone

    return attempt(spec, data, work)
