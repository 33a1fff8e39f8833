"""What the API does again and again, each in a thread of its own, so that a slow one delays no other."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import structlog

from prostate_alm.service.clock import utc_now
from prostate_alm.service.descriptions import describe_error

logger = structlog.get_logger()


@dataclass(frozen=True)
class Periodic:
    """A round of work.

    Attributes:
        name: for the log.
        seconds: between the end of a round and the next.
        run: one round; gets the time. What it raises is logged, and the next round comes.
    """

    name: str
    seconds: float
    run: Callable[[datetime], object]


@contextmanager
def running(periodics: Sequence[Periodic]) -> Iterator[None]:
    """Go round until the block ends; a round at work is waited for."""
    stopping = threading.Event()
    threads = [
        threading.Thread(target=_go_round, args=(periodic, stopping), name=periodic.name, daemon=True)
        for periodic in periodics
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopping.set()
        for thread in threads:
            thread.join()


def _go_round(periodic: Periodic, stopping: threading.Event) -> None:
    while not stopping.is_set():
        try:
            periodic.run(utc_now())
        except Exception as error:  # a database that is away for a while must not end the clock of the deadlines
            logger.error("a round failed", name=periodic.name, error=describe_error(error))
        stopping.wait(periodic.seconds)
