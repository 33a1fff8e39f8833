"""Where members are trained: in processes of this machine, or on a Ray cluster (`ray_backend`)."""

import os
import subprocess
import threading
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Literal

from prostate_alm.training.ensemble import Backend, EnsembleRun
from prostate_alm.training.member_process import check_ended, start, wait_for

BackendName = Literal["local", "ray"]


class LocalBackend:
    """`workers` processes at a time, one a member.

    Args:
        workers: processes.
        threads: of each; None shares the cores among them.
    """

    def __init__(self, *, workers: int, threads: int | None = None) -> None:
        self.slots = workers
        self.threads = threads or max(1, (os.cpu_count() or 1) // workers)
        self._pool = ThreadPoolExecutor(max_workers=workers)
        self._lock, self._closed = threading.Lock(), False
        self._processes: set[subprocess.Popen[bytes]] = set()

    def submit(self, run: EnsembleRun, member: int) -> "Future[None]":
        """Begin a member when a process is free."""
        return self._pool.submit(self._train, run, member)

    def close(self) -> None:
        """End the processes and wait until they are gone."""
        with self._lock:  # from here on no process is started
            self._closed = True
            for process in self._processes:
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def _train(self, run: EnsembleRun, member: int) -> None:
        with self._lock:
            if self._closed:
                raise CancelledError
            process = start(run, member, threads=self.threads)
            self._processes.add(process)
        code = wait_for(process)
        with self._lock:
            self._processes.discard(process)
        check_ended(run, member, code)


def make_backend(
    name: BackendName, *, workers: int | None = None, address: str | None = None, gpus: float = 0.0
) -> Backend:
    """Return a backend by name.

    Args:
        name: local or ray.
        workers: processes of the local one; None is one a core.
        address: of the Ray cluster; None starts one on this machine.
        gpus: graphics processors of each member on the Ray cluster; 0.5 lets two share one.

    Raises:
        BackendError: Ray is not installed, or there is no cluster to use.
    """
    if name == "local":
        return LocalBackend(workers=workers or os.cpu_count() or 1)
    from prostate_alm.training.ray_backend import RayBackend  # noqa: PLC0415 - an optional extra

    return RayBackend(address=address, gpus=gpus)
