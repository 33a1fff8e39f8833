"""A connection to a Ray cluster, and how much it has room for."""

import os
import socket
from collections.abc import Mapping
from typing import Any

from prostate_alm.errors import BackendError

ANSWER_SECONDS = 10.0
OBJECT_STORE_BYTES = 100 * 2**20  # of a cluster that we start: what we send is small


def connected(address: str | None) -> Any:
    """The module `ray`, connected.

    Args:
        address: of the cluster, such as 10.0.0.1:6379, or "auto" on one of its nodes; None starts one here.

    Raises:
        BackendError: Ray is not installed, or there is no cluster at `address`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported to Ray's makers
    try:
        import ray  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise BackendError("the backend `ray` needs Ray: pip install 'prostate-alm[ray]'.") from None
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": "WARNING"}
    if address is None:
        options |= {"address": "local", "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        _reach(address)
        ray.init(**options)
    except (OSError, RuntimeError, ValueError) as error:
        raise BackendError(
            f"there is no Ray cluster to use at `address` {address!r}: {error} Start one with `ray start --head`."
        ) from error
    return ray


def slots_of(ray: Any, *, threads: int, gpus: float) -> int:
    """How many runs the cluster has room for at a time.

    Args:
        ray: the module, connected; it is disconnected where there is no room.
        threads: processors of a run.
        gpus: graphics processors of a run.

    Raises:
        BackendError: no node has room for one.
    """
    slots = sum(_slots(node["Resources"], threads, gpus) for node in ray.nodes() if node["Alive"])
    if slots == 0:
        ray.shutdown()
        raise BackendError(
            f"no node of the Ray cluster has {threads} processors and {gpus:g} GPUs, which a run needs; add one."
        )
    return slots


def _slots(resources: Mapping[str, float], threads: int, gpus: float) -> int:
    by_processors = int(resources.get("CPU", 0.0)) // threads
    return min(by_processors, int(resources.get("GPU", 0.0) / gpus)) if gpus else by_processors


def _reach(address: str | None) -> None:
    """Raise OSError where nothing answers at HOST:PORT, for which Ray itself would wait many minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=ANSWER_SECONDS).close()
