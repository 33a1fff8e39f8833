"""Runs on a Ray cluster."""

import platform
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path

from prostate_alm.benchmark.records import Failure, RunSpec
from prostate_alm.benchmark.studies import Result
from prostate_alm.training.ray_cluster import connected, slots_of

RETRIES = 2  # three attempts, as on one machine


class RayBackend:
    """A task of Ray for each run; a worker or a node that dies is no fault of the run, which is begun again.

    Every node needs this package in the same version, and the archives in the folder `data` under the same path. A
    run that is begun again resumes after its last epoch where the nodes share the folder `work`, else it starts anew.

    Args:
        data: folder of the archives.
        work: folder for unfinished runs, made here; a node that hasn't got it, or can't write there, takes a temporary
            folder for each attempt.
        address: of the cluster, such as 10.0.0.1:6379, or "auto" on one of its nodes; None starts one here.
        threads: processors of each run.
        gpus: graphics processors of each run; a part of one lets runs share it.

    Raises:
        BackendError: Ray is not installed, there is no cluster at `address`, or no node has what a run needs.
    """

    def __init__(self, data: Path, work: Path, *, address: str | None, threads: int = 1, gpus: float = 0.0) -> None:
        self.data, self.work, self.threads = data, work, threads
        self._ray = connected(address)
        with suppress(OSError):  # then each node takes a folder of its own
            work.mkdir(parents=True, exist_ok=True)
        self.slots = slots_of(self._ray, threads=threads, gpus=gpus)
        # what the run itself raises comes back as a `Failure`: only what died is tried again
        self._task = self._ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(_attempt_on_node)

    def submit(self, spec: RunSpec) -> "Future[Result]":
        """Begin a run when the cluster has processors for it."""
        return self._task.remote(spec, self.data, self.work, self.threads).future()

    def discard(self, spec: RunSpec) -> None:
        """Delete the files of a run whose record is kept."""
        shutil.rmtree(self.work / spec.key, ignore_errors=True)

    def close(self) -> None:
        """Leave the cluster, which ends our runs there; a cluster that we started ends with it."""
        self._ray.shutdown()


def _attempt_on_node(spec: RunSpec, data: Path, work: Path, threads: int) -> Result:
    if not data.exists():
        where = f"node {platform.node()} has no folder `{data}`"
        return Failure(spec=spec, message=f"{where}; each node needs the data under the same path.")
    import torch  # noqa: PLC0415 - the driver needs neither torch nor MONAI

    from prostate_alm.benchmark.execution import attempt  # noqa: PLC0415

    torch.set_num_threads(threads)
    with _writable(work) as folder:
        return attempt(spec, data, folder)


@contextmanager
def _writable(work: Path) -> Iterator[Path]:
    """`work`, or a folder that goes again where this node hasn't got `work` or can't write there."""
    try:
        tempfile.TemporaryFile(dir=work).close()
    except OSError:
        with tempfile.TemporaryDirectory(prefix="prostate-alm-") as own:
            yield Path(own)
    else:
        yield work
