"""Kill this process at a named step, for tests of crashes; does nothing unless the environment asks for it."""

import os
import signal
from pathlib import Path

VARIABLE = "PROSTATE_ALM_KILL_AT"
STEPS = (
    "intake.received",
    "intake.moved",
    "intake.inserted",
    "intake.committed",
    "worker.claimed",
    "worker.read",
    "worker.prepare",
    "worker.infer",
    "worker.decide",
    "worker.image",
    "worker.settling",
    "worker.settled",
)


def step(name: str) -> None:
    """Die by SIGKILL when `PROSTATE_ALM_KILL_AT` is `name`, or is `name@FILE` and FILE does not exist yet.

    With a file it happens once: the file is made first, so that the process that takes over lives.
    """
    wanted, _, once = os.environ.get(VARIABLE, "").partition("@")
    if wanted != name:
        return
    if once:
        try:
            Path(once).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
