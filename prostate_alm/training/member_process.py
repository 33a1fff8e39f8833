"""A member in a process of its own: one `monai.bundle run`, which ends when the command that began it does."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

from prostate_alm.errors import TrainingError
from prostate_alm.parcel import write_json
from prostate_alm.training.ensemble import EnsembleRun

ARGUMENTS = "arguments.json"
LITTLE_BYTES = 50_000_000  # free on the disk: what fails then may have failed for it


def start(run: EnsembleRun, member: int, *, threads: int) -> "subprocess.Popen[bytes]":
    """Begin to train a member, or go on with it; what it prints goes to its `train.log`.

    Args:
        run: whose.
        member: its number.
        threads: of the process. Sums have another order with another number, and so the weights other last digits.
    """
    folder = run.folder(member)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / ARGUMENTS, run.arguments(member))
    command = [sys.executable, "-m", "prostate_alm.training.member_process", str(folder / ARGUMENTS)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with (folder / "train.log").open("wb") as log:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=run.bundle
        )


def wait_for(process: "subprocess.Popen[bytes]") -> int:
    """Wait until a member's process has ended; its exit code. The pipe that keeps it alive is closed only then."""
    code = process.wait()
    if process.stdin is not None:
        process.stdin.close()
    return code


def check_ended(run: EnsembleRun, member: int, code: int) -> None:
    """Check how a member's process ended.

    Raises:
        TrainingError: not well; the message holds the first exception of its log.
    """
    if code == 0:
        return
    log = run.folder(member) / "train.log"
    raise TrainingError(
        f"member {member} stopped with exit code {code}: {_cause(log)}{_little_room(run)} The whole log is {log}."
    )


def _cause(log: Path) -> str:
    """The first exception in a log: MONAI wraps it in others, which say nothing of it."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return next(
        (line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)), "no exception logged."
    )


def _little_room(run: EnsembleRun) -> str:
    """A sentence where the disk is nearly full: torch's own message on it names no disk."""
    free = shutil.disk_usage(run.out).free
    if free > LITTLE_BYTES:
        return ""
    return f" The disk of `{run.out.name}` has {free / 1e6:.0f} MB left: make room first."


def _main(path: Path) -> None:
    """Train the member whose arguments `path` holds, and write `finished.json` beside it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from monai.bundle.scripts import run  # noqa: PLC0415 - seconds; the command needs none of it

    run(args_file=str(path))
    write_json(path.with_name("finished.json"), json.loads(path.read_text(encoding="utf-8")))


def _end_with_parent() -> None:
    """End when the pipe closes, however the parent ended: an orphan would train what the next start trains too."""
    os.read(0, 1)  # not by `sys.stdin`, whose lock this thread would hold when the process ends well
    os._exit(1)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
