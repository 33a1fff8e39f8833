"""Members on a Ray cluster."""

import platform
from concurrent.futures import Future

from prostate_alm.errors import TrainingError
from prostate_alm.parcel import sha256_of
from prostate_alm.training.ensemble import EnsembleRun
from prostate_alm.training.member_process import check_ended, start, wait_for
from prostate_alm.training.ray_cluster import connected, slots_of

RETRIES = 2  # a worker or a node that dies is no fault of the member


class RayBackend:
    """A task of Ray for each member, which runs in the same process as on one machine; so it is the same member.

    Every node needs this package in the same version, and the bundle, the datalist with its images, and the run's
    folder under the same paths: a shared file system. A member whose node died goes on elsewhere after its last epoch.

    Args:
        address: of the cluster, such as 10.0.0.1:6379, or "auto" on one of its nodes; None starts one here.
        threads: processors of each member.
        gpus: graphics processors of each member; a part of one lets members share it.

    Raises:
        BackendError: Ray is not installed, there is no cluster at `address`, or no node has what a member needs.
    """

    def __init__(self, *, address: str | None = None, threads: int = 1, gpus: float = 0.0) -> None:
        self.threads = threads
        self._ray = connected(address)
        self.slots = slots_of(self._ray, threads=threads, gpus=gpus)
        self._task = self._ray.remote(num_cpus=threads, num_gpus=gpus, max_retries=RETRIES)(_train_on_node)

    def submit(self, run: EnsembleRun, member: int) -> "Future[None]":
        """Begin a member when the cluster has processors for it."""
        told: Future[None] = Future()
        task = self._task.remote(run, member, threads=self.threads, datalist_sha256=sha256_of(run.datalist)).future()

        def tell(ended: "Future[str | None]") -> None:
            error = ended.exception()  # Ray's own: a node died too often
            message = str(error) if error is not None else ended.result()
            told.set_exception(TrainingError(message)) if message is not None else told.set_result(None)

        task.add_done_callback(tell)
        return told

    def close(self) -> None:
        """Leave the cluster, which ends our members there; a cluster that we started ends with it."""
        self._ray.shutdown()


def _train_on_node(run: EnsembleRun, member: int, *, threads: int, datalist_sha256: str) -> str | None:
    """Train on the node where this runs; what failed is returned, for an exception loses its words on the way."""
    where = f"node {platform.node()}"
    for name, path in (("bundle", run.bundle), ("datalist", run.datalist), ("run's folder", run.out / "run.json")):
        if not path.exists():
            return f"{where} has no {name} `{path}`; each node needs a shared file system with it under the same path."
    if sha256_of(run.datalist) != datalist_sha256:
        return f"{where} has another datalist at `{run.datalist}`; each node needs the same one."
    code = wait_for(start(run, member, threads=threads))
    try:
        check_ended(run, member, code)
    except TrainingError as error:
        return f"{where}: {error}"
    return None
