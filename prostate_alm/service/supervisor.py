"""Keeps one worker process running: starts it, ends it when it hangs, starts the next."""

import json
import os
import secrets
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog

from prostate_alm.service.clock import utc_now
from prostate_alm.service.core import Core
from prostate_alm.service.descriptions import describe_error
from prostate_alm.service.fault_injection import VARIABLE
from prostate_alm.service.settings import PREFIX
from prostate_alm.service.tables import WorkerState

logger = structlog.get_logger()

LOOK_SECONDS = 0.25
START_SECONDS = 120.0  # until it says its name in the database; torch's libraries may come from a cold disk
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0
GRACE_SECONDS = 10.0


class WorkerHost(Protocol):
    """What keeps a worker running."""

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """Let the job at work finish, within a grace, and end."""
        ...


class Supervisor:
    """Keeps one worker process running.

    A worker ends itself when its job is late (`worker.Worker`); it is killed here when it is not heard of any more.

    Args:
        core: the service.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._process: subprocess.Popen[bytes] | None = None
        self._worker_id = ""
        self._started = 0.0
        self._backoff = FIRST_BACKOFF

    def start(self) -> None:
        """Start the worker and watch it."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker: it may finish its job for some seconds."""
        self._stopping.set()
        self._thread.join()
        process = self._process
        if process is None:
            return
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._close(process)

    def _watch(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except Exception as error:  # the database may be away for a while
                logger.error("worker not looked after", error=describe_error(error))
            self._stopping.wait(LOOK_SECONDS)

    def _look(self) -> None:
        process = self._process
        if process is None:
            self._spawn()
        elif process.poll() is None:
            self._kill_if_hung(process)
        else:
            logger.error("worker ended", worker=self._worker_id, code=process.returncode)
            self._process = None
            self._close(process)
            self._stopping.wait(self._backoff)
            self._backoff = min(2 * self._backoff, LONGEST_BACKOFF)

    def _spawn(self) -> None:
        self._worker_id = secrets.token_hex(16)
        self._started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "prostate_alm.service.worker"],
            stdin=subprocess.PIPE,
            env=_environment(self._core.storage.new_work(self._worker_id)),
        )
        self._process = process
        start = {
            "worker_id": self._worker_id,
            "settings": self._core.settings.for_worker(),
            "model": self._core.model.model_dump(mode="json"),
        }
        assert process.stdin is not None
        process.stdin.write(json.dumps(start).encode() + b"\n")
        process.stdin.flush()  # and stays open: its end tells the worker that we died

    def _kill_if_hung(self, process: subprocess.Popen[bytes]) -> None:
        worker = self._core.workers.find(self._worker_id)
        if worker is None:
            hung = time.monotonic() - self._started > START_SECONDS
        else:
            hung = worker.is_silent(utc_now())
            if worker.state is WorkerState.READY:
                self._backoff = FIRST_BACKOFF
        if hung:
            logger.error("worker silent and killed", worker=self._worker_id, pid=process.pid)
            process.kill()

    def _close(self, process: subprocess.Popen[bytes]) -> None:
        """Close our end, and forget a worker that could not do so itself."""
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        self._core.storage.clear_work(self._worker_id)
        try:
            self._core.workers.remove(self._worker_id)
        except Exception as error:
            logger.error("worker not forgotten", worker=self._worker_id, error=describe_error(error))


def _environment(temporary: Path) -> dict[str, str]:
    """The environment of a worker, which reads what strangers send: without our secrets, and with its own folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name == VARIABLE}
    return kept | {"TMPDIR": str(temporary)}
